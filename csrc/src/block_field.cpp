#include "soft_field.hpp"

#include <algorithm>
#include <limits>

#include "columns.hpp"
#include "simd.hpp"

namespace tal::detail {
namespace {

constexpr std::size_t kMostBlock = 64;  // intervals
constexpr std::size_t kGroup = 64;      // blocks
constexpr std::size_t kQueue = 32;      // blows
constexpr std::size_t kBlocks = 16;     // aim where there are few intervals
constexpr std::size_t kOneLane = 1024;
constexpr std::size_t kLanes = 4;

TAL_CLONES double largest(const double* x, std::size_t n) { return largest_of(x, n); }
TAL_CLONES std::uint64_t count_and_place(const double* x, std::size_t n, double value) { return places_of(x, n, value); }

template <class Visit>
void for_equal(const double* x, std::size_t n, double value, Visit visit) {
  const std::uint64_t found = count_and_place(x, n, value);
  if (found >> 32 == 1) return visit(static_cast<std::size_t>(found & 0xFFFFFFFFU));
  for (std::size_t i = 0; i < n; ++i) {
    if (x[i] == value) visit(i);
  }
}

// Intervals, padded, and the blows that hit them: blows[queue[0]], blows[queue[1]], ...
struct Hit {
  const double* start;
  const double* end;
  double* key;
  std::size_t size;
  const Blow* blows;
  const std::uint32_t* queue;
  std::size_t queued;
};

TAL_CLONES void strike_all(const Hit& h, const Decay& decay) {
  for (std::size_t q = 0; q < h.queued; ++q) strike(h.start, h.end, h.key, h.size, h.blows[h.queue[q]], decay);
}

// Rows of each lane: the lengths of a sample say where to cut.
std::vector<std::vector<std::uint32_t>> by_length(const std::vector<Item>& items, const std::vector<std::uint32_t>& rows) {
  std::vector<double> sample;
  const auto length = [&](std::uint32_t r) { return items[r].end - items[r].start; };
  for (std::size_t i = 0; i < rows.size(); i += rows.size() / 256) sample.push_back(length(rows[i]));
  std::sort(sample.begin(), sample.end());
  double cut[kLanes - 1];
  for (std::size_t l = 0; l + 1 < kLanes; ++l) cut[l] = sample[(l + 1) * sample.size() / kLanes];
  std::vector<std::vector<std::uint32_t>> lanes(kLanes);
  for (std::uint32_t r : rows) {
    std::size_t lane = 0;
    for (double c : cut) lane += length(r) > c ? 1 : 0;
    lanes[lane].push_back(r);
  }
  return lanes;
}

}  // namespace

BlockField::BlockField(const std::vector<Item>& items, std::vector<std::uint32_t> rows, const std::vector<double>& value_of,
             const Decay& decay, bool falling)
    : items_(items), decay_(decay), falling_(falling), left_(rows.size()) {
  while (block_ < kMostBlock && block_ * kBlocks < rows.size()) block_ *= 2;
  const std::size_t most = rows.size() + kLanes * block_;
  for (std::vector<double>* x : {&start_, &end_, &key_}) x->reserve(most);
  row_.reserve(most);
  if (rows.size() < kOneLane) {
    add_lane(rows, value_of);
  } else {
    for (std::vector<std::uint32_t>& lane : by_length(items, rows)) add_lane(lane, value_of);
  }
  bound_.resize(padded(bound_.size()), kNone);
  if (bound_.size() > kGroup) crown_.resize(padded((bound_.size() + kGroup - 1) / kGroup), kNone);
  for (std::size_t b = 0; b < blocks_.size() && !crown_.empty(); ++b) {
    double& crown = crown_[b / kGroup];
    crown = larger(bound_[b], crown);
  }
  queue_.resize(blocks_.size() * kQueue);
  blows_.reserve(rows.size());
}

void BlockField::add_lane(std::vector<std::uint32_t>& rows, const std::vector<double>& value_of) {
  if (rows.size() > block_) {
    std::vector<double> minus_start(items_.size());
    for (std::uint32_t r : rows) minus_start[r] = -items_[r].start;
    sort_rows(rows, minus_start.data(), std::less<>());
  }
  const std::size_t first = blocks_.size();
  for (std::size_t i = 0; i < rows.size(); i += block_) {
    add_block(rows.data() + i, std::min(block_, rows.size() - i), value_of);
    if (blocks_.size() - first > 1) blocks_.back().reach = std::max(blocks_.back().reach, (blocks_.end() - 2)->reach);
  }
  lanes_.push_back({first, blocks_.size()});
}

void BlockField::add_block(const std::uint32_t* rows, std::size_t n, const std::vector<double>& value_of) {
  const std::size_t o = blocks_.size() * block_;
  for (std::vector<double>* x : {&start_, &end_}) x->resize(o + block_, 0.0);
  key_.resize(o + block_, kNone);
  row_.resize(o + block_, 0);
  Block block{-kNone, kNone, kNone, static_cast<std::uint32_t>(n), 0};
  for (std::size_t i = 0; i < n; ++i) {
    const Item& item = items_[rows[i]];
    row_[o + i] = rows[i];
    start_[o + i] = item.start;
    end_[o + i] = item.end;
    key_[o + i] = decay_.sign * value_of[rows[i]];
    block.first_start = std::min(block.first_start, item.start);
    block.last_end = std::max(block.last_end, item.end);
  }
  block.reach = block.last_end;
  blocks_.push_back(block);
  bound_.push_back(largest(key_.data() + o, padded(n)));
}

Best BlockField::take() {
  const std::size_t position = find_best();
  const Best best{row_[position], key_[position]};
  remove(position);
  return best;
}

void BlockField::apply(const Blow& blow) {
  if (!(blow.end > blow.start)) return;  // overlaps nothing
  blows_.push_back(blow);
  for (const Lane& lane : lanes_) {
    const auto reaches = [](double start, const Block& b) { return start < b.reach; };
    const auto begin = blocks_.begin();
    const auto first = std::upper_bound(begin + static_cast<std::ptrdiff_t>(lane.first),
                                        begin + static_cast<std::ptrdiff_t>(lane.last), blow.start, reaches);
    for (auto b = static_cast<std::size_t>(first - begin); b < lane.last; ++b) {
      if (blocks_[b].first_start >= blow.end) break;
      if (blocks_[b].count != 0 && blocks_[b].last_end > blow.start) queue(b);
    }
  }
}

// Position of the best interval. Blows that wait at blocks which may hold it are dealt first.
std::size_t BlockField::find_best() {
  constexpr std::size_t none = std::numeric_limits<std::size_t>::max();
  for (;;) {
    const double top = crown_.empty() ? largest(bound_.data(), bound_.size()) : largest(crown_.data(), crown_.size());
    std::size_t best = none;
    std::size_t behind = none;
    const auto visit_block = [&](std::size_t b) {
      if (blocks_[b].queued != 0) behind = b;
      if (behind != none) return;
      for_equal(key_.data() + b * block_, padded(blocks_[b].count), top, [&](std::size_t i) {
        if (best == none || ahead(b * block_ + i, best)) best = b * block_ + i;
      });
    };
    const auto visit_group = [&](std::size_t g) {
      const std::size_t o = g * kGroup;
      for_equal(bound_.data() + o, std::min(kGroup, bound_.size() - o), top, [&](std::size_t b) { visit_block(o + b); });
    };
    if (crown_.empty()) {
      visit_group(0);
    } else {
      for_equal(crown_.data(), crown_.size(), top, visit_group);
    }
    if (behind == none) return best;
    flush(behind);
  }
}

// Order of two positions of equal key.
bool BlockField::ahead(std::size_t a, std::size_t b) const {
  return tie_before(items_[row_[a]], items_[row_[b]]);
}

// The newest blow goes to a block.
void BlockField::queue(std::size_t block) {
  Block& b = blocks_[block];
  queue_[block * kQueue + b.queued++] = static_cast<std::uint32_t>(blows_.size() - 1);
  if (!falling_ || b.queued == kQueue) flush(block);
}

void BlockField::flush(std::size_t block) {
  Block& b = blocks_[block];
  const std::size_t o = block * block_;
  strike_all({start_.data() + o, end_.data() + o, key_.data() + o, padded(b.count), blows_.data(),
              queue_.data() + block * kQueue, b.queued},
             decay_);
  b.queued = 0;
  refresh(block);
}

// The last interval of the block takes the place of the one removed.
void BlockField::remove(std::size_t position) {
  const std::size_t block = position / block_;
  const std::size_t last = block * block_ + --blocks_[block].count;
  start_[position] = start_[last];
  end_[position] = end_[last];
  key_[position] = key_[last];
  row_[position] = row_[last];
  start_[last] = end_[last] = 0.0;
  key_[last] = kNone;
  --left_;
  refresh(block);
}

inline void BlockField::refresh(std::size_t block) {
  bound_[block] = largest(key_.data() + block * block_, std::max(kWidth, padded(blocks_[block].count)));
  if (crown_.empty()) return;
  const std::size_t o = block / kGroup * kGroup;
  crown_[block / kGroup] = largest(bound_.data() + o, std::min(kGroup, bound_.size() - o));
}

}  // namespace tal::detail
