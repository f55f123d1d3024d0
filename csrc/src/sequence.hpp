// One activation sequence at s times its rate, without ever storing the points in between.
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include "tal/proposals.hpp"

namespace tal::detail {

using Index = std::int64_t;

inline std::size_t at(Index i) { return static_cast<std::size_t>(i); }

// The values of a snippet sequence and their linear interpolation at 0, 1/s, 2/s, ... < length.
// Points past the last snippet continue the last slope, as scipy's interp1d with
// fill_value="extrapolate" does in the public code.
//
// Between two snippets the points rise or fall steadily, also after rounding, so a group's border
// is found by bisection: grouping costs O(length) a threshold whatever the factor.
class Sequence {
 public:
  Sequence(std::vector<double> values, Index factor) : v_(std::move(values)), s_(factor) {}

  Index points() const { return static_cast<Index>(v_.size()) * s_; }

  double point(Index i) const {
    if (s_ == 1) return v_[at(i)];
    const Index left = std::min(i / s_, std::max<Index>(static_cast<Index>(v_.size()) - 2, 0));
    const Index right = std::min(left + 1, static_cast<Index>(v_.size()) - 1);
    const double a = v_[at(left)];
    const double x = static_cast<double>(i) / static_cast<double>(s_) - static_cast<double>(left);
    return a + (v_[at(right)] - a) * x;
  }

  // Prepares sum(); costs O(length) once.
  void prepare_sums() {
    sums_.assign(v_.size() + 1, 0.0);
    const Index n = static_cast<Index>(v_.size());
    for (Index k = 0; k < n; ++k) sums_[at(k + 1)] = sums_[at(k)] + part(k, s_);
  }

  // Sum of the points before i.
  double sum(Index i) const {
    if (s_ == 1) return sums_[at(i)];
    const Index k = i / s_;
    return sums_[at(k)] + (i % s_ == 0 ? 0.0 : part(k, i % s_));
  }

  // Largest point in [first, last]; a linear piece is largest at one of its ends.
  double maximum(Index first, Index last) const {
    double top = std::max(point(first), point(last));
    for (Index k = first / s_ + 1; k * s_ <= last; ++k) top = std::max(top, node(k));
    return top;
  }

  // Calls found(first, last) for every run of points > threshold, both ends included.
  template <class Found>
  void for_runs(double threshold, Found found) const {
    const Index n = static_cast<Index>(v_.size());
    Index start = -1;
    for (Index k = 0; k < n; ++k) {
      const Index first = k * s_;
      const bool above = node(k) > threshold;
      if (above && start < 0) start = first;
      if (!above && start >= 0) {
        found(start, first - 1);
        start = -1;
      }
      if (s_ == 1) continue;
      const Index last = first + s_ - 1;
      if ((point(last) > threshold) == above) continue;
      const Index border = first_that_differs(first, last, threshold, above);
      if (above) {
        found(start, border - 1);
        start = -1;
      } else {
        start = border;
      }
    }
    if (start >= 0) found(start, points() - 1);
  }

 private:
  // Point k * s. The last snippet is reached from the one before it, which rounds differently.
  double node(Index k) const { return s_ > 1 && k + 1 == static_cast<Index>(v_.size()) ? point(k * s_) : v_[at(k)]; }

  // Sum of the first m points that belong to snippet k.
  double part(Index k, Index m) const {
    const double a = v_[at(k)];
    const double count = static_cast<double>(m);
    if (s_ == 1) return a;
    return count * a + slope(k) * (count - 1.0) * count / (2.0 * static_cast<double>(s_));
  }

  double slope(Index k) const {
    const Index n = static_cast<Index>(v_.size());
    if (n < 2) return 0.0;
    const Index left = std::min(k, n - 2);
    return v_[at(left + 1)] - v_[at(left)];
  }

  Index first_that_differs(Index low, Index high, double threshold, bool above) const {
    while (low + 1 < high) {  // low is on the old side, high on the new one
      const Index middle = low + (high - low) / 2;
      ((point(middle) > threshold) == above ? low : high) = middle;
    }
    return high;
  }

  std::vector<double> v_;
  std::vector<double> sums_;
  Index s_;
};

}  // namespace tal::detail
