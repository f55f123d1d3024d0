#include "tal/boundary.hpp"

#include <algorithm>
#include <cmath>
#include <string>

#include "columns.hpp"

namespace tal {
namespace {

using detail::refuse;
using Index = std::int64_t;

struct Pair {
  double score;
  Index start;
  Index end;
};

bool better(const Pair& a, const Pair& b) {
  if (a.score != b.score) return a.score > b.score;
  return a.start != b.start ? a.start < b.start : a.end < b.end;
}

void check(const double* p, Index length, const char* name) {
  for (Index i = 0; i < length; ++i) {
    if (!std::isfinite(p[i])) refuse(std::string(name) + " is not finite at place " + std::to_string(i));
    // Scores are products.
    if (std::abs(p[i]) > 1e150) refuse(std::string(name) + " is beyond 1e150 at place " + std::to_string(i));
  }
}

}  // namespace

std::vector<Index> boundary_candidates(const double* p, Index length, double peak_share) {
  std::vector<Index> places;
  if (length == 0) return places;
  const double limit = peak_share * *std::max_element(p, p + length);
  for (Index i = 0; i < length; ++i) {
    const bool edge = i == 0 || i == length - 1;
    const bool peak = !edge && p[i] > p[i - 1] && p[i] > p[i + 1];
    if (edge || peak || p[i] > limit) places.push_back(i);
  }
  return places;
}

BoundaryPairs boundary_pairs(const double* start, const double* end, Index length, const BoundaryOptions& o) {
  check(start, length, "start");
  check(end, length, "end");
  if (!std::isfinite(o.peak_share)) refuse("peak_share is not finite");
  if (o.d_min < 1) refuse("d_min is " + std::to_string(o.d_min) + ", must be at least 1");
  if (o.d_max != 0 && o.d_max < o.d_min) {
    refuse("d_max is " + std::to_string(o.d_max) + ", must be 0 (all) or at least d_min (" + std::to_string(o.d_min) + ")");
  }
  if (o.top_k < 0) refuse("top_k is " + std::to_string(o.top_k) + ", must be 0 (all) or more");

  const std::vector<Index> starts = boundary_candidates(start, length, o.peak_share);
  const std::vector<Index> ends = boundary_candidates(end, length, o.peak_share);
  const auto cap = static_cast<std::size_t>(o.top_k);
  std::vector<Pair> pairs;  // with a cap: a heap whose top is the worst pair kept
  for (Index s : starts) {
    if (o.d_min >= length - s) break;  // also keeps the sum below in range
    auto e = std::lower_bound(ends.begin(), ends.end(), s + o.d_min);
    for (; e != ends.end() && (o.d_max == 0 || *e - s <= o.d_max); ++e) {
      const Pair pair{start[s] * end[*e], s, *e};
      if (cap == 0 || pairs.size() < cap) {
        pairs.push_back(pair);
        if (cap != 0) std::push_heap(pairs.begin(), pairs.end(), better);
      } else if (better(pair, pairs.front())) {
        std::pop_heap(pairs.begin(), pairs.end(), better);
        pairs.back() = pair;
        std::push_heap(pairs.begin(), pairs.end(), better);
      }
    }
  }
  if (cap != 0) std::sort(pairs.begin(), pairs.end(), better);
  BoundaryPairs out;
  for (const Pair& p : pairs) {
    out.start.push_back(p.start);
    out.end.push_back(p.end);
    out.score.push_back(p.score);
  }
  return out;
}

std::vector<double> sampling_positions(const double* start, const double* end, std::size_t n, std::size_t points,
                                       double margin) {
  std::vector<double> out;
  if (n == 0 || points == 0) return out;
  if (points > out.max_size() / n) throw std::length_error("n * points is more than memory can hold");
  out.reserve(n * points);
  for (std::size_t i = 0; i < n; ++i) {
    const double d = end[i] - start[i];
    const double low = start[i] - margin * d;
    const double high = end[i] + margin * d;
    if (!std::isfinite(high - low)) refuse("proposal " + std::to_string(i) + " with its margin is not finite");
    for (std::size_t k = 0; k < points; ++k) {
      const double share = points == 1 ? 0.5 : static_cast<double>(k) / static_cast<double>(points - 1);
      out.push_back(low + (high - low) * share);
    }
  }
  return out;
}

}  // namespace tal
