// Hard suppression. An interval can only be dropped by a kept one of similar length that begins
// nearby, so kept intervals lie in a hash grid: one level a power of two of length, cells as wide
// as the level's length. Kept intervals of a cell hardly overlap each other, so cells stay short.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#include "columns.hpp"
#include "nms_group.hpp"

namespace tal::detail {
namespace {

// Below this threshold lengths differ so much that the grid has nothing to offer.
constexpr double kGridThreshold = 0.05;
constexpr std::size_t kSmall = 96;

bool counts(double overlap, const NmsOptions& o) {
  return o.inclusive ? overlap >= o.threshold : overlap > o.threshold;
}

// Kept intervals, all of them looked at: for few intervals and low thresholds.
class List {
 public:
  explicit List(const NmsOptions& o) : o_(o) {}

  void add(const Item& item, std::size_t rank) {
    start_.push_back(item.start);
    end_.push_back(item.end);
    (void)rank;
  }

  // Rank of the first kept interval that drops the item, or npos.
  std::size_t suppressor(const Item& item) const {
    for (std::size_t i = 0; i < start_.size(); ++i) {
      if (counts(tiou(start_[i], end_[i], item.start, item.end), o_)) return i;
    }
    return npos;
  }

  static constexpr std::size_t npos = static_cast<std::size_t>(-1);

 private:
  const NmsOptions& o_;
  std::vector<double> start_, end_;
};

// 2^level.
double power(int level) {
  if (level < -1000 || level > 1000) return std::ldexp(1.0, level);
  const std::uint64_t bits = static_cast<std::uint64_t>(level + 1023) << 52;
  double value = 0.0;
  std::memcpy(&value, &bits, sizeof value);
  return value;
}

// std::ilogb of a positive finite value.
int exponent(double x) {
  std::uint64_t bits = 0;
  std::memcpy(&bits, &x, sizeof bits);
  const int biased = static_cast<int>(bits >> 52);
  return biased > 0 && biased < 2047 ? biased - 1023 : std::ilogb(x);
}

class Grid {
 public:
  explicit Grid(const NmsOptions& o) : o_(o), heads_(256, kEnd) {}

  void add(const Item& item, std::size_t rank) {
    const double length = item.end - item.start;
    if (!(length > 0.0)) return;  // overlaps nothing
    const int level = exponent(length);
    low_ = std::min(low_, level);
    high_ = std::max(high_, level);
    kept_.push_back({item.start, item.end, static_cast<std::uint32_t>(rank), level, kEnd});
    if (2 * kept_.size() > heads_.size()) {
      heads_.assign(2 * heads_.size(), kEnd);
      for (std::size_t k = 0; k + 1 < kept_.size(); ++k) link(k);
    }
    link(kept_.size() - 1);
  }

  std::size_t suppressor(const Item& item) const {
    const double length = item.end - item.start;
    if (!(length > 0.0) || kept_.empty()) return List::npos;
    const double t = o_.threshold;
    const int from = std::max(exponent(std::max(length * t, std::numeric_limits<double>::denorm_min())), low_);
    const int to = std::min(std::ilogb(length / t), high_);
    std::uint32_t found = kEnd;
    if (o_.kind == NmsKind::hard) {  // anyone will do: look where it is most likely
      const int own = std::min(std::max(exponent(length), from), to);
      found = first_in(item, own, cell(item.start, power(-own)), kEnd);
      if (found != kEnd) return found;
    }
    for (int level = from; level <= to; ++level) {
      const double unit = power(level);  // lengths of this level are in [unit, 2 unit)
      const double inverse = power(-level);
      // The intersection is at least t * the longer length, so the kept one begins in this range.
      const double slack = 1e-9 * unit + 4.0e-16 * std::max(std::abs(item.start), std::abs(item.end));
      const double shared = t * std::max(length, unit) - slack;
      const std::int64_t first = cell(item.start + shared - 2.0 * unit, inverse);
      const std::int64_t last = cell(item.end - shared, inverse);
      for (std::int64_t c = first; c <= last; ++c) {
        found = std::min(found, first_in(item, level, c, found));
        if (found != kEnd && o_.kind == NmsKind::hard) return found;
      }
    }
    return found == kEnd ? List::npos : found;
  }

 private:
  static constexpr std::uint32_t kEnd = std::numeric_limits<std::uint32_t>::max();

  struct Node {
    double start;
    double end;
    std::uint32_t rank;
    int level;
    std::uint32_t next;
  };

  // Least rank below `least` in a cell that drops the item.
  std::uint32_t first_in(const Item& item, int level, std::int64_t c, std::uint32_t least) const {
    for (std::uint32_t k = heads_[slot_of(level, c)]; k != kEnd; k = kept_[k].next) {
      const Node& node = kept_[k];
      if (node.level != level || node.rank >= least) continue;
      if (counts(tiou(node.start, node.end, item.start, item.end), o_)) least = node.rank;
    }
    return least;
  }

  void link(std::size_t k) {
    Node& node = kept_[k];
    const std::size_t slot = slot_of(node.level, cell(node.start, power(-node.level)));
    node.next = heads_[slot];
    heads_[slot] = static_cast<std::uint32_t>(k);
  }

  // Rounded down.
  static std::int64_t cell(double x, double inverse) {
    constexpr double most = 9.0e15;  // far outside of anything real; keeps the conversion defined
    const double c = x == 0.0 ? 0.0 : std::min(std::max(x * inverse, -most), most);
    const auto whole = static_cast<std::int64_t>(c);
    return static_cast<double>(whole) > c ? whole - 1 : whole;
  }

  std::size_t slot_of(int level, std::int64_t c) const {
    const auto mixed = (static_cast<std::uint64_t>(c) * 0x9E3779B97F4A7C15ULL) ^
                       (static_cast<std::uint64_t>(level + 2048) * 0xC2B2AE3D27D4EB4FULL);
    return static_cast<std::size_t>(mixed >> 20) & (heads_.size() - 1);
  }

  const NmsOptions& o_;
  Column<std::uint32_t> heads_;
  Column<Node> kept_;
  int low_ = std::numeric_limits<int>::max();
  int high_ = std::numeric_limits<int>::min();
};

template <class Store>
void run(const Items& items, const NmsOptions& o, Store store, Out& out) {
  std::vector<const Item*> kept;
  for (const Item& item : items) {
    const std::size_t rank = store.suppressor(item);
    if (rank == List::npos) {
      store.add(item, kept.size());
      kept.push_back(&item);
      out.push_back({item.score, item.index});
    } else if (o.kind == NmsKind::suppressor) {
      const Item& by = *kept[rank];
      const double overlap = tiou(by.start, by.end, item.start, item.end);
      const double score = item.score * std::exp(-(overlap * overlap) / o.sigma);
      if (!(score < o.min_score)) out.push_back({score, item.index});
    }
  }
}

}  // namespace

void sort_items(Items& items) {
  std::vector<std::uint32_t> rows(items.size());
  Column<double> score(items.size());
  for (std::size_t i = 0; i < items.size(); ++i) {
    rows[i] = static_cast<std::uint32_t>(i);
    score[i] = items[i].score;
  }
  sort_rows(rows, score.data(), [&](std::uint32_t a, std::uint32_t b) { return before(items[a], items[b]); });
  Items sorted;
  sorted.reserve(items.size());
  for (std::uint32_t r : rows) sorted.push_back(items[r]);
  items.swap(sorted);
}

void hard_suppress(Items& items, const NmsOptions& options, Out& out) {
  sort_items(items);
  if (items.size() <= kSmall || options.threshold < kGridThreshold) {
    run(items, options, List(options), out);
  } else {
    run(items, options, Grid(options), out);
  }
}

}  // namespace tal::detail
