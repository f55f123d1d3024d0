// Average recall against the average number of proposals a video (AR@AN), labels ignored.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "tal/mean_ap.hpp"

namespace tal {

struct RecallOptions {
  std::vector<double> thresholds;
  // Average number of proposals a video at the right end of the curve; 0 takes all there are. As in
  // the ActivityNet toolkit every video keeps the same share of its own proposals.
  double max_average = 0.0;
  std::size_t steps = 100;
};

struct RecallCurve {
  std::vector<double> recall;               // row major [thresholds][steps]
  std::vector<double> proposals_per_video;  // [steps]
};

// Recall over the videos that have truth. Proposals are taken by score, ties as in mean_ap.hpp.
// The result does not depend on the number of threads.
// Throws std::invalid_argument as average_precision does.
RecallCurve average_recall(const TruthColumns& truth, const PredictionColumns& proposals, std::size_t videos,
                           const RecallOptions& options, int threads = 1);

}  // namespace tal
