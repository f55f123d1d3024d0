// Hard suppression. An interval can only be dropped by a kept one of similar length that begins
// nearby, so kept intervals lie in a hash grid: one level a power of two of length, cells as wide
// as the level's length. Kept intervals of a cell hardly overlap each other, so cells stay short.
#include <algorithm>
#include <cmath>
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

class Grid {
 public:
  Grid(const NmsOptions& o, std::size_t expected) : o_(o) {
    std::size_t slots = 64;
    while (slots < 2 * expected) slots *= 2;
    heads_.assign(slots, kEnd);
  }

  void add(const Item& item, std::size_t rank) {
    const double length = item.end - item.start;
    if (!(length > 0.0)) return;  // overlaps nothing
    const int level = std::ilogb(length);
    low_ = std::min(low_, level);
    high_ = std::max(high_, level);
    const std::size_t slot = slot_of(level, cell(item.start, level));
    kept_.push_back({item.start, item.end, rank, level, heads_[slot]});
    heads_[slot] = kept_.size() - 1;
  }

  std::size_t suppressor(const Item& item) const {
    const double length = item.end - item.start;
    if (!(length > 0.0) || kept_.empty()) return List::npos;
    const double t = o_.threshold;
    const int from = std::max(std::ilogb(length * t), low_);
    const int to = std::min(std::ilogb(length / t), high_);
    std::size_t found = List::npos;
    for (int level = from; level <= to; ++level) {
      const double unit = std::ldexp(1.0, level);  // lengths of this level are in [unit, 2 unit)
      // The intersection is at least t * the longer length, so the kept one begins in this range.
      const double slack = 1e-9 * unit + 4.0e-16 * std::max(std::abs(item.start), std::abs(item.end));
      const double shared = t * std::max(length, unit) - slack;
      const std::int64_t first = cell(item.start + shared - 2.0 * unit, level);
      const std::int64_t last = cell(item.end - shared, level);
      for (std::int64_t c = first; c <= last; ++c) {
        for (std::size_t k = heads_[slot_of(level, c)]; k != kEnd; k = kept_[k].next) {
          const Node& node = kept_[k];
          if (node.level != level || node.rank >= found) continue;
          if (counts(tiou(node.start, node.end, item.start, item.end), o_)) found = node.rank;
        }
        if (found != List::npos && o_.kind == NmsKind::hard) return found;
      }
    }
    return found;
  }

 private:
  static constexpr std::size_t kEnd = static_cast<std::size_t>(-1);

  struct Node {
    double start;
    double end;
    std::size_t rank;
    int level;
    std::size_t next;
  };

  static std::int64_t cell(double x, int level) {
    const double c = std::floor(std::ldexp(x, -level));
    constexpr double most = 9.0e15;  // far outside of anything real; keeps the conversion defined
    return static_cast<std::int64_t>(std::min(std::max(c, -most), most));
  }

  std::size_t slot_of(int level, std::int64_t c) const {
    const auto mixed = (static_cast<std::uint64_t>(c) * 0x9E3779B97F4A7C15ULL) ^
                       (static_cast<std::uint64_t>(level + 2048) * 0xC2B2AE3D27D4EB4FULL);
    return static_cast<std::size_t>(mixed >> 20) & (heads_.size() - 1);
  }

  const NmsOptions& o_;
  std::vector<std::size_t> heads_;
  std::vector<Node> kept_;
  int low_ = std::numeric_limits<int>::max();
  int high_ = std::numeric_limits<int>::min();
};

template <class Store>
void run(const std::vector<Item>& items, const NmsOptions& o, Store store, std::vector<Taken>& out) {
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

void sort_items(std::vector<Item>& items) {
  std::vector<std::uint32_t> rows(items.size());
  std::vector<double> score(items.size());
  for (std::size_t i = 0; i < items.size(); ++i) {
    rows[i] = static_cast<std::uint32_t>(i);
    score[i] = items[i].score;
  }
  sort_rows(rows, score.data(), [&](std::uint32_t a, std::uint32_t b) { return before(items[a], items[b]); });
  std::vector<Item> sorted;
  sorted.reserve(items.size());
  for (std::uint32_t r : rows) sorted.push_back(items[r]);
  items.swap(sorted);
}

void hard_suppress(std::vector<Item>& items, const NmsOptions& options, std::vector<Taken>& out) {
  sort_items(items);
  if (items.size() <= kSmall || options.threshold < kGridThreshold) {
    run(items, options, List(options), out);
  } else {
    run(items, options, Grid(options, items.size()), out);
  }
}

}  // namespace tal::detail
