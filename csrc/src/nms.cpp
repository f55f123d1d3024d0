#include "tal/nms.hpp"

#include <atomic>
#include <cmath>
#include <string>

#include "columns.hpp"
#include "nms_group.hpp"
#include "nms_groups.hpp"
#include "simd.hpp"
#include "tal/parallel.hpp"

namespace tal {
namespace {

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
TAL_CLONES bool all_good(const double* start, const double* end, std::size_t stride, const double* score, std::size_t n) {
  std::uint64_t bad = 0;
  for (std::size_t i = 0; i < n; ++i) {
    const double s = start[i * stride], e = end[i * stride];
    const bool starts = std::abs(s) <= kFar;
    const bool ends = std::abs(e) <= kFar;
    const bool scored = score[i] - score[i] == 0.0;  // else NaN
    const bool lasts = e >= s;
    bad += (starts & ends & scored & lasts) ? 0 : 1;
  }
  return bad == 0;
}

// Names the first bad row.
void check(const IntervalBatch& in, int threads) {
  const auto begin = static_cast<std::size_t>(in.offsets[0]);
  const auto end_row = static_cast<std::size_t>(in.offsets[in.videos]);
  std::atomic<bool> good{true};
  for_each_run(end_row - begin, detail::kRun, threads, [&](std::size_t first, std::size_t last) {
    const std::size_t row = begin + first, place = row * in.stride;
    if (!all_good(in.start + place, in.end + place, in.stride, in.score + row, last - first)) good = false;
  });
  if (good) return;
  for (std::size_t row = begin; row < end_row; ++row) {
    const double start = in.start[row * in.stride], end = in.end[row * in.stride];
    if (!std::isfinite(start) || !std::isfinite(end) || !std::isfinite(in.score[row])) {
      refuse("interval " + std::to_string(row) + " is not finite");
    }
    if (!near(start) || !near(end)) refuse("interval " + std::to_string(row) + " has a time beyond 1e300");
    if (end < start) {
      refuse("interval " + std::to_string(row) + " ends before it starts: [" + std::to_string(start) + ", " +
             std::to_string(end) + ")");
    }
  }
}

// Writes what remains of a group to `place`; returns how many.
std::size_t suppress_group(const IntervalBatch& in, const NmsOptions& o, const std::int64_t* rows, std::size_t n, Taken* place) {
  detail::Items items;
  items.reserve(n);
  for (std::size_t k = 0; k < n; ++k) {
    const auto row = static_cast<std::size_t>(rows[k]);
    if (in.score[row] < o.min_score) continue;
    items.push_back({in.start[row * in.stride], in.end[row * in.stride] + o.length_offset, in.score[row], rows[k]});
  }
  detail::Out out{place};
  const bool soft = o.kind == NmsKind::linear || o.kind == NmsKind::gaussian;
  (soft ? detail::soft_suppress : detail::hard_suppress)(items, o, out);
  return out.count;
}

}  // namespace

Kept suppress(const IntervalBatch& in, const NmsOptions& o, int threads) {
  check(o);
  check(in, threads);
  detail::Groups groups(in, o.class_agnostic, threads);
  Column<Taken> taken(groups.rows.size());
  const auto size = [&](std::size_t g) { return groups.list[g].last - groups.list[g].first; };
  const auto order = detail::largest_first(groups.list.size(), threads, size);
  for_each_index(order.size(), threads, [&](std::size_t i) {
    detail::Group& g = groups.list[order[i]];
    g.taken = suppress_group(in, o, groups.rows.data() + g.first, g.last - g.first, taken.data() + g.first);
  });
  return detail::merge(in, groups, taken, o.top_k, threads);
}

}  // namespace tal
