// Non-maximum suppression of temporal intervals, per class or across classes, for many videos.
#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <vector>

#include "tal/column.hpp"

namespace tal {

//   hard        an interval that overlaps a better one is dropped
//   linear      its score is multiplied by 1 - tIoU
//   gaussian    its score is multiplied by exp(-tIoU^2 / sigma)
//   suppressor  as hard, but what is dropped comes out too, its score multiplied once by
//               exp(-tIoU^2 / sigma) of the interval that dropped it (ASL, AICL)
enum class NmsKind { hard, linear, gaussian, suppressor };

struct NmsOptions {
  NmsKind kind = NmsKind::gaussian;
  double sigma = 0.2;  // PVLR on THUMOS14; CO2-Net and HAM-Net 0.3
  // Overlaps up to this are left alone. 0: every overlap counts (the usual gaussian rule).
  double threshold = 0.0;
  // BMN's second threshold: the better interval's length times this is added to the threshold
  // (BMN's t1 = .5, t2 = .9 on times in 0..1: threshold .5, threshold_slope .4). Gaussian only.
  double threshold_slope = 0.0;
  // An overlap of exactly the threshold counts (ActionFormer, PVLR) or does not.
  bool inclusive = false;
  // Added to lengths and intersections; 1 is the pixel convention of PVLR, CoLA and LACP.
  double length_offset = 0.0;
  // Intervals that are or fall below this are dropped; they suppress nothing.
  double min_score = -std::numeric_limits<double>::infinity();
  // At most this many a video, best first; 0 keeps all.
  std::int64_t top_k = 0;
  // Suppress across labels too.
  bool class_agnostic = false;
};

// Videos one after the other; non-owning. label may be null (one class).
struct IntervalBatch {
  const double* start = nullptr;
  const double* end = nullptr;
  const double* score = nullptr;
  const std::int32_t* label = nullptr;
  const std::int64_t* offsets = nullptr;  // [videos + 1]
  std::size_t videos = 0;
  std::size_t stride = 1;  // of start and end: 2 for the columns of a matrix [n][2]
};

// Rows index[offsets[v]] .. of video v: best first, ties by start, end, then input order.
struct Kept {
  Column<std::int64_t> index;  // into the whole input
  Column<double> score;        // after decay
  std::vector<std::int64_t> offsets;
};

// Intersection over union of two intervals; 0 where the union has no length.
inline double tiou(double start_a, double end_a, double start_b, double end_b) {
  const double low = start_a > start_b ? start_a : start_b;
  const double high = end_a < end_b ? end_a : end_b;
  const double inter = high - low > 0.0 ? high - low : 0.0;
  const double total = (end_a - start_a) + (end_b - start_b) - inter;
  return total > 0.0 ? inter / total : 0.0;
}

// What remains of every video. In each group (video and class, or video) intervals are taken by
// score, ties by start, end, then input order. A gaussian score is s * exp(-sum of tIoU^2 / sigma)
// over the intervals taken before it: the product of the usual definition in one exponential,
// which is also how intervals are compared (log s - sum / sigma).
//
// The result does not depend on the number of threads.
// Throws std::invalid_argument on values that are not finite, times beyond 1e300, end < start, or bad
// options.
Kept suppress(const IntervalBatch& batch, const NmsOptions& options, int threads = 1);

}  // namespace tal
