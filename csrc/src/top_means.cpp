#include "top_means.hpp"

#include <algorithm>
#include <functional>
#include <limits>

#include "simd.hpp"

namespace tal::detail {
namespace {

constexpr float kLeast = -std::numeric_limits<float>::infinity();

// Of each column a value that at least k reach, and seldom many more: rows are dealt out to k hands,
// and the least of the hands' largest values is taken.
TAL_CLONES void reached_by(const float* x, std::size_t rows, std::size_t columns, std::size_t k, float* hands,
                           float* least) {
  std::fill(hands, hands + k * columns, kLeast);
  for (std::size_t first = 0; first < rows; first += k) {
    const float* dealt = x + first * columns;
    const std::size_t n = std::min(k, rows - first) * columns;
    for (std::size_t i = 0; i < n; ++i) hands[i] = dealt[i] > hands[i] ? dealt[i] : hands[i];
  }
  std::copy(hands, hands + columns, least);
  for (std::size_t h = 1; h < k; ++h) {
    for (std::size_t c = 0; c < columns; ++c) {
      const float hand = hands[h * columns + c];
      least[c] = hand < least[c] ? hand : least[c];
    }
  }
}

// The k-th largest value: the least of those that fewer than k are larger than. Looks at all pairs,
// which for few values is quicker than a selection that has to guess at branches.
TAL_CLONES float kth_of_few(const float* x, std::size_t n, std::size_t k) {
  float kth = std::numeric_limits<float>::infinity();
  for (std::size_t i = 0; i < n; ++i) {
    const float value = x[i];
    unsigned larger = 0;
    for (std::size_t j = 0; j < n; ++j) larger += x[j] > value ? 1U : 0U;
    kth = larger < k && value < kth ? value : kth;
  }
  return kth;
}

float kth_largest(float* x, std::size_t n, std::size_t k) {
  constexpr std::size_t kFew = 96;
  if (n <= kFew) return kth_of_few(x, n, k);
  std::nth_element(x, x + (k - 1), x + n, std::greater<>());
  return x[k - 1];
}

// x: all values that can be among the k largest.
double top_mean(float* x, std::size_t n, std::size_t k) {
  const float kth = kth_largest(x, n, k);
  double total = 0.0;
  std::size_t larger = 0;
  for (std::size_t i = 0; i < n; ++i) {
    total += x[i] > kth ? static_cast<double>(x[i]) : 0.0;
    larger += x[i] > kth ? 1 : 0;
  }
  total += static_cast<double>(k - larger) * static_cast<double>(kth);
  return total / static_cast<double>(k);
}

}  // namespace

std::vector<double> top_means(const float* x, std::size_t rows, std::size_t columns, std::size_t k) {
  std::vector<float> hands(k * columns);
  std::vector<float> least(columns);
  reached_by(x, rows, columns, k, hands.data(), least.data());
  std::vector<float> kept(rows + 1);
  std::vector<double> means(columns);
  for (std::size_t c = 0; c < columns; ++c) {
    std::size_t n = 0;
    for (std::size_t r = 0; r < rows; ++r) {
      kept[n] = x[r * columns + c];
      n += kept[n] >= least[c] ? 1 : 0;
    }
    means[c] = top_mean(kept.data(), n, k);
  }
  return means;
}

}  // namespace tal::detail
