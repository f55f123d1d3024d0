// Soft suppression. Only overlapping intervals touch each other, so the group is kept in blocks by
// start: taking an interval visits the blocks that it can reach, and a tournament over the blocks
// gives the next best one.
#include <algorithm>
#include <cmath>
#include <limits>

#include "nms_group.hpp"
#include "simd.hpp"

namespace tal::detail {
namespace {

constexpr std::size_t kBlock = 64;
constexpr double kNone = -std::numeric_limits<double>::infinity();

// What taking an interval does to those that overlap it.
struct Blow {
  double start;
  double end;
  double limit;  // overlaps up to this are left alone
  double scale;  // gaussian: sign / sigma
  bool linear;
};

// key[i] -= tIoU^2 * scale, or key[i] *= 1 - tIoU, where the overlap counts.
TAL_CLONES void strike(const double* start, const double* end, double* key, std::size_t n, const Blow& blow) {
  const double s = blow.start;
  const double e = blow.end;
  const double length = e - s;
  const double limit = blow.limit;
  if (blow.linear) {
    for (std::size_t i = 0; i < n; ++i) {
      const double low = s > start[i] ? s : start[i];
      const double high = e < end[i] ? e : end[i];
      const double inter = high - low > 0.0 ? high - low : 0.0;
      const double total = length + (end[i] - start[i]) - inter;
      const double overlap = inter / (total > 0.0 ? total : 1.0);
      key[i] *= overlap > limit ? 1.0 - overlap : 1.0;
    }
    return;
  }
  const double scale = blow.scale;
  for (std::size_t i = 0; i < n; ++i) {
    const double low = s > start[i] ? s : start[i];
    const double high = e < end[i] ? e : end[i];
    const double inter = high - low > 0.0 ? high - low : 0.0;
    const double total = length + (end[i] - start[i]) - inter;
    const double overlap = inter / (total > 0.0 ? total : 1.0);
    key[i] -= overlap > limit ? overlap * overlap * scale : 0.0;
  }
}

TAL_CLONES double largest(const double* key, std::size_t n) {
  // Eight running maxima, so that the loop can be vectorised without reordering comparisons.
  double top[8] = {kNone, kNone, kNone, kNone, kNone, kNone, kNone, kNone};
  std::size_t i = 0;
  for (; i + 8 <= n; i += 8) {
    for (std::size_t l = 0; l < 8; ++l) top[l] = key[i + l] > top[l] ? key[i + l] : top[l];
  }
  for (; i < n; ++i) top[0] = key[i] > top[0] ? key[i] : top[0];
  return *std::max_element(top, top + 8);
}

// Intervals of one sign with a key each: the larger the key, the larger the score.
class Field {
 public:
  Field(const std::vector<Item>& items, std::vector<std::size_t> order, std::vector<double> keys)
      : items_(items), who_(std::move(order)), key_(std::move(keys)) {
    const std::size_t n = who_.size();
    start_.resize(n);
    end_.resize(n);
    for (std::size_t i = 0; i < n; ++i) {
      start_[i] = items[who_[i]].start;
      end_[i] = items[who_[i]].end;
    }
    const std::size_t blocks = (n + kBlock - 1) / kBlock;
    blocks_.resize(blocks);
    while (leaves_ < blocks) leaves_ *= 2;
    winner_.assign(2 * leaves_, kEmpty);
    for (std::size_t b = 0; b < blocks; ++b) {
      Block& block = blocks_[b];
      block.count = std::min(kBlock, n - b * kBlock);
      block.first_start = start_[b * kBlock];
      block.last_end = *std::max_element(end_.begin() + offset(b), end_.begin() + offset(b) + diff(block.count));
      elect(b);
      winner_[leaves_ + b] = b;
    }
    for (std::size_t k = leaves_; k-- > 1;) winner_[k] = better(winner_[2 * k], winner_[2 * k + 1]);
    reach_.resize(blocks);
    double far = kNone;
    for (std::size_t b = 0; b < blocks; ++b) reach_[b] = far = std::max(far, blocks_[b].last_end);
  }

  bool empty() const { return winner_[1] == kEmpty || blocks_[winner_[1]].count == 0; }

  // Position of the best interval; valid until something is taken.
  std::size_t best() const { return blocks_[winner_[1]].best; }
  double key(std::size_t position) const { return key_[position]; }
  std::size_t who(std::size_t position) const { return who_[position]; }

  // Removes the best one: the last of its block takes its place.
  void remove_best() {
    const std::size_t b = winner_[1];
    Block& block = blocks_[b];
    const std::size_t last = b * kBlock + --block.count;
    const std::size_t gone = block.best;
    start_[gone] = start_[last];
    end_[gone] = end_[last];
    key_[gone] = key_[last];
    who_[gone] = who_[last];
    elect(b);
    replay(b);
  }

  void apply(const Blow& blow) {
    // Blocks from the first whose reach passes the start, to the last that begins before the end.
    const auto first = std::upper_bound(reach_.begin(), reach_.end(), blow.start) - reach_.begin();
    for (std::size_t b = static_cast<std::size_t>(first); b < blocks_.size(); ++b) {
      const Block& block = blocks_[b];
      if (block.first_start >= blow.end) break;
      if (block.count == 0 || block.last_end <= blow.start) continue;
      const std::size_t o = b * kBlock;
      strike(start_.data() + o, end_.data() + o, key_.data() + o, block.count, blow);
      elect(b);
      replay(b);
    }
  }

 private:
  static constexpr std::size_t kEmpty = static_cast<std::size_t>(-1);

  struct Block {
    std::size_t count = 0;
    std::size_t best = 0;
    double first_start = 0.0;
    double last_end = 0.0;
  };

  static std::ptrdiff_t diff(std::size_t n) { return static_cast<std::ptrdiff_t>(n); }
  static std::ptrdiff_t offset(std::size_t b) { return diff(b * kBlock); }

  // Order of two positions: key, then the documented ties.
  bool ahead(std::size_t a, std::size_t b) const {
    if (key_[a] != key_[b]) return key_[a] > key_[b];
    const Item& x = items_[who_[a]];
    const Item& y = items_[who_[b]];
    if (x.start != y.start) return x.start < y.start;
    if (x.end != y.end) return x.end < y.end;
    return x.index < y.index;
  }

  void elect(std::size_t b) {
    Block& block = blocks_[b];
    if (block.count == 0) return;
    const std::size_t o = b * kBlock;
    const double top = largest(key_.data() + o, block.count);
    std::size_t best = kEmpty;
    for (std::size_t i = o; i < o + block.count; ++i) {
      if (key_[i] == top && (best == kEmpty || ahead(i, best))) best = i;
    }
    block.best = best;
  }

  std::size_t better(std::size_t a, std::size_t b) const {
    if (a == kEmpty || blocks_[a].count == 0) return b;
    if (b == kEmpty || blocks_[b].count == 0) return a;
    return ahead(blocks_[a].best, blocks_[b].best) ? a : b;
  }

  void replay(std::size_t b) {
    for (std::size_t k = (leaves_ + b) / 2; k >= 1; k /= 2) winner_[k] = better(winner_[2 * k], winner_[2 * k + 1]);
  }

  const std::vector<Item>& items_;
  std::vector<std::size_t> who_;
  std::vector<double> start_, end_, key_;
  std::vector<Block> blocks_;
  std::vector<double> reach_;  // largest end of this block and all before it
  std::size_t leaves_ = 1;
  std::vector<std::size_t> winner_;
};

Blow blow_of(const Item& item, const NmsOptions& o, double sign) {
  const double threshold = o.threshold + o.threshold_slope * (item.end - item.start);
  // A limit just below the threshold makes "greater" mean "at least".
  const double limit = o.inclusive ? std::nextafter(threshold, kNone) : threshold;
  return {item.start, item.end, limit, sign / o.sigma, o.kind == NmsKind::linear};
}

std::vector<std::size_t> by_start(const std::vector<Item>& items, int sign) {
  std::vector<std::size_t> order;
  for (std::size_t i = 0; i < items.size(); ++i) {
    const double s = items[i].score;
    if ((sign > 0 && s > 0.0) || (sign < 0 && s < 0.0) || (sign == 0 && s == 0.0)) order.push_back(i);
  }
  std::sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) { return items[a].start < items[b].start; });
  return order;
}

// Linear: the key is the score itself, of any sign.
void linear(const std::vector<Item>& items, const NmsOptions& o, std::vector<Taken>& out) {
  std::vector<std::size_t> order(items.size());
  for (std::size_t i = 0; i < order.size(); ++i) order[i] = i;
  std::sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) { return items[a].start < items[b].start; });
  std::vector<double> keys;
  for (std::size_t i : order) keys.push_back(items[i].score);
  Field field(items, std::move(order), std::move(keys));
  while (!field.empty()) {
    const std::size_t position = field.best();
    const Item& item = items[field.who(position)];
    const double score = field.key(position);
    field.remove_best();
    // A positive score only falls: once it is below the floor so is the rest. A negative one rises.
    if (score < o.min_score) continue;
    out.push_back({score, item.index});
    field.apply(blow_of(item, o, 1.0));
  }
}

// Gaussian: positive scores first, their keys log s - sum / sigma; then zeros, then negative scores,
// which decay towards zero and so rise.
void gaussian(const std::vector<Item>& items, const NmsOptions& o, std::vector<Taken>& out) {
  const auto make = [&](int sign) {
    std::vector<std::size_t> order = by_start(items, sign);
    std::vector<double> keys;
    for (std::size_t i : order) keys.push_back(sign * std::log(std::abs(items[i].score)));
    return Field(items, std::move(order), std::move(keys));
  };
  Field negative = make(-1);
  const bool mixed = !negative.empty();
  const auto drain = [&](Field& field, double sign) {
    while (!field.empty()) {
      const std::size_t position = field.best();
      const Item& item = items[field.who(position)];
      const double decay = sign * field.key(position) - std::log(std::abs(item.score));
      const double score = item.score * std::exp(decay);
      field.remove_best();
      if (score < o.min_score) return;
      out.push_back({score, item.index});
      field.apply(blow_of(item, o, sign));
      if (sign > 0.0 && mixed) negative.apply(blow_of(item, o, -1.0));
    }
  };
  Field positive = make(1);
  drain(positive, 1.0);
  std::vector<std::size_t> zeros = by_start(items, 0);
  std::sort(zeros.begin(), zeros.end(), [&](std::size_t a, std::size_t b) { return before(items[a], items[b]); });
  for (std::size_t i : zeros) {
    if (items[i].score < o.min_score) break;
    out.push_back({items[i].score, items[i].index});
    if (mixed) negative.apply(blow_of(items[i], o, -1.0));
  }
  drain(negative, -1.0);
}

}  // namespace

void soft_suppress(std::vector<Item>& items, const NmsOptions& options, std::vector<Taken>& out) {
  (options.kind == NmsKind::linear ? linear : gaussian)(items, options, out);
}

}  // namespace tal::detail
