// Mean of the largest values. Internal.
#pragma once

#include <algorithm>
#include <cstddef>
#include <functional>
#include <vector>

namespace tal::detail {

// Mean of the k largest of n values that lie `stride` apart; 1 <= k <= n. scratch: any size.
//
// Where k is small against n, a sample gives a value that a little more than k reach: only those
// are kept and searched.
inline double top_mean(const float* x, std::size_t stride, std::size_t n, std::size_t k, std::vector<float>& scratch) {
  constexpr std::size_t kSample = 32;
  scratch.resize(n + kSample);
  std::size_t kept = 0;
  if (n >= 2 * kSample && k <= n / 4) {
    float* sample = scratch.data();
    for (std::size_t i = 0; i < kSample; ++i) sample[i] = x[i * n / kSample * stride];
    const std::size_t rank = k * kSample * 3 / (2 * n) + 2;
    std::nth_element(sample, sample + rank, sample + kSample, std::greater<>());
    const float least = sample[rank];
    for (std::size_t i = 0; i < n; ++i) {
      scratch[kept] = x[i * stride];
      kept += scratch[kept] >= least ? 1 : 0;
    }
  }
  if (kept < k) {
    for (kept = 0; kept < n; ++kept) scratch[kept] = x[kept * stride];
  }
  float* values = scratch.data();
  if (k < kept) std::nth_element(values, values + (k - 1), values + kept, std::greater<>());
  double total = 0.0;
  for (std::size_t i = 0; i < k; ++i) total += static_cast<double>(values[i]);
  return total / static_cast<double>(k);
}

}  // namespace tal::detail
