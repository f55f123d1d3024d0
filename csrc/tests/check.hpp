// Our own few lines of a test framework: a program is a list of checks, and fails with a count.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <random>
#include <stdexcept>
#include <vector>

namespace test {

inline int failures = 0;
inline int checks = 0;

inline void check(bool holds, const char* what, const char* file, int line) {
  ++checks;
  if (holds) return;
  if (++failures <= 20) std::fprintf(stderr, "%s:%d: %s does not hold\n", file, line, what);
}

// Equal, or both NaN, or apart by rounding only.
inline bool close(double a, double b, double tolerance = 1e-9) {
  return a == b || (std::isnan(a) && std::isnan(b)) || std::abs(a - b) <= tolerance * std::max(1.0, std::abs(b));
}

template <class Allocator>
bool close(const std::vector<double, Allocator>& a, const std::vector<double, Allocator>& b, double tolerance = 1e-9) {
  bool same = a.size() == b.size();
  for (std::size_t i = 0; same && i < a.size(); ++i) same = close(a[i], b[i], tolerance);
  return same;
}

// True where the call refuses its arguments.
template <class Call>
bool refuses(Call call) {
  try {
    call();
  } catch (const std::invalid_argument&) {
    return true;
  }
  return false;
}

// Zero checks are a failure too: a test that tests nothing must not pass.
inline int report(const char* name) {
  std::printf("%s: %d checks, %d failures\n", name, checks, failures);
  return failures == 0 && checks > 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

}  // namespace test

#define CHECK(condition) test::check((condition), #condition, __FILE__, __LINE__)
