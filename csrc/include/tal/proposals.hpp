// Multi-threshold grouping of activation sequences, scored by outer-inner contrast or by maximum.
//
// Knows arrays of numbers. Knows nothing of seconds, class names or Python.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "tal/column.hpp"

namespace tal {

// Which sequence is cut: each kept class's own column of the CAS, or the one attention, whose
// groups all kept classes share.
enum class Of { cas, attention };

// How a sequence is scaled over time before it is used.
//   none         as it is
//   minmax       (x - min) / (max - min); a constant sequence becomes 0 (PVLR)
//   relu_minmax  the same with min and max clipped at 0 from below, a range <= 0 taken as 1, the
//                result clipped to [0, 1] (BaS-Net, UM, CoLA, LACP)
enum class Scale { none, minmax, relu_minmax };

// What a group is worth: mean inside minus mean just outside, or the largest value inside (CBP+VLP).
enum class Scoring { contrast, maximum };

// One way to cut sequences into groups: a snippet belongs to a group where sequence > threshold.
struct SourceOptions {
  Of of = Of::cas;
  std::vector<double> thresholds;
  Scale scale = Scale::minmax;        // of the sequence that thresholds cut
  Scale score_scale = Scale::minmax;  // of the class's sequence that scores are taken on
  Scoring scoring = Scoring::contrast;
  double outer_ratio = 0.25;   // lambda: width of the outer area on each side / group length
  double class_weight = 0.2;   // gamma: weight of the video's class probability in the score
};

// From top-k means to class probabilities: softmax over all columns, or sigmoid of each.
enum class ClassScore { softmax, sigmoid };

struct ProposalOptions {
  std::vector<SourceOptions> sources;
  ClassScore class_score = ClassScore::softmax;
  double class_threshold = 0.2;  // a class is kept if its video probability reaches this
  bool class_fallback = true;    // if none does, keep the best one
  // The video logit of a class is the mean of its max(1, T / topk_ratio) largest values: 20 in PVLR's test, 8 in the
  // BaS-Net family.
  std::int64_t topk_ratio = 20;
  std::int64_t min_length = 1;   // groups of fewer points (after up-sampling) are dropped
  std::int64_t upsample = 1;     // linear up-sampling factor of all sequences, after scaling
  bool background = true;        // the last column of the CAS is background: no proposals of it
  // Published code tests index values with .any(): a threshold that keeps point 0 alone gives
  // nothing. True reproduces that.
  bool compat_any = false;
};

// Videos one after the other; non-owning. cas: row major [offsets[videos]][columns]; attention:
// [offsets[videos]] or null. video: class probabilities, row major [videos][columns - background], instead of
// those that class_score takes from the CAS, or null.
struct SequenceBatch {
  const float* cas = nullptr;
  const float* attention = nullptr;
  const std::int64_t* offsets = nullptr;  // [videos + 1], starts at 0, never falls
  std::size_t videos = 0;
  std::int64_t columns = 0;
  const double* video = nullptr;
};

// Columns of equal length; start and end in snippets (fractions of one when up-sampled), half open.
// Proposals of video v are rows offsets[v] .. offsets[v + 1]; within a video by source, class,
// threshold and time.
struct ProposalColumns {
  Column<double> start;
  Column<double> end;
  Column<double> score;
  Column<std::int32_t> label;
  std::vector<std::int64_t> offsets;
};

// All proposals of all videos. The result does not depend on the number of threads.
// Throws std::invalid_argument on values that are not finite or options that make no sense.
ProposalColumns propose(const SequenceBatch& batch, const ProposalOptions& options, int threads = 1);

// Class probabilities, row major [videos][columns - background]. A video of no snippets gives zeros.
std::vector<double> video_scores(const SequenceBatch& batch, const ProposalOptions& options, int threads = 1);

}  // namespace tal
