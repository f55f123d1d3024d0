// The C border: the same numbers as C++, and a status with words for whatever is wrong.
#include "tal/tal.h"

#include <cstring>
#include <limits>
#include <string>

#include "check.hpp"
#include "random_data.hpp"
#include "tal/boundary.hpp"
#include "tal/kmedoids.hpp"
#include "tal/mean_ap.hpp"
#include "tal/nms.hpp"
#include "tal/proposals.hpp"
#include "tal/recall.hpp"

namespace {

using test::Dice;
using test::Intervals;

bool says(tal_status status, const char* words) {
  const bool said = status == TAL_INVALID && std::strstr(tal_last_error(), words) != nullptr;
  if (!said) std::fprintf(stderr, "status %d, '%s', wanted '%s'\n", static_cast<int>(status), tal_last_error(), words);
  return said;
}

template <class T, class Allocator>
bool same(const T* found, const std::vector<T, Allocator>& wanted) {
  return std::equal(wanted.begin(), wanted.end(), found);
}

bool empty(const tal_matrix& m) { return m.owner == nullptr && m.values == nullptr && m.rows == 0 && m.columns == 0; }

void proposals() {
  Dice dice(1);
  std::vector<float> cas(90);
  for (float& x : cas) x = static_cast<float>(dice.share());
  const std::int64_t offsets[] = {0, 10, 30};
  const double thresholds[] = {0.2, 0.5};
  tal_source_options source = tal_source_options_default();
  source.thresholds = thresholds;
  source.threshold_count = 2;
  tal_proposal_options o = tal_proposal_options_default();
  o.sources = &source;
  o.source_count = 1;
  tal::ProposalOptions wanted_options;
  wanted_options.sources.resize(1);
  wanted_options.sources[0].thresholds = {0.2, 0.5};
  tal_sequences in = {cas.data(), nullptr, offsets, 2, 3};
  const tal::SequenceBatch batch = {cas.data(), nullptr, offsets, 2, 3};
  tal_proposals out;
  CHECK(tal_propose(&in, &o, 1, &out) == TAL_OK);
  const tal::ProposalColumns wanted = tal::propose(batch, wanted_options);
  CHECK(out.size == wanted.start.size() && out.size > 0);
  CHECK(same(out.start, wanted.start) && same(out.end, wanted.end) && same(out.score, wanted.score));
  CHECK(same(out.label, wanted.label) && same(out.offsets, wanted.offsets));
  tal_release(out.owner);
  tal_matrix scores;
  CHECK(tal_video_scores(&in, &o, 1, &scores) == TAL_OK && scores.rows == 2 && scores.columns == 2);
  CHECK(same(scores.values, tal::video_scores(batch, wanted_options)));
  tal_release(scores.owner);

  CHECK(says(tal_propose(nullptr, &o, 1, &out), "in is null") && out.owner == nullptr && out.size == 0);
  CHECK(says(tal_propose(&in, nullptr, 1, &out), "options is null"));
  CHECK(says(tal_propose(&in, &o, 1, nullptr), "out is null"));
  CHECK(says(tal_video_scores(nullptr, &o, 1, &scores), "in is null") && empty(scores));
  const auto bad = [&](auto change, const char* words) {
    tal_sequences in2 = in;
    tal_source_options source2 = source;
    tal_proposal_options o2 = o;
    o2.sources = &source2;
    change(in2, source2, o2);
    return says(tal_propose(&in2, &o2, 1, &out), words);
  };
  const std::int64_t falling[] = {0, 20, 10}, late[] = {1, 2, 3};
  CHECK(bad([](auto& i, auto&, auto&) { i.cas = nullptr; }, "cas is null, needs 30 values"));
  CHECK(bad([](auto& i, auto&, auto&) { i.offsets = nullptr; }, "offsets is null"));
  CHECK(bad([&](auto& i, auto&, auto&) { i.offsets = falling; }, "offsets fall at video 1"));
  CHECK(bad([&](auto& i, auto&, auto&) { i.offsets = late; }, "offsets start at 1"));
  CHECK(bad([](auto& i, auto&, auto&) { i.columns = 0; }, "columns is 0"));
  CHECK(bad([](auto&, auto& s, auto&) { s.thresholds = nullptr; }, "thresholds is null"));
  CHECK(bad([](auto&, auto& s, auto&) { s.of = 2; }, "of is 2, must be in 0..1"));
  CHECK(bad([](auto&, auto& s, auto&) { s.scale = -1; }, "scale is -1"));
  CHECK(bad([](auto&, auto&, auto& p) { p.sources = nullptr; }, "sources is null"));
  CHECK(bad([](auto&, auto&, auto& p) { p.background = 2; }, "background is 2, must be 0 or 1"));
  CHECK(bad([](auto&, auto&, auto& p) { p.upsample = 0; }, "at least 1"));
}

void suppression() {
  Dice dice(2);
  const Intervals d(dice, 50, false);
  const std::int64_t offsets[] = {0, 20, 50};
  tal_intervals in = {d.start.data(), d.end.data(), d.score.data(), d.label.data(), offsets, 2};
  const tal_nms_options o = tal_nms_options_default();
  tal_kept out;
  CHECK(tal_suppress(&in, &o, 2, &out) == TAL_OK);
  const tal::Kept wanted = tal::suppress({d.start.data(), d.end.data(), d.score.data(), d.label.data(), offsets, 2}, {});
  CHECK(out.size == 50 && same(out.index, wanted.index) && same(out.score, wanted.score) && same(out.offsets, wanted.offsets));
  tal_release(out.owner);
  tal_release(nullptr);
  in.start = nullptr;
  CHECK(says(tal_suppress(&in, &o, 1, &out), "start is null, needs 50 values") && out.owner == nullptr);
  CHECK(says(tal_suppress(nullptr, &o, 1, &out), "in is null"));
  CHECK(says(tal_suppress(&in, nullptr, 1, &out), "is null"));
  const std::int64_t none[] = {0};
  const tal_intervals nothing = {nullptr, nullptr, nullptr, nullptr, none, 0};
  CHECK(tal_suppress(&nothing, &o, 0, &out) == TAL_OK && out.size == 0 && out.owner != nullptr);
  tal_release(out.owner);
}

void metrics() {
  Dice dice(3);
  const Intervals t(dice, 20, false), p(dice, 80, false);
  tal_truth truth = {t.video.data(), t.label.data(), t.start.data(), t.end.data(), t.size()};
  tal_predictions found = {p.video.data(), p.label.data(), p.start.data(), p.end.data(), p.score.data(), nullptr, nullptr, p.size()};
  const double thresholds[] = {0.3, 0.5, 0.7};
  tal_ap_options o = tal_ap_options_default();
  o.thresholds = thresholds;
  o.threshold_count = 3;
  const tal::TruthColumns truth_cpp = {t.video.data(), t.label.data(), t.start.data(), t.end.data(), t.size()};
  const tal::PredictionColumns found_cpp = {p.video.data(), p.label.data(), p.start.data(), p.end.data(), p.score.data(), nullptr, nullptr, p.size()};
  tal::ApOptions cpp;
  cpp.thresholds = {0.3, 0.5, 0.7};
  tal_matrix ap;
  CHECK(tal_average_precision(&truth, &found, 2, 2, &o, 1, &ap) == TAL_OK && ap.rows == 3 && ap.columns == 2);
  CHECK(same(ap.values, tal::average_precision(truth_cpp, found_cpp, 2, 2, cpp)));
  tal_release(ap.owner);
  tal_recall_options r = tal_recall_options_default();
  r.thresholds = thresholds;
  r.threshold_count = 3;
  tal_recall_curve curve;
  truth.label = found.label = nullptr;  // recall does not need them
  CHECK(tal_average_recall(&truth, &found, 2, &r, 1, &curve) == TAL_OK && curve.thresholds == 3 && curve.steps == 100);
  const tal::RecallCurve wanted = tal::average_recall(truth_cpp, found_cpp, 2, {{0.3, 0.5, 0.7}, 0.0, 100});
  CHECK(same(curve.recall, wanted.recall) && same(curve.proposals_per_video, wanted.proposals_per_video));
  tal_release(curve.owner);

  CHECK(says(tal_average_precision(&truth, &found, 2, 2, &o, 1, &ap), "truth.label is null") && empty(ap));
  CHECK(says(tal_average_precision(nullptr, &found, 2, 2, &o, 1, &ap), "truth is null"));
  CHECK(says(tal_average_precision(&truth, nullptr, 2, 2, &o, 1, &ap), "predictions is null"));
  CHECK(says(tal_average_recall(&truth, &found, 2, nullptr, 1, &curve), "options is null"));
  CHECK(says(tal_average_recall(&truth, nullptr, 2, &r, 1, &curve), "predictions is null"));
  CHECK(says(tal_average_recall(&truth, &found, 1, &r, 1, &curve), "outside 0..1-1"));
  r.steps = SIZE_MAX / 2;
  CHECK(tal_average_recall(&truth, &found, 2, &r, 1, &curve) == TAL_NO_MEMORY && curve.owner == nullptr);
  CHECK(std::strlen(tal_last_error()) > 0);
}

void points() {
  const double p[] = {0.1, 0.9, 0.2, 0.8, 0.1};
  const tal_boundary_options o = tal_boundary_options_default();
  tal_boundary_pairs pairs;
  CHECK(tal_find_boundary_pairs(p, p, 5, &o, &pairs) == TAL_OK);
  const tal::BoundaryPairs wanted = tal::boundary_pairs(p, p, 5, {});
  CHECK(pairs.size == wanted.start.size() && pairs.size > 0 && same(pairs.start, wanted.start) && same(pairs.score, wanted.score));
  tal_release(pairs.owner);
  CHECK(says(tal_find_boundary_pairs(nullptr, p, 5, &o, &pairs), "start is null"));
  CHECK(says(tal_find_boundary_pairs(p, p, -1, &o, &pairs), "length is -1"));
  CHECK(says(tal_find_boundary_pairs(p, p, 5, nullptr, &pairs), "options is null"));
  tal_matrix positions;
  CHECK(tal_sampling_positions(p, p, 5, 2, 0.1, &positions) == TAL_OK && positions.rows == 5 && positions.columns == 2);
  CHECK(same(positions.values, tal::sampling_positions(p, p, 5, 2, 0.1)));
  tal_release(positions.owner);
  CHECK(says(tal_sampling_positions(p, nullptr, 5, 2, 0.1, &positions), "end is null") && empty(positions));
  CHECK(tal_sampling_positions(p, p, 5, SIZE_MAX / 4, 0.1, &positions) == TAL_NO_MEMORY);

  const float x[] = {1, 0, 1, 0, 0, 1, 0, 1};
  const std::int64_t where[] = {0, 3};
  const tal_features features = {x, 4, 2};
  tal_clusters clusters;
  CHECK(tal_constrained_kmedoids(&features, where, 2, 100, &clusters) == TAL_OK && clusters.count == 2);
  const tal::Clusters split = tal::constrained_kmedoids(x, 4, 2, where, 2);
  CHECK(same(clusters.bounds, split.bounds) && same(clusters.medoids, split.medoids) && same(clusters.cost, split.cost));
  tal_actions actions;
  CHECK(tal_mine_actions(&features, where, &clusters, 0.5, 1e-3, &actions) == TAL_OK && actions.size == 2);
  const tal::Actions mined = tal::mine_actions(x, 4, 2, where, split);
  CHECK(same(actions.start, mined.start) && same(actions.end, mined.end));
  tal_release(actions.owner);
  CHECK(says(tal_mine_actions(&features, where, nullptr, 0.5, 1e-3, &actions), "clusters is null"));
  tal_clusters hollow = clusters;
  hollow.bounds = nullptr;
  CHECK(says(tal_mine_actions(&features, where, &hollow, 0.5, 1e-3, &actions), "clusters.bounds is null"));
  tal_release(clusters.owner);
  CHECK(says(tal_constrained_kmedoids(nullptr, where, 2, 1, &clusters), "features is null"));
  CHECK(says(tal_constrained_kmedoids(&features, nullptr, 2, 1, &clusters), "points is null"));
  const tal_features none = {nullptr, 4, 2};
  CHECK(says(tal_constrained_kmedoids(&none, where, 2, 1, &clusters), "features.values is null"));
}

void pictures() {
  const std::uint8_t luma[16] = {10, 20, 30, 40, 50, 60, 70, 80, 90, 100, 110, 120, 130, 140, 150, 160};
  const std::uint8_t chroma[8] = {128, 128, 128, 128, 128, 128, 128, 128};
  const tal_stored_frame frame = {luma, chroma, chroma + 1, 4, 4, 2, 4, 4};
  const tal_colours grey = {0.0F, 1.0F, 1.4F, -0.3F, -0.7F, 1.8F};
  const tal_scaled_crop crop = {2, 2, 0, 1, 2, 1};
  tal_picture out;
  CHECK(tal_scaled_picture(&frame, &grey, &crop, &out) == TAL_OK && out.rows == 2 && out.columns == 1);
  CHECK(out.pixels[0] == 55 && out.pixels[2] == 55 && out.pixels[3] == 135);
  tal_release(out.owner);
  CHECK(says(tal_scaled_picture(nullptr, &grey, &crop, &out), "frame is null"));
  CHECK(says(tal_scaled_picture(&frame, nullptr, &crop, &out), "colours is null"));
  CHECK(says(tal_scaled_picture(&frame, &grey, nullptr, &out), "crop is null"));
  tal_stored_frame odd = frame;
  odd.chroma_step = 3;
  CHECK(says(tal_scaled_picture(&odd, &grey, &crop, &out), "chroma_step is 3"));
  odd.u = nullptr;
  CHECK(says(tal_scaled_picture(&odd, &grey, &crop, &out), "a plane of frame is null"));
  const tal_scaled_crop outside = {2, 2, 0, 1, 2, 2};
  CHECK(says(tal_scaled_picture(&frame, &grey, &outside, &out), "the crop ends at row 2 and column 3"));
  const tal_scaled_crop empty_crop = {2, 2, 0, 0, 0, 1};
  CHECK(says(tal_scaled_picture(&frame, &grey, &empty_crop, &out), "a side of 0"));
}

}  // namespace

int main() {
  CHECK(std::string(tal_last_error()).empty());
  CHECK(std::string(tal_version()).find('.') != std::string::npos);
  proposals();
  suppression();
  metrics();
  points();
  pictures();
  return test::report("c_api");
}
