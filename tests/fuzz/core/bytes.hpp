// Turns a fuzzer's bytes into arguments: mostly sensible, sometimes anything a double can be.
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <vector>

#include "tal/tal.h"

namespace fuzz {

class Bytes {
 public:
  Bytes(const std::uint8_t* data, std::size_t size) : at_(data), end_(data + size) {}

  std::uint8_t byte() { return at_ == end_ ? std::uint8_t{0} : *at_++; }
  bool coin() { return (byte() & 1) != 0; }
  std::size_t up_to(std::size_t most) { return byte() % (most + 1); }

  // Eight bytes of any pattern.
  template <class T>
  T raw() {
    T value{};
    for (std::size_t i = 0; i < sizeof value; ++i) {
      const std::uint8_t b = byte();
      std::memcpy(reinterpret_cast<char*>(&value) + i, &b, 1);
    }
    return value;
  }

  // On a coarse grid, so that ties, touching and nested intervals are common; now and then anything.
  double real() {
    const std::uint8_t b = byte();
    return b < 240 ? (b % 48) / 4.0 - 2.0 : raw<double>();
  }

  float single() {
    const std::uint8_t b = byte();
    return b < 240 ? static_cast<float>(b % 48) / 4.0F - 2.0F : raw<float>();
  }

  // A small positive number; now and then anything.
  std::int64_t whole() {
    const std::uint8_t b = byte();
    return b < 240 ? b % 24 : raw<std::int64_t>();
  }

  // How many of something: small, or far too many. Nothing between: that would only fill memory.
  std::size_t many() {
    const std::uint8_t b = byte();
    return b < 250 ? b % 12 : SIZE_MAX / (1 + b % 4);
  }

  // One thread is quick, two find races.
  int threads() { return byte() % 16 == 15 ? 2 : 1; }

  std::vector<double> reals(std::size_t n) {
    std::vector<double> out(n);
    for (double& x : out) x = real();
    return out;
  }

  std::vector<float> singles(std::size_t n) {
    std::vector<float> out(n);
    for (float& x : out) x = single();
    return out;
  }

  // Numbers in 0..most, now and then outside.
  template <class T>
  std::vector<T> ids(std::size_t n, std::size_t most) {
    std::vector<T> out(n);
    for (T& x : out) {
      const std::uint8_t b = byte();
      x = b < 250 ? static_cast<T>(b % (most + 1)) : raw<T>();
    }
    return out;
  }

  // Offsets of n rows over some videos; always right, since C cannot know how long a column is.
  std::vector<std::int64_t> offsets(std::size_t n) {
    std::vector<std::int64_t> out = {0};
    const std::size_t videos = up_to(4);
    for (std::size_t v = 0; v + 1 < videos; ++v) {
      const auto here = static_cast<std::size_t>(out.back());
      out.push_back(static_cast<std::int64_t>(here + up_to(n - here)));
    }
    if (videos > 0) out.push_back(static_cast<std::int64_t>(n));
    return out;
  }

 private:
  const std::uint8_t* at_;
  const std::uint8_t* end_;
};

// Sorted ends: an interval that starts after its end is refused as a whole, so most are put right.
inline void order(std::vector<double>& start, std::vector<double>& end, Bytes& in) {
  const bool leave = in.byte() > 240;
  for (std::size_t i = 0; i < start.size() && !leave; ++i) {
    if (end[i] < start[i]) std::swap(start[i], end[i]);
  }
}

inline void must_hold(bool holds, const char* what, int line) {
  if (holds) return;
  std::fprintf(stderr, "line %d: %s does not hold\n", line, what);
  std::abort();
}

// A call may succeed, name a bad argument, or say that it needs too much memory. Nothing else.
inline bool fine(tal_status status) {
  const bool known = status == TAL_OK || status == TAL_INVALID || status == TAL_NO_MEMORY;
  if (!known || (status != TAL_OK && tal_last_error()[0] == '\0')) {
    std::fprintf(stderr, "status %d: '%s'\n", static_cast<int>(status), tal_last_error());
    std::abort();
  }
  return status == TAL_OK;
}

inline bool same(double a, double b) { return a == b || (std::isnan(a) && std::isnan(b)); }

}  // namespace fuzz

#define MUST(condition) fuzz::must_hold((condition), #condition, __LINE__)
