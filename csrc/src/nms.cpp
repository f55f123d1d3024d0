#include "tal/nms.hpp"

#include <algorithm>
#include <cmath>
#include <string>
#include <utility>

#include "columns.hpp"
#include "nms_group.hpp"
#include "tal/parallel.hpp"

namespace tal {
namespace {

using detail::before;
using detail::Item;
using detail::refuse;
using detail::Taken;

void check(const NmsOptions& o) {
  const bool decays = o.kind == NmsKind::gaussian || o.kind == NmsKind::suppressor;
  if (decays && !(o.sigma > 0.0 && std::isfinite(o.sigma))) refuse("sigma is " + std::to_string(o.sigma) + ", must be > 0");
  if (!(o.threshold >= 0.0 && o.threshold <= 1.0)) {
    refuse("threshold is " + std::to_string(o.threshold) + ", must be in [0, 1]");
  }
  if (!std::isfinite(o.threshold_slope)) refuse("threshold_slope is not finite");
  if (o.threshold_slope != 0.0 && o.kind != NmsKind::gaussian) refuse("threshold_slope is for the gaussian kind only");
  if (!(o.length_offset >= 0.0 && std::isfinite(o.length_offset))) {
    refuse("length_offset is " + std::to_string(o.length_offset) + ", must be finite and >= 0");
  }
  if (std::isnan(o.min_score)) refuse("min_score is NaN");
  if (o.top_k < 0) refuse("top_k is " + std::to_string(o.top_k) + ", must be >= 0");
}

void check(const IntervalBatch& in, std::size_t row) {
  if (!std::isfinite(in.start[row]) || !std::isfinite(in.end[row]) || !std::isfinite(in.score[row])) {
    refuse("interval " + std::to_string(row) + " is not finite");
  }
  if (in.end[row] < in.start[row]) {
    refuse("interval " + std::to_string(row) + " ends before it starts: [" + std::to_string(in.start[row]) + ", " +
           std::to_string(in.end[row]) + ")");
  }
}

// A video and class: rows rows[first .. last) of the video's list.
struct Group {
  std::size_t video;
  std::size_t first;
  std::size_t last;
};

// Rows of all videos in order, those of a video sorted by label; and where each group lies.
struct Groups {
  std::vector<std::int64_t> rows;
  std::vector<Group> list;

  Groups(const IntervalBatch& in, bool class_agnostic) {
    rows.reserve(static_cast<std::size_t>(in.offsets[in.videos] - in.offsets[0]));
    for (std::size_t v = 0; v < in.videos; ++v) {
      const std::size_t first = rows.size();
      for (std::int64_t i = in.offsets[v]; i < in.offsets[v + 1]; ++i) {
        check(in, static_cast<std::size_t>(i));
        rows.push_back(i);
      }
      if (class_agnostic || in.label == nullptr) {
        if (rows.size() > first) list.push_back({v, first, rows.size()});
        continue;
      }
      const auto by_label = [&](std::int64_t a, std::int64_t b) { return in.label[a] < in.label[b]; };
      const auto begin = rows.begin() + static_cast<std::ptrdiff_t>(first);
      if (!std::is_sorted(begin, rows.end(), by_label)) std::stable_sort(begin, rows.end(), by_label);
      for (std::size_t i = first; i < rows.size();) {
        std::size_t j = i + 1;
        while (j < rows.size() && in.label[rows[j]] == in.label[rows[i]]) ++j;
        list.push_back({v, i, j});
        i = j;
      }
    }
  }
};

std::vector<Taken> suppress_group(const IntervalBatch& in, const NmsOptions& o, const Groups& groups, const Group& g) {
  std::vector<Item> items;
  items.reserve(g.last - g.first);
  for (std::size_t k = g.first; k < g.last; ++k) {
    const auto row = static_cast<std::size_t>(groups.rows[k]);
    if (in.score[row] < o.min_score) continue;
    items.push_back({in.start[row], in.end[row] + o.length_offset, in.score[row], groups.rows[k]});
  }
  std::vector<Taken> out;
  out.reserve(items.size());
  const bool soft = o.kind == NmsKind::linear || o.kind == NmsKind::gaussian;
  (soft ? detail::soft_suppress : detail::hard_suppress)(items, o, out);
  return out;
}

// The documented order. A group comes out in it, but for scores that rounding swapped or made equal.
void in_order(const IntervalBatch& in, std::vector<Taken>& taken) {
  const auto item = [&](const Taken& t) { return Item{in.start[t.index], in.end[t.index], t.score, t.index}; };
  const auto falls = [&](const Taken& a, const Taken& b) { return a.score <= b.score && !before(item(a), item(b)); };
  if (std::adjacent_find(taken.begin(), taken.end(), falls) == taken.end()) return;
  std::vector<Item> items;
  items.reserve(taken.size());
  for (const Taken& t : taken) items.push_back(item(t));
  detail::sort_items(items);
  for (std::size_t i = 0; i < items.size(); ++i) taken[i] = {items[i].score, items[i].index};
}

}  // namespace

Kept suppress(const IntervalBatch& in, const NmsOptions& o, int threads) {
  check(o);
  const Groups groups(in, o.class_agnostic);
  std::vector<std::vector<Taken>> taken(groups.list.size());
  for_each_index(groups.list.size(), threads,
                 [&](std::size_t g) { taken[g] = suppress_group(in, o, groups, groups.list[g]); });

  // Groups of a video are neighbours in the list; merge them into the documented order.
  std::vector<std::size_t> first_group(in.videos + 1, 0);
  for (const Group& g : groups.list) ++first_group[g.video + 1];
  for (std::size_t v = 0; v < in.videos; ++v) first_group[v + 1] += first_group[v];
  for_each_index(in.videos, threads, [&](std::size_t v) {
    if (first_group[v] == first_group[v + 1]) return;
    std::vector<Taken>& all = taken[first_group[v]];
    for (std::size_t g = first_group[v] + 1; g < first_group[v + 1]; ++g) {
      all.insert(all.end(), taken[g].begin(), taken[g].end());
    }
    in_order(in, all);
    if (o.top_k > 0 && all.size() > static_cast<std::size_t>(o.top_k)) all.resize(static_cast<std::size_t>(o.top_k));
  });

  Kept kept;
  std::size_t total = 0;
  for (std::size_t v = 0; v < in.videos; ++v) total += first_group[v] == first_group[v + 1] ? 0 : taken[first_group[v]].size();
  kept.index.reserve(total);
  kept.score.reserve(total);
  kept.offsets.reserve(in.videos + 1);
  kept.offsets.push_back(0);
  for (std::size_t v = 0; v < in.videos; ++v) {
    if (first_group[v] != first_group[v + 1]) {
      for (const Taken& t : taken[first_group[v]]) {
        kept.index.push_back(t.index);
        kept.score.push_back(t.score);
      }
    }
    kept.offsets.push_back(static_cast<std::int64_t>(kept.index.size()));
  }
  return kept;
}

}  // namespace tal
