// One group of intervals (a video and class) and the ways to suppress in it. Internal.
#pragma once

#include <cstdint>
#include <vector>

#include "tal/nms.hpp"

namespace tal::detail {

// An interval of a group. `end` already has the length offset added.
struct Item {
  double start;
  double end;
  double score;
  std::int64_t index;
};

struct Taken {
  double score;
  std::int64_t index;
};

// Order of intervals of equal score: start, end, index ascending.
inline bool tie_before(const Item& a, const Item& b) {
  if (a.start != b.start) return a.start < b.start;
  if (a.end != b.end) return a.end < b.end;
  return a.index < b.index;
}

inline bool before(const Item& a, const Item& b) { return a.score != b.score ? a.score > b.score : tie_before(a, b); }

// Each takes the items apart and appends what remains. Items below min_score are gone already.
void soft_suppress(std::vector<Item>& items, const NmsOptions& options, std::vector<Taken>& out);
void hard_suppress(std::vector<Item>& items, const NmsOptions& options, std::vector<Taken>& out);

// Sorts by `before`; radix on the score, then runs of equal scores.
void sort_items(std::vector<Item>& items);

}  // namespace tal::detail
