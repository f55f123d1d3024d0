// Average precision over temporal IoU thresholds, all of them in one pass.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace tal {

// Who gets which true instance.
//   best_free    a prediction, in its turn, takes the free true instance that it overlaps most
//                (ActivityNet toolkit; equal overlaps: the one listed first)
//   truth_first  a true instance, in listed order, takes the free prediction of its video that
//                overlaps it most (THUMOS14 development kit; equal overlaps: the better ranked)
enum class Matching { best_free, truth_first };

//   interpolated  area under the precision envelope (VOC 2010, ActivityNet)
//   plain         mean of the precision at each true positive (THUMOS14, later kit: TH14evalDet_Updated.m)
//   eleven_point  mean of the best precision at recalls of at least 0, 0.1, ..., 1 (VOC 2007; THUMOS14,
//                 first kit: TH14eventdetpr.m). Recalls are compared exactly, as 10 * right >= level * truth.
enum class ApRule { interpolated, plain, eleven_point };

// Where true positives stand among predictions of equal score.
//   ranked       where `rank`, or the default order, puts them
//   true_first   before all others (THUMOS14, first kit)
//   true_last    after all others; with true_first, the span of scores that an order of ties can give
enum class Ties { ranked, true_first, true_last };

struct ApOptions {
  std::vector<double> thresholds;  // at most 64
  Matching matching = Matching::best_free;
  ApRule rule = ApRule::interpolated;
  bool inclusive = true;     // an overlap of exactly the threshold is enough
  Ties ties = Ties::ranked;
};

// n labelled intervals of a data set; non-owning. Labels are 0 .. classes - 1, videos 0 .. videos - 1.
struct TruthColumns {
  const std::int32_t* video = nullptr;
  const std::int32_t* label = nullptr;
  const double* start = nullptr;
  const double* end = nullptr;
  std::size_t size = 0;
};

struct PredictionColumns {
  const std::int32_t* video = nullptr;
  const std::int32_t* label = nullptr;
  const double* start = nullptr;
  const double* end = nullptr;
  const double* score = nullptr;
  // Null: by score descending, ties by start, end, video, then input order. Otherwise a position
  // for each prediction; smaller comes first. Ranks must not contradict the scores unless ties are ranked.
  const std::int64_t* rank = nullptr;
  // Null, or 1 for predictions that count for nothing unless they are right.
  const std::uint8_t* ignorable = nullptr;
  std::size_t size = 0;
};

// Average precision, row major [thresholds][classes]. A class with truth and no predictions has 0,
// a class without truth NaN. An overlap of two intervals whose union has no length is 0.
// The result does not depend on the number of threads.
// Throws std::invalid_argument on values that are not finite, end < start, or ids out of range.
std::vector<double> average_precision(const TruthColumns& truth, const PredictionColumns& predictions,
                                      std::size_t classes, std::size_t videos, const ApOptions& options,
                                      int threads = 1);

}  // namespace tal
