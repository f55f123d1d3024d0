// One activation sequence at s times its rate, without ever storing the points in between.
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include "tal/proposals.hpp"

namespace tal::detail {

using Index = std::int64_t;

inline std::size_t at(Index i) { return static_cast<std::size_t>(i); }

// Bit i: x[i] > threshold. n is at most 64.
std::uint64_t above_bits(const double* x, std::size_t n, double threshold);

// Place of the lowest bit that is set; bits must not be 0.
inline std::size_t lowest_bit(std::uint64_t bits) {
#if defined(__GNUC__)
  return static_cast<std::size_t>(__builtin_ctzll(bits));
#else
  std::size_t place = 0;
  while ((bits >> place & 1) == 0) ++place;
  return place;
#endif
}

// The values of a snippet sequence and their linear interpolation at 0, 1/s, 2/s, ... < length.
// Points past the last snippet continue the last slope, as scipy's interp1d with
// fill_value="extrapolate" does in the public code.
//
// Between two snippets the points rise or fall steadily, also after rounding, so a group's border
// is where the line crosses: grouping costs O(length) a threshold whatever the factor.
class Sequence {
 public:
  Sequence(std::vector<double> values, Index factor) : v_(std::move(values)), s_(factor) {}

  Index points() const { return static_cast<Index>(v_.size()) * s_; }

  double point(Index i) const { return s_ == 1 ? v_[at(i)] : point_of(i / s_, i % s_); }

  // Prepares sum(); costs O(length) once.
  void prepare_sums() {
    sums_.assign(v_.size() + 1, 0.0);
    const Index n = static_cast<Index>(v_.size());
    for (Index k = 0; k < n; ++k) sums_[at(k + 1)] = sums_[at(k)] + part(k, s_);
  }

  // Prepares for_runs(): the first and the last point of each snippet. Costs O(length) once.
  void prepare_runs() {
    if (s_ == 1) return;
    ends_.resize(2 * v_.size());
    for (Index k = 0; k < static_cast<Index>(v_.size()); ++k) {
      ends_[at(2 * k)] = point_of(k, 0);
      ends_[at(2 * k + 1)] = point_of(k, s_ - 1);
    }
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
    for (Index k = first / s_ + 1; k * s_ <= last; ++k) top = std::max(top, point_of(k, 0));
    return top;
  }

  // Calls found(first, last) for every run of points > threshold, both ends included.
  template <class Found>
  void for_runs(double threshold, Found found) const {
    Index start = -1;
    const auto turn = [&](Index i) {
      if (start < 0) {
        start = i;
      } else {
        found(start, i - 1);
        start = -1;
      }
    };
    if (s_ == 1) {
      for_turns(v_, threshold, turn);
    } else {
      // Between the last point of a snippet and the first of the next there is nothing to look for.
      for_turns(ends_, threshold, [&](Index i) { turn(i % 2 == 0 ? i / 2 * s_ : border(i / 2, threshold)); });
    }
    if (start >= 0) found(start, points() - 1);
  }

 private:
  // Point m of snippet k. The last snippet is reached from the one before it, which rounds differently.
  double point_of(Index k, Index m) const {
    const Index left = std::min(k, std::max<Index>(static_cast<Index>(v_.size()) - 2, 0));
    const Index right = std::min(left + 1, static_cast<Index>(v_.size()) - 1);
    const double a = v_[at(left)];
    const double x = static_cast<double>(k * s_ + m) / static_cast<double>(s_) - static_cast<double>(left);
    return a + (v_[at(right)] - a) * x;
  }

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

  // Calls turn(i) where x changes sides, being below before it begins. 64 values a step: most
  // thresholds are crossed seldom.
  template <class Turn>
  static void for_turns(const std::vector<double>& x, double threshold, Turn turn) {
    std::uint64_t before = 0;
    for (std::size_t o = 0; o < x.size(); o += 64) {
      const std::size_t n = std::min<std::size_t>(64, x.size() - o);
      const std::uint64_t above = above_bits(x.data() + o, n, threshold);
      std::uint64_t turns = above ^ (above << 1 | before);
      if (n < 64) turns &= (1ULL << n) - 1;
      before = above >> 63;
      for (; turns != 0; turns &= turns - 1) turn(static_cast<Index>(o + lowest_bit(turns)));
    }
  }

  // First point of snippet k on the other side than its first one.
  Index border(Index k, double threshold) const {
    const double first = ends_[at(2 * k)];
    const double last = ends_[at(2 * k + 1)];
    const bool above = first > threshold;
    const auto differs = [&](Index i) { return (point_of(k, i) > threshold) != above; };
    // Where the line crosses but for rounding, which the points themselves settle.
    const double guess = (threshold - first) / (last - first) * static_cast<double>(s_ - 1);
    Index m = guess > 1.0 ? static_cast<Index>(std::min(guess, static_cast<double>(s_ - 1))) : 1;
    while (m < s_ - 1 && !differs(m)) ++m;
    while (m > 1 && differs(m - 1)) --m;
    return k * s_ + m;
  }

  std::vector<double> v_;
  std::vector<double> ends_;
  std::vector<double> sums_;
  Index s_;
};

}  // namespace tal::detail
