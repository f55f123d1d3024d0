// Means of the largest values of each column. Internal.
#pragma once

#include <cstddef>
#include <vector>

namespace tal::detail {

// Mean of the k largest values of each column of x, row major [rows][columns]; 1 <= k <= rows.
std::vector<double> top_means(const float* x, std::size_t rows, std::size_t columns, std::size_t k);

}  // namespace tal::detail
