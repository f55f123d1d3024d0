// Proposals from boundary probabilities: pairs of likely starts and ends (BSN, APN).
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace tal {

struct BoundaryOptions {
  // A place is a candidate where its probability is a strict local peak or above this share of the
  // largest one; the first and the last place always are (BSN).
  double peak_share = 0.5;
  // Allowed durations in snippets, both ends included; d_max 0 allows all.
  std::int64_t d_min = 1;
  std::int64_t d_max = 0;
  // At most so many pairs, by start probability * end probability; 0 keeps all.
  std::int64_t top_k = 0;
};

// Candidate places of a probability sequence, ascending.
std::vector<std::int64_t> boundary_candidates(const double* probability, std::int64_t length, double peak_share);

// Pairs start < end. With top_k: the best, ties by start, then end. Without: by start, then end.
struct BoundaryPairs {
  std::vector<std::int64_t> start;
  std::vector<std::int64_t> end;
  std::vector<double> score;  // start probability * end probability
};

// Throws std::invalid_argument on values that are not finite or beyond 1e150, or options that make no sense.
BoundaryPairs boundary_pairs(const double* start, const double* end, std::int64_t length,
                             const BoundaryOptions& options);

// `points` positions evenly spaced in [start - margin * d, end + margin * d] for each of n
// proposals, d = end - start: row major [n][points]. One point is the middle.
// Throws std::invalid_argument where a widened proposal is not finite, std::length_error where the
// result is larger than memory can be.
std::vector<double> sampling_positions(const double* start, const double* end, std::size_t n, std::size_t points,
                                       double margin);

}  // namespace tal
