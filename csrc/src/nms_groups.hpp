// Which rows make a group, and how the groups' results become a video's. Internal.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "nms_group.hpp"
#include "tal/column.hpp"
#include "tal/nms.hpp"

namespace tal::detail {

// A video and class: rows[first .. last).
struct Group {
  std::size_t video;
  std::size_t first;
  std::size_t last;
  std::size_t taken = 0;  // of them, once that is known
};

// Rows of all videos in order, those of a video by label; and where each group lies.
struct Groups {
  Column<std::int64_t> rows;
  std::vector<Group> list;             // those of a video are neighbours
  std::vector<std::size_t> of_video;   // [videos + 1]: where each video's groups begin

  Groups(const IntervalBatch& in, bool class_agnostic, int threads);
};

// What remains in the documented order. taken: what remains of each group, from its `first` on; put in order.
Kept merge(const IntervalBatch& in, const Groups& groups, Column<Taken>& taken, std::int64_t top_k, int threads);

}  // namespace tal::detail
