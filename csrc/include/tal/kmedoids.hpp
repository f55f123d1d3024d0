// Splits a video into one contiguous cluster a labelled point, and cuts actions out of the clusters.
//
// Point supervision gives one frame inside each action; features near in
// direction belong together.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace tal {

struct Clusters {
  std::vector<std::int64_t> bounds;   // [N + 1]: cluster i is [bounds[i], bounds[i + 1])
  std::vector<std::int64_t> medoids;  // [N]: the frame nearest to its cluster
  std::vector<double> cost;           // J before the first sweep and after each; never rises
};

// Constrained k-medoids over features [length][width], compared by cosine distance; rows are scaled
// to unit length here, rows of zeros stay zero. points: [count] frames, strictly rising.
//
// Each point and each medoid stays inside its cluster. A sweep runs a forward and a backward pass
// from the same state and keeps the cheapest of the two and their average; sweeps end when the cost
// stops falling. O(length * width) a sweep.
// Throws std::invalid_argument on no points, points out of order or range, or values not finite.
Clusters constrained_kmedoids(const float* features, std::int64_t length, std::int64_t width,
                              const std::int64_t* points, std::size_t count, std::size_t max_sweeps = 100);

struct Actions {
  std::vector<std::int64_t> start;  // [N]
  std::vector<std::int64_t> end;    // [N], half open
};

// The part of each cluster that is the action. On each side of the point and medoid the distance
// profile is cut in two by least squares; the outer part is background if its mean is above the
// inner one's by more than kappa * the profile's standard deviation + floor. Between neighbours whose
// points are at least 2 apart at least one background frame is left.
// With `anchors` [N, width] distances are those from each cluster's anchor, and the point alone is
// inside for sure: where actions are short, a medoid is background.
// Throws as above, and where a cluster does not hold its point and its medoid.
Actions mine_actions(const float* features, std::int64_t length, std::int64_t width, const std::int64_t* points,
                     const Clusters& clusters, double kappa = 0.5, double floor = 1e-3, const float* anchors = nullptr);

}  // namespace tal
