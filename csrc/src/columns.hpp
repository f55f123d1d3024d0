// Checks, grouping and sorting of labelled intervals given as columns. Internal.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <stdexcept>
#include <string>
#include <vector>

namespace tal::detail {

[[noreturn]] inline void refuse(const std::string& why) { throw std::invalid_argument(why); }

// Refuses the first row that is not a labelled interval of a known video.
template <class Columns>
void check_rows(const Columns& d, std::size_t classes, std::size_t videos, const char* what) {
  if (d.size > std::numeric_limits<std::uint32_t>::max()) refuse(std::string(what) + "s: more than 2^32 rows");
  for (std::size_t i = 0; i < d.size; ++i) {
    const bool times = std::isfinite(d.start[i]) && std::isfinite(d.end[i]) && d.end[i] >= d.start[i];
    const bool label = d.label[i] >= 0 && static_cast<std::size_t>(d.label[i]) < classes;
    const bool video = d.video[i] >= 0 && static_cast<std::size_t>(d.video[i]) < videos;
    if (times && label && video) continue;
    std::string why = " has an end before its start";
    if (!std::isfinite(d.start[i]) || !std::isfinite(d.end[i])) why = " has a time that is not finite";
    if (!label) why = " has label " + std::to_string(d.label[i]) + ", outside 0.." + std::to_string(classes) + "-1";
    if (!video) why = " has video " + std::to_string(d.video[i]) + ", outside 0.." + std::to_string(videos) + "-1";
    refuse(std::string(what) + " row " + std::to_string(i) + why);
  }
}

inline void check_scores(const double* score, std::size_t size) {
  for (std::size_t i = 0; i < size; ++i) {
    if (!std::isfinite(score[i])) refuse("prediction row " + std::to_string(i) + " has a score that is not finite");
  }
}

// Row numbers of each label, in input order.
struct ByLabel {
  std::vector<std::vector<std::uint32_t>> rows;

  ByLabel(const std::int32_t* label, std::size_t size, std::size_t classes) : rows(classes) {
    std::vector<std::size_t> counts(classes, 0);
    for (std::size_t i = 0; i < size; ++i) ++counts[static_cast<std::size_t>(label[i])];
    for (std::size_t c = 0; c < classes; ++c) rows[c].reserve(counts[c]);
    for (std::size_t i = 0; i < size; ++i) rows[static_cast<std::size_t>(label[i])].push_back(static_cast<std::uint32_t>(i));
  }
};

// Bits whose unsigned order is the order of descending scores; 0 and -0 are equal.
inline std::uint64_t descending(double score) {
  const double positive_zero = score == 0.0 ? 0.0 : score;
  std::uint64_t bits = 0;
  std::memcpy(&bits, &positive_zero, sizeof bits);
  const std::uint64_t ascending = (bits >> 63) != 0 ? ~bits : bits | (1ULL << 63);
  return ~ascending;
}

// By the upper half, stable. One pass a byte; bytes that all share are skipped.
inline void radix_sort(std::vector<std::uint64_t>& packed) {
  const std::size_t n = packed.size();
  std::vector<std::uint64_t> other(n);
  std::uint32_t counts[4][256] = {};
  for (std::uint64_t p : packed) {
    for (std::size_t byte = 0; byte < 4; ++byte) ++counts[byte][(p >> (32 + 8 * byte)) & 255];
  }
  for (std::size_t byte = 0; byte < 4; ++byte) {
    std::uint32_t* count = counts[byte];
    const std::size_t shift = 32 + 8 * byte;
    if (count[(packed[0] >> shift) & 255] == n) continue;
    std::uint32_t total = 0;
    for (std::size_t d = 0; d < 256; ++d) {
      const std::uint32_t here = count[d];
      count[d] = total;
      total += here;
    }
    for (std::uint64_t p : packed) other[count[(p >> shift) & 255]++] = p;
    packed.swap(other);
  }
}

// Sorts row numbers by score descending; `tie(a, b)` orders rows of equal score. The upper half of
// the scores, packed with the row, decides almost everywhere; what it leaves is sorted by all.
template <class Tie>
void sort_rows(std::vector<std::uint32_t>& rows, const double* score, Tie tie) {
  std::vector<std::uint64_t> packed;
  packed.reserve(rows.size());
  for (std::uint32_t r : rows) packed.push_back((descending(score[r]) & 0xFFFFFFFF00000000ULL) | r);
  if (packed.size() < 256) {
    std::sort(packed.begin(), packed.end());
  } else {
    radix_sort(packed);
  }
  const auto ahead = [&](std::uint32_t a, std::uint32_t b) {
    return score[a] != score[b] ? score[a] > score[b] : tie(a, b);
  };
  const std::size_t n = packed.size();
  for (std::size_t i = 0; i < n; ++i) rows[i] = static_cast<std::uint32_t>(packed[i]);
  for (std::size_t i = 0; i < n;) {
    std::size_t j = i + 1;
    while (j < n && packed[j] >> 32 == packed[i] >> 32) ++j;
    if (j - i > 1) std::sort(rows.begin() + static_cast<std::ptrdiff_t>(i), rows.begin() + static_cast<std::ptrdiff_t>(j), ahead);
    i = j;
  }
}

}  // namespace tal::detail
