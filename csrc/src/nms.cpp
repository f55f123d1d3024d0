#include "tal/nms.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <string>
#include <utility>

#include "columns.hpp"
#include "nms_group.hpp"
#include "simd.hpp"
#include "tal/parallel.hpp"

namespace tal {
namespace {

using detail::before;
using detail::Item;
using detail::refuse;
using detail::Taken;

// Far outside of anything real: lengths, and sums and doubles of lengths, stay finite below it.
constexpr double kFar = 1e300;

bool near(double time) { return time >= -kFar && time <= kFar; }

void check(const NmsOptions& o) {
  const bool decays = o.kind == NmsKind::gaussian || o.kind == NmsKind::suppressor;
  if (decays && !(o.sigma > 0.0 && std::isfinite(o.sigma))) refuse("sigma is " + std::to_string(o.sigma) + ", must be > 0");
  if (!(o.threshold >= 0.0 && o.threshold <= 1.0)) {
    refuse("threshold is " + std::to_string(o.threshold) + ", must be in [0, 1]");
  }
  // Its reciprocal is what is used; that of a denormal number is infinite.
  if (decays && !std::isfinite(1.0 / o.sigma)) refuse("sigma is too small to divide by");
  if (!std::isfinite(o.threshold_slope)) refuse("threshold_slope is not finite");
  if (o.threshold_slope != 0.0 && o.kind != NmsKind::gaussian) refuse("threshold_slope is for the gaussian kind only");
  if (!(o.length_offset >= 0.0 && near(o.length_offset))) {
    refuse("length_offset is " + std::to_string(o.length_offset) + ", must be >= 0 and at most 1e300");
  }
  if (std::isnan(o.min_score)) refuse("min_score is NaN");
  if (o.top_k < 0) refuse("top_k is " + std::to_string(o.top_k) + ", must be >= 0");
}

// True if all rows are as `check` wants them. No early exit, so that it is quick.
TAL_CLONES bool all_good(const double* start, const double* end, const double* score, std::size_t n) {
  std::uint64_t bad = 0;
  for (std::size_t i = 0; i < n; ++i) {
    const bool starts = std::abs(start[i]) <= kFar;
    const bool ends = std::abs(end[i]) <= kFar;
    const bool scored = score[i] - score[i] == 0.0;  // else NaN
    const bool lasts = end[i] >= start[i];
    bad += (starts & ends & scored & lasts) ? 0 : 1;
  }
  return bad == 0;
}

// Names the first bad row.
void check(const IntervalBatch& in) {
  const auto first = static_cast<std::size_t>(in.offsets[0]);
  const auto last = static_cast<std::size_t>(in.offsets[in.videos]);
  if (all_good(in.start + first, in.end + first, in.score + first, last - first)) return;
  for (std::size_t row = first; row < last; ++row) {
    if (!std::isfinite(in.start[row]) || !std::isfinite(in.end[row]) || !std::isfinite(in.score[row])) {
      refuse("interval " + std::to_string(row) + " is not finite");
    }
    if (!near(in.start[row]) || !near(in.end[row])) refuse("interval " + std::to_string(row) + " has a time beyond 1e300");
    if (in.end[row] < in.start[row]) {
      refuse("interval " + std::to_string(row) + " ends before it starts: [" + std::to_string(in.start[row]) + ", " +
             std::to_string(in.end[row]) + ")");
    }
  }
}

// A video and class: rows[first .. last).
struct Group {
  std::size_t video;
  std::size_t first;
  std::size_t last;
};

// Rows of all videos in order, those of a video by label; and where each group lies.
class Groups {
 public:
  std::vector<std::int64_t> rows;
  std::vector<Group> list;

  Groups(const IntervalBatch& in, bool class_agnostic) : rows(static_cast<std::size_t>(in.offsets[in.videos])) {
    std::iota(rows.begin(), rows.end(), std::int64_t{0});
    for (std::size_t v = 0; v < in.videos; ++v) {
      const auto first = static_cast<std::size_t>(in.offsets[v]);
      const auto last = static_cast<std::size_t>(in.offsets[v + 1]);
      if (first == last) continue;
      if (class_agnostic || in.label == nullptr) {
        list.push_back({v, first, last});
      } else {
        split(in.label, {v, first, last});
      }
    }
  }

 private:
  void split(const std::int32_t* label, const Group& video) {
    sort_by_label(label, video);
    for (std::size_t i = video.first; i < video.last;) {
      std::size_t j = i + 1;
      while (j < video.last && label[rows[j]] == label[rows[i]]) ++j;
      list.push_back({video.video, i, j});
      i = j;
    }
  }

  // Stable. By counting, unless labels are few and far apart.
  void sort_by_label(const std::int32_t* label, const Group& video) {
    const auto begin = rows.begin() + static_cast<std::ptrdiff_t>(video.first);
    const auto end = rows.begin() + static_cast<std::ptrdiff_t>(video.last);
    const auto by_label = [&](std::int64_t a, std::int64_t b) { return label[a] < label[b]; };
    const auto [least, most] = std::minmax_element(label + video.first, label + video.last);
    const std::int64_t low = *least;
    const auto range = static_cast<std::uint64_t>(*most - low) + 1;
    if (range > 256 + 2 * (video.last - video.first)) return std::stable_sort(begin, end, by_label);
    if (range == 1) return;
    places_.assign(range + 1, video.first);
    for (std::size_t i = video.first; i < video.last; ++i) ++places_[static_cast<std::size_t>(label[i] - low) + 1];
    for (std::size_t c = 1; c < places_.size(); ++c) places_[c] += places_[c - 1] - video.first;
    for (std::size_t i = video.first; i < video.last; ++i) {
      rows[places_[static_cast<std::size_t>(label[i] - low)]++] = static_cast<std::int64_t>(i);
    }
  }

  std::vector<std::size_t> places_;
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

// A large group that comes last would leave all other threads without work.
std::vector<std::size_t> largest_first(const std::vector<Group>& groups, int threads) {
  std::vector<std::size_t> order(groups.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  if (threads == 1) return order;
  const auto size = [&](std::size_t g) { return groups[g].last - groups[g].first; };
  std::stable_sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) { return size(a) > size(b); });
  return order;
}

// The documented order. A group comes out in it, but for scores that rounding swapped or made equal.
void in_order(const IntervalBatch& in, std::vector<Taken>& taken) {
  const auto item = [&](const Taken& t) { return Item{in.start[t.index], in.end[t.index], t.score, t.index}; };
  const auto wrong = [&](const Taken& a, const Taken& b) { return a.score <= b.score && !before(item(a), item(b)); };
  if (std::adjacent_find(taken.begin(), taken.end(), wrong) == taken.end()) return;
  std::vector<std::uint32_t> rows(taken.size());
  std::iota(rows.begin(), rows.end(), 0U);
  std::vector<double> score(taken.size());
  std::transform(taken.begin(), taken.end(), score.begin(), [](const Taken& t) { return t.score; });
  detail::sort_rows(rows, score.data(), [&](auto a, auto b) { return before(item(taken[a]), item(taken[b])); });
  std::vector<Taken> sorted;
  sorted.reserve(taken.size());
  for (std::uint32_t r : rows) sorted.push_back(taken[r]);
  taken.swap(sorted);
}

}  // namespace

Kept suppress(const IntervalBatch& in, const NmsOptions& o, int threads) {
  check(o);
  check(in);
  const Groups groups(in, o.class_agnostic);
  std::vector<std::vector<Taken>> taken(groups.list.size());
  const std::vector<std::size_t> order = largest_first(groups.list, threads);
  for_each_index(order.size(), threads,
                 [&](std::size_t i) { taken[order[i]] = suppress_group(in, o, groups, groups.list[order[i]]); });

  // Groups of a video are neighbours in the list; merge them into the documented order.
  std::vector<std::size_t> first_group(in.videos + 1, 0);
  for (const Group& g : groups.list) ++first_group[g.video + 1];
  for (std::size_t v = 0; v < in.videos; ++v) first_group[v + 1] += first_group[v];
  for_each_index(in.videos, threads, [&](std::size_t v) {
    if (first_group[v] == first_group[v + 1]) return;
    std::vector<Taken>& all = taken[first_group[v]];
    for (std::size_t g = first_group[v] + 1; g < first_group[v + 1]; ++g) {
      all.insert(all.end(), taken[g].begin(), taken[g].end());
      std::vector<Taken>().swap(taken[g]);
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
