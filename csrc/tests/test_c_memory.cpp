// The memory promises of tal.h: no call needs more than its comment says, a call that cannot have what
// it needs says so, and nothing stays behind.
#include <atomic>
#include <cstddef>
#include <functional>
#include <new>
#include <string>

#include "check.hpp"
#include "random_data.hpp"
#include "tal/tal.h"

namespace {

std::atomic<std::size_t> in_use{0}, peak{0}, until_failure{SIZE_MAX};

constexpr std::size_t kHead = alignof(std::max_align_t);  // room before each block for its size

void* take(std::size_t size) {
  if (until_failure != SIZE_MAX && until_failure-- == 0) throw std::bad_alloc();
  auto* block = static_cast<char*>(std::malloc(size + kHead));
  if (block == nullptr) throw std::bad_alloc();
  *reinterpret_cast<std::size_t*>(block) = size;
  const std::size_t now = in_use += size;
  std::size_t top = peak;
  while (top < now && !peak.compare_exchange_weak(top, now)) {
  }
  return block + kHead;
}

void give(void* p) {
  if (p == nullptr) return;
  char* block = static_cast<char*>(p) - kHead;
  in_use -= *reinterpret_cast<std::size_t*>(block);
  std::free(block);
}

}  // namespace

void* operator new(std::size_t size) { return take(size); }
void* operator new[](std::size_t size) { return take(size); }
void* operator new(std::size_t size, const std::nothrow_t&) noexcept {
  try {
    return take(size);
  } catch (...) {
    return nullptr;
  }
}
void operator delete(void* p) noexcept { give(p); }
void operator delete[](void* p) noexcept { give(p); }
void operator delete(void* p, std::size_t) noexcept { give(p); }
void operator delete[](void* p, std::size_t) noexcept { give(p); }
void operator delete(void* p, const std::nothrow_t&) noexcept { give(p); }

namespace {

using test::Dice;
using test::Intervals;

// The call gives a status and the owner of its result; `bound` is what tal.h allows, besides what the
// status, a few vectors and the threads themselves take.
struct Call {
  const char* name;
  double bound;
  std::function<tal_status(tal_owner**)> run;
};

constexpr double kFixed = 16384;

void stays_below_its_bound(const Call& call) {
  const std::size_t before = in_use;
  peak = before;
  tal_owner* owner = nullptr;
  const tal_status status = call.run(&owner);
  const double used = static_cast<double>(peak - before);
  CHECK(status == TAL_OK && owner != nullptr);
  if (used > call.bound + kFixed) std::fprintf(stderr, "%s: %.0f bytes, %.0f allowed\n", call.name, used, call.bound);
  CHECK(used <= call.bound + kFixed);
  tal_release(owner);
  CHECK(in_use == before);
}

// Lets the first, the second, ... allocation fail until the call has all that it wants.
void survives_every_failure(const Call& call) {
  const std::size_t before = in_use;
  std::size_t step = 1;
  for (std::size_t k = 0;; k += step) {
    tal_owner* owner = nullptr;
    until_failure = k;
    const tal_status status = call.run(&owner);
    until_failure = SIZE_MAX;
    tal_release(owner);
    CHECK(in_use == before);
    if (status == TAL_OK) break;
    CHECK(status == TAL_NO_MEMORY && owner == nullptr && std::string(tal_last_error()) == "out of memory");
    if (k > 200) step = 37;  // the beginning one by one, then samples
  }
}

// Larger inputs for the bounds, smaller ones for the failures.
struct Inputs {
  Dice dice{5};
  std::size_t n, t;
  Intervals truth, found;
  std::vector<std::int64_t> offsets, points;
  std::vector<float> cas;
  std::vector<double> probability;
  std::vector<std::uint8_t> pixels = std::vector<std::uint8_t>(128 * 96, 90);
  std::vector<double> thresholds = {0.1, 0.3, 0.5, 0.7};
  tal_source_options source = tal_source_options_default();
  tal_proposal_options proposal = tal_proposal_options_default();
  tal_nms_options nms = tal_nms_options_default();
  tal_ap_options ap = tal_ap_options_default();
  tal_recall_options recall = tal_recall_options_default();
  tal_boundary_options boundary = tal_boundary_options_default();

  explicit Inputs(std::size_t size)
      : n(size), t(size), truth(dice, n / 4, true, 2, 3), found(dice, n, false, 2, 3) {
    const auto end = static_cast<std::int64_t>(n);
    offsets = {0, end / 3, end / 3, end};
    points = {end / 8, end / 2, end - 2};
    for (std::size_t i = 0; i < t * 4; ++i) cas.push_back(static_cast<float>(dice.share()));
    for (std::size_t i = 0; i < t; ++i) probability.push_back(dice.share());
    source.thresholds = ap.thresholds = recall.thresholds = thresholds.data();
    source.threshold_count = ap.threshold_count = recall.threshold_count = thresholds.size();
    proposal.sources = &source;
    proposal.source_count = 1;
    proposal.class_threshold = 0.0;
    nms.threshold = 0.3;
    boundary.peak_share = 0.9;
  }

  tal_sequences sequences() const { return {cas.data(), nullptr, offsets.data(), 3, 4}; }
  tal_intervals intervals() const {
    return {found.start.data(), found.end.data(), found.score.data(), found.label.data(), offsets.data(), 3};
  }
  tal_truth truth_rows() const {
    return {truth.video.data(), truth.label.data(), truth.start.data(), truth.end.data(), truth.size()};
  }
  tal_predictions found_rows() const {
    return {found.video.data(), found.label.data(), found.start.data(), found.end.data(), found.score.data(), nullptr, nullptr, n};
  }
  tal_features features() const { return {cas.data(), static_cast<std::int64_t>(t), 4}; }
};

// Wraps a call of tal.h whose result type is Out.
template <class Out, class Work>
std::function<tal_status(tal_owner**)> calls(Work work) {
  return [work](tal_owner** owner) {
    Out out;
    const tal_status status = work(&out);
    *owner = out.owner;
    return status;
  };
}

std::vector<Call> calls_on(Inputs& d, int threads, std::int32_t kind) {
  const double n = static_cast<double>(d.n), t = static_cast<double>(d.t), g = static_cast<double>(d.truth.size());
  d.nms.kind = kind;
  const auto rows = [&](const auto& in) {
    tal_proposals out;
    tal_propose(&in, &d.proposal, 1, &out);
    const double size = static_cast<double>(out.size);
    tal_release(out.owner);
    return size;
  };
  const auto pairs = [&] {
    tal_boundary_pairs out;
    tal_find_boundary_pairs(d.probability.data(), d.probability.data(), static_cast<std::int64_t>(d.t), &d.boundary, &out);
    const double size = static_cast<double>(out.size);
    tal_release(out.owner);
    return size;
  };
  return {
      {"propose", 256 * rows(d.sequences()) + 128 * t * 4 + 512 * (3 + 4 + 4),
       calls<tal_proposals>([&d, threads](auto* out) { const auto in = d.sequences(); return tal_propose(&in, &d.proposal, threads, out); })},
      {"video_scores", 16 * 3 * 4 + 64 * (t + 4) * threads,
       calls<tal_matrix>([&d, threads](auto* out) { const auto in = d.sequences(); return tal_video_scores(&in, &d.proposal, threads, out); })},
      {"suppress", 512 * n + 128 * 3,
       calls<tal_kept>([&d, threads](auto* out) { const auto in = d.intervals(); return tal_suppress(&in, &d.nms, threads, out); })},
      {"average_precision", 8 * 4 * 2 + 128 * 2 + 256 * (g + n) + 16 * 3 * threads,
       calls<tal_matrix>([&d, threads](auto* out) {
         const auto truth = d.truth_rows();
         const auto found = d.found_rows();
         return tal_average_precision(&truth, &found, 2, 3, &d.ap, threads, out);
       })},
      {"average_recall", 8 * 4 * 100 * (3 + 2) + 64 * 100 + 16 * 4 * g + 256 * (g + n) + 256 * 3,
       calls<tal_recall_curve>([&d, threads](auto* out) {
         const auto truth = d.truth_rows();
         const auto found = d.found_rows();
         return tal_average_recall(&truth, &found, 3, &d.recall, threads, out);
       })},
      {"boundary_pairs", 192 * pairs() + 64 * t, calls<tal_boundary_pairs>([&d](auto* out) {
         return tal_find_boundary_pairs(d.probability.data(), d.probability.data(), static_cast<std::int64_t>(d.t), &d.boundary, out);
       })},
      {"sampling_positions", 8 * n * 32,
       calls<tal_matrix>([&d](auto* out) { return tal_sampling_positions(d.found.start.data(), d.found.end.data(), d.n, 32, 0.1, out); })},
      {"constrained_kmedoids", 8 * t * 4 + 256 * 3 + 16 * 4 + 32 * 100,
       calls<tal_clusters>([&d](auto* out) { const auto x = d.features(); return tal_constrained_kmedoids(&x, d.points.data(), 3, 100, out); })},
      {"scaled_picture", 3.0 * 64 * 64 + 512.0 * (64 + 64 + 96 + 128) + 4096, calls<tal_picture>([&d](auto* out) {
         const tal_stored_frame frame = {d.pixels.data(), d.pixels.data(), d.pixels.data(), 128, 64, 1, 96, 128};
         const tal_colours colours = {16.0F, 1.16F, 1.6F, -0.4F, -0.8F, 2.0F};
         const tal_scaled_crop crop = {64, 85, 0, 10, 64, 64};
         return tal_scaled_picture(&frame, &colours, &crop, out);
       })},
  };
}

void mining(Inputs& d) {
  const tal_features x = d.features();
  tal_clusters c;
  CHECK(tal_constrained_kmedoids(&x, d.points.data(), 3, 100, &c) == TAL_OK);
  const Call call = {"mine_actions", 8.0 * static_cast<double>(d.t) * 4 + 64.0 * (static_cast<double>(d.t) + 3),
                     calls<tal_actions>([&](auto* out) { return tal_mine_actions(&x, d.points.data(), &c, 0.5, 1e-3, out); })};
  stays_below_its_bound(call);
  survives_every_failure(call);
  tal_release(c.owner);
}

}  // namespace

int main() {
  Inputs large(4000), small(60);
  mining(large);
  for (std::int32_t kind = TAL_NMS_HARD; kind <= TAL_NMS_SUPPRESSOR; ++kind) {
    for (const int threads : {1, 3}) {
      for (const Call& call : calls_on(large, threads, kind)) stays_below_its_bound(call);
    }
    for (const Call& call : calls_on(small, 1, kind)) {
      // The kind is suppression's alone.
      if (kind == TAL_NMS_HARD || std::string(call.name) == "suppress") survives_every_failure(call);
    }
  }
  return test::report("c_memory");
}
