// One group of intervals (a video and class) and the ways to suppress in it. Internal.
#pragma once

#include <cstddef>
#include <cstdint>

#include "tal/column.hpp"
#include "tal/nms.hpp"

namespace tal::detail {

// An interval of a group. `end` already has the length offset added.
struct Item {
  double start;
  double end;
  double score;
  std::int64_t index;
};

using Items = Column<Item>;

struct Taken {
  double score;
  std::int64_t index;
};

// Where what remains of a group goes; there is room for all of it.
struct Out {
  Taken* first;
  std::size_t count = 0;

  void push_back(const Taken& taken) { first[count++] = taken; }
};

// Order of intervals of equal score: start, end, index ascending.
inline bool tie_before(const Item& a, const Item& b) {
  if (a.start != b.start) return a.start < b.start;
  if (a.end != b.end) return a.end < b.end;
  return a.index < b.index;
}

inline bool before(const Item& a, const Item& b) { return a.score != b.score ? a.score > b.score : tie_before(a, b); }

// Each takes the items apart and appends what remains. Items below min_score are gone already.
void soft_suppress(Items& items, const NmsOptions& options, Out& out);
void hard_suppress(Items& items, const NmsOptions& options, Out& out);

// Sorts by `before`; radix on the score, then runs of equal scores.
void sort_items(Items& items);

}  // namespace tal::detail
