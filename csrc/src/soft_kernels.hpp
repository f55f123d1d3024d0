// Hot loops over keys and intervals, to be compiled into functions that are marked TAL_CLONES. Internal.
#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>

namespace tal::detail {

constexpr std::size_t kWidth = 8;  // keys are padded to multiples, so that hot loops have no remainder
constexpr double kNone = -std::numeric_limits<double>::infinity();  // key of padding

inline std::size_t padded(std::size_t n) { return (n + kWidth - 1) / kWidth * kWidth; }

// What taking an interval does to those that overlap it.
struct Blow {
  double start;
  double end;
  double limit;  // overlaps up to this are left alone
};

// How keys begin, and how a blow changes one: key *= 1 - tIoU, or key -= tIoU^2 * scale.
struct Decay {
  bool linear;
  double sign;   // of the values that keys begin with
  double scale;  // gaussian: sign / sigma
};

inline double larger(double a, double b) { return a > b ? a : b; }

// n is a multiple of kWidth and not 0. Maxima side by side, so that the compiler may use vectors.
inline double largest_of(const double* x, std::size_t n) {
  double a = x[0], b = x[1], c = x[2], d = x[3], e = x[4], f = x[5], g = x[6], h = x[7];
  for (std::size_t i = kWidth; i < n; i += kWidth) {
    a = larger(x[i], a);
    b = larger(x[i + 1], b);
    c = larger(x[i + 2], c);
    d = larger(x[i + 3], d);
    e = larger(x[i + 4], e);
    f = larger(x[i + 5], f);
    g = larger(x[i + 6], g);
    h = larger(x[i + 7], h);
  }
  return larger(larger(larger(a, e), larger(c, g)), larger(larger(b, f), larger(d, h)));
}

// How often x has the value in the upper half; the sum of its places in the lower one.
inline std::uint64_t places_of(const double* x, std::size_t n, double value) {
  std::uint64_t found = 0;
  for (std::uint64_t i = 0; i < n; ++i) found += x[i] == value ? (i | 1ULL << 32) : 0;
  return found;
}

// Changes the keys of intervals that the blow overlaps. No union is empty: a blow has a length.
inline void strike(const double* __restrict start, const double* __restrict end, double* __restrict key, std::size_t n,
                   const Blow& b, const Decay& decay) {
  const double s = b.start, e = b.end, limit = b.limit, scale = decay.scale;
  const double length = e - s;
  const auto overlap_of = [=](double start_i, double end_i) {
    const double low = s > start_i ? s : start_i;
    const double high = e < end_i ? e : end_i;
    const double inter = high - low > 0.0 ? high - low : 0.0;
    return inter / (length + (end_i - start_i) - inter);
  };
  if (decay.linear) {
    for (std::size_t i = 0; i < n; ++i) {
      const double overlap = overlap_of(start[i], end[i]);
      key[i] *= overlap > limit ? 1.0 - overlap : 1.0;
    }
  } else {
    for (std::size_t i = 0; i < n; ++i) {
      const double overlap = overlap_of(start[i], end[i]);
      key[i] -= overlap > limit ? overlap * overlap * scale : 0.0;
    }
  }
}

}  // namespace tal::detail
