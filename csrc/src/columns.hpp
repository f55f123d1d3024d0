// Checks, grouping and sorting of labelled intervals given as columns. Internal.
#pragma once

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <numeric>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "tal/column.hpp"
#include "tal/parallel.hpp"

namespace tal::detail {

[[noreturn]] inline void refuse(const std::string& why) { throw std::invalid_argument(why); }

// Rows that are enough for a thread to look at.
constexpr std::size_t kRun = std::size_t{1} << 15;

// The first row of [0, size) that is bad, or size.
template <class Bad>
std::size_t first_bad(std::size_t size, int threads, Bad bad) {
  std::atomic<std::size_t> found{size};
  for_each_run(size, kRun, threads, [&](std::size_t row, std::size_t last) {
    while (row < last && !bad(row)) ++row;
    if (row == last) return;
    std::size_t least = found;
    while (row < least && !found.compare_exchange_weak(least, row)) {
    }
  });
  return found;
}

// Refuses the first row that is not a labelled interval of a known video.
template <class Columns>
void check_rows(const Columns& d, std::size_t classes, std::size_t videos, const char* what, int threads) {
  if (d.size > std::numeric_limits<std::uint32_t>::max()) refuse(std::string(what) + "s: more than 2^32 rows");
  const auto labelled = [&](std::size_t i) { return d.label[i] >= 0 && static_cast<std::size_t>(d.label[i]) < classes; };
  const auto placed = [&](std::size_t i) { return d.video[i] >= 0 && static_cast<std::size_t>(d.video[i]) < videos; };
  const std::size_t i = first_bad(d.size, threads, [&](std::size_t row) {
    const bool times = std::isfinite(d.start[row]) && std::isfinite(d.end[row]) && d.end[row] >= d.start[row];
    return !(times && labelled(row) && placed(row));
  });
  if (i == d.size) return;
  std::string why = " has an end before its start";
  if (!std::isfinite(d.start[i]) || !std::isfinite(d.end[i])) why = " has a time that is not finite";
  if (!labelled(i)) why = " has label " + std::to_string(d.label[i]) + ", outside 0.." + std::to_string(classes) + "-1";
  if (!placed(i)) why = " has video " + std::to_string(d.video[i]) + ", outside 0.." + std::to_string(videos) + "-1";
  refuse(std::string(what) + " row " + std::to_string(i) + why);
}

inline void check_scores(const double* score, std::size_t size, int threads) {
  const std::size_t i = first_bad(size, threads, [&](std::size_t row) { return !std::isfinite(score[row]); });
  if (i < size) refuse("prediction row " + std::to_string(i) + " has a score that is not finite");
}

// Row numbers, to be read and put in order.
struct Rows {
  std::uint32_t* first;
  std::size_t count;

  std::uint32_t* begin() const { return first; }
  std::uint32_t* end() const { return first + count; }
  std::size_t size() const { return count; }
  bool empty() const { return count == 0; }
  std::uint32_t& operator[](std::size_t i) const { return first[i]; }
};

// Row numbers of each label, in input order. Labels must be in [0, labels).
class ByLabel {
 public:
  ByLabel(const std::int32_t* label, std::size_t size, std::size_t labels, int threads)
      : rows_(size), first_(labels + 1, 0) {
    // Each part counts; then each knows where its rows of a label belong.
    const std::size_t parts = team_of(std::max<std::size_t>(1, size / kRun), threads);
    std::vector<std::vector<std::uint32_t>> places(parts);
    for_each_part(size, parts, threads, [&](std::size_t p, std::size_t first, std::size_t last) {
      places[p].assign(labels, 0);
      for (std::size_t i = first; i < last; ++i) ++places[p][static_cast<std::size_t>(label[i])];
    });
    std::uint32_t total = 0;
    for (std::size_t c = 0; c < labels; ++c) {
      first_[c] = total;
      for (auto& place : places) total += std::exchange(place[c], total);
    }
    first_[labels] = total;
    for_each_part(size, parts, threads, [&](std::size_t p, std::size_t first, std::size_t last) {
      for (std::size_t i = first; i < last; ++i) {
        rows_[places[p][static_cast<std::size_t>(label[i])]++] = static_cast<std::uint32_t>(i);
      }
    });
  }

  Rows operator[](std::size_t label) { return {rows_.data() + first_[label], size(label)}; }
  std::size_t size(std::size_t label) const { return first_[label + 1] - first_[label]; }

 private:
  Column<std::uint32_t> rows_;
  std::vector<std::uint32_t> first_;
};

// Numbers of `count` pieces, the largest first: one that came last would leave all other threads without work.
template <class Size>
std::vector<std::size_t> largest_first(std::size_t count, int threads, Size size) {
  std::vector<std::size_t> order(count);
  std::iota(order.begin(), order.end(), std::size_t{0});
  if (threads == 1) return order;
  std::stable_sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) { return size(a) > size(b); });
  return order;
}

// Bits whose unsigned order is the order of descending scores; 0 and -0 are equal.
inline std::uint64_t descending(double score) {
  const double positive_zero = score == 0.0 ? 0.0 : score;
  std::uint64_t bits = 0;
  std::memcpy(&bits, &positive_zero, sizeof bits);
  const std::uint64_t ascending = (bits >> 63) != 0 ? ~bits : bits | (1ULL << 63);
  return ~ascending;
}

// By the upper half, stable. One pass a byte; bytes that all share are skipped.
inline void radix_sort(Column<std::uint64_t>& packed) {
  const std::size_t n = packed.size();
  Column<std::uint64_t> other(n);
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
template <class RowNumbers, class Tie>
void sort_rows(RowNumbers& rows, const double* score, Tie tie) {
  Column<std::uint64_t> packed;
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
    if (j - i > 1) std::sort(&rows[0] + i, &rows[0] + j, ahead);
    i = j;
  }
}

}  // namespace tal::detail
