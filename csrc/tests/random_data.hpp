// Seeded data for tests: on coarse grids, so that ties, touching and nested intervals are common.
#pragma once

#include <algorithm>
#include <cstdint>
#include <random>
#include <vector>

namespace test {

class Dice {
 public:
  explicit Dice(unsigned seed) : bits_(seed) {}

  // In 0..n-1. Written out: std's distributions differ between libraries.
  std::size_t below(std::size_t n) { return bits_() % n; }
  bool coin() { return below(2) == 1; }
  double share() { return static_cast<double>(bits_()) / 4294967296.0; }
  double grid(double low, double high) { return low + static_cast<double>(below(static_cast<std::size_t>((high - low) * 4) + 1)) / 4; }

 private:
  std::mt19937 bits_;
};

struct Intervals {
  std::vector<double> start, end, score;
  std::vector<std::int32_t> label, video;

  Intervals(Dice& dice, std::size_t n, bool ties, std::size_t labels = 2, std::size_t videos = 2) {
    for (std::size_t i = 0; i < n; ++i) {
      start.push_back(ties ? dice.grid(0, 10) : dice.share() * 10);
      end.push_back(start.back() + (ties ? dice.grid(0, 3) : dice.share() * 3));
      score.push_back(ties ? dice.grid(-1, 2) : dice.share());
      label.push_back(static_cast<std::int32_t>(dice.below(labels)));
      video.push_back(static_cast<std::int32_t>(dice.below(videos)));
    }
  }

  std::size_t size() const { return start.size(); }
};

// Offsets of `videos` videos over n rows; some are empty.
inline std::vector<std::int64_t> cut(Dice& dice, std::size_t n, std::size_t videos) {
  std::vector<std::int64_t> out = {0, static_cast<std::int64_t>(n)};
  for (std::size_t v = 1; v < videos; ++v) out.push_back(static_cast<std::int64_t>(dice.below(n + 1)));
  std::sort(out.begin(), out.end());
  return out;
}

}  // namespace test
