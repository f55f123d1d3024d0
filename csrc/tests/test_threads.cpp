// Calls of all functions at the same time, on the same inputs: what the thread sanitizer watches.
#include <atomic>
#include <string>
#include <thread>

#include "check.hpp"
#include "random_data.hpp"
#include "tal/boundary.hpp"
#include "tal/kmedoids.hpp"
#include "tal/mean_ap.hpp"
#include "tal/nms.hpp"
#include "tal/parallel.hpp"
#include "tal/proposals.hpp"
#include "tal/recall.hpp"
#include "tal/tal.h"

namespace {

using test::Dice;
using test::Intervals;

// Inputs that all threads read.
struct Shared {
  Dice dice{7};
  Intervals truth{dice, 60, true, 2, 3};
  Intervals found{dice, 900, false, 2, 3};
  std::vector<std::int64_t> offsets = {0, 100, 100, 900};
  std::vector<float> cas;
  std::vector<double> probability;
  std::vector<std::int64_t> points = {100, 300, 700};
  tal::ProposalOptions proposal;

  Shared() {
    for (int i = 0; i < 900 * 4; ++i) cas.push_back(static_cast<float>(dice.share()));
    for (int i = 0; i < 300; ++i) probability.push_back(dice.share());
    proposal.sources.resize(1);
    proposal.sources[0].thresholds = {0.2, 0.5, 0.8};
    proposal.class_threshold = 0.0;
  }
};

// Everything that the core computes from the shared inputs, in one list.
std::vector<double> everything(const Shared& s, int threads) {
  std::vector<double> all;
  const auto add = [&](const auto& values) { for (const auto& v : values) all.push_back(static_cast<double>(v)); };
  const tal::SequenceBatch batch = {s.cas.data(), nullptr, s.offsets.data(), 3, 4};
  const tal::ProposalColumns p = tal::propose(batch, s.proposal, threads);
  add(p.start);
  add(p.score);
  add(tal::video_scores(batch, s.proposal, threads));
  for (const auto kind : {tal::NmsKind::hard, tal::NmsKind::linear, tal::NmsKind::gaussian, tal::NmsKind::suppressor}) {
    tal::NmsOptions o;
    o.kind = kind;
    o.threshold = 0.3;
    const Intervals& d = s.found;
    const tal::Kept kept = tal::suppress(
        {d.start.data(), d.end.data(), d.score.data(), d.label.data(), s.offsets.data(), 3}, o, threads);
    add(kept.index);
    add(kept.score);
  }
  const Intervals& t = s.truth;
  const tal::TruthColumns truth = {t.video.data(), t.label.data(), t.start.data(), t.end.data(), t.size()};
  const Intervals& f = s.found;
  const tal::PredictionColumns found = {f.video.data(), f.label.data(), f.start.data(), f.end.data(),
                                        f.score.data(), nullptr, nullptr, f.size()};
  tal::ApOptions ap;
  ap.thresholds = {0.3, 0.5, 0.7};
  add(tal::average_precision(truth, found, 2, 3, ap, threads));
  add(tal::average_recall(truth, found, 3, {{0.5, 0.7}, 50.0, 20}, threads).recall);
  const double* q = s.probability.data();
  add(tal::boundary_pairs(q, q, 300, {0.5, 1, 20, 100}).score);
  const tal::Clusters c = tal::constrained_kmedoids(s.cas.data(), 900, 4, s.points.data(), 3);
  add(c.bounds);
  add(tal::mine_actions(s.cas.data(), 900, 4, s.points.data(), c).start);
  return all;
}

void many_callers_find_the_same() {
  const Shared shared;
  const std::vector<double> wanted = everything(shared, 1);
  CHECK(wanted.size() > 2000);
  std::vector<std::vector<double>> found(6);
  std::vector<std::thread> callers;
  for (std::size_t i = 0; i < found.size(); ++i) {
    callers.emplace_back([&, i] {
      for (int round = 0; round < 3; ++round) found[i] = everything(shared, static_cast<int>(1 + i % 3));
    });
  }
  for (std::thread& t : callers) t.join();
  for (const auto& f : found) CHECK(f == wanted);
}

void work_is_done_once_and_errors_come_out() {
  for (const int threads : {0, 1, 2, 7, 1000}) {
    std::vector<std::atomic<int>> done(500);
    tal::for_each_index(done.size(), threads, [&](std::size_t i) { ++done[i]; });
    for (const auto& d : done) CHECK(d == 1);
    CHECK(test::refuses([&] {
      tal::for_each_index(100, threads, [](std::size_t i) { if (i % 10 == 3) throw std::invalid_argument("no"); });
    }));
  }
}

// Each thread reads its own last error.
void errors_are_the_threads_own() {
  std::vector<std::thread> callers;
  std::atomic<int> wrong{0};
  for (int i = 0; i < 4; ++i) {
    callers.emplace_back([i, &wrong] {
      for (int round = 0; round < 200; ++round) {
        tal_nms_options o = tal_nms_options_default();
        o.kind = 100 + i;
        const std::int64_t offsets[] = {0};
        const tal_intervals in = {nullptr, nullptr, nullptr, nullptr, offsets, 0};
        tal_kept kept;
        const bool refused = tal_suppress(&in, &o, 1, &kept) == TAL_INVALID;
        const std::string words = "kind is " + std::to_string(100 + i) + ", must be in 0..3";
        if (!refused || words != tal_last_error()) ++wrong;
      }
    });
  }
  for (std::thread& t : callers) t.join();
  CHECK(wrong == 0);
}

}  // namespace

int main() {
  many_callers_find_the_same();
  work_is_done_once_and_errors_come_out();
  errors_are_the_threads_own();
  return test::report("threads");
}
