#include "soft_field.hpp"

#include <algorithm>

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

// Intervals, padded, and the blows that hit them.
struct Hit {
  const double* start;
  const double* end;
  double* key;
  std::size_t size;
  const Blow* blows;
  std::size_t count;
};

TAL_CLONES void strike_all(const Hit& h, const Decay& decay) {
  for (std::size_t b = 0; b < h.count; ++b) strike(h.start, h.end, h.key, h.size, h.blows[b], decay);
}

// Rows of each lane: the lengths of a sample say where to cut.
std::vector<std::vector<std::uint32_t>> by_length(const Items& items, const std::vector<std::uint32_t>& rows) {
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

BlockField::BlockField(const Items& items, std::vector<std::uint32_t> rows, const Column<double>& value_of,
             const Decay& decay, bool falling)
    : items_(items), decay_(decay), falling_(falling), left_(rows.size()) {
  while (block_ < kMostBlock && block_ * kBlocks < rows.size()) block_ *= 2;
  const std::size_t most = rows.size() + kLanes * block_;
  for (Column<double>* x : {&start_, &end_, &key_}) x->reserve(most);
  row_.reserve(most);
  if (rows.size() < kOneLane) {
    add_lane(rows, value_of);
  } else {
    for (std::vector<std::uint32_t>& lane : by_length(items, rows)) add_lane(lane, value_of);
  }
  bounds_[0].resize(padded(bounds_[0].size()), kNone);
  while (bounds_.back().size() > kGroup) {
    const Column<double>& below = bounds_.back();
    Column<double> above(padded((below.size() + kGroup - 1) / kGroup), kNone);
    for (std::size_t o = 0; o < below.size(); o += kGroup) {
      above[o / kGroup] = largest(below.data() + o, std::min(kGroup, below.size() - o));
    }
    bounds_.push_back(std::move(above));
  }
  queue_.resize(blocks_.size() * kQueue);
}

void BlockField::add_lane(std::vector<std::uint32_t>& rows, const Column<double>& value_of) {
  const auto sooner = [&](std::uint32_t a, std::uint32_t b) { return items_[a].start < items_[b].start; };
  if (rows.size() > block_ && !std::is_sorted(rows.begin(), rows.end(), sooner)) std::sort(rows.begin(), rows.end(), sooner);
  const std::size_t first = blocks_.size();
  for (std::size_t i = 0; i < rows.size(); i += block_) {
    add_block(rows.data() + i, std::min(block_, rows.size() - i), value_of);
    reach_.push_back(i > 0 ? std::max(blocks_.back().last_end, reach_.back()) : blocks_.back().last_end);
  }
  lanes_.push_back({first, blocks_.size()});
}

void BlockField::add_block(const std::uint32_t* rows, std::size_t n, const Column<double>& value_of) {
  const std::size_t o = blocks_.size() * block_;
  for (Column<double>* x : {&start_, &end_}) x->resize(o + block_, 0.0);
  key_.resize(o + block_, kNone);
  row_.resize(o + block_, 0);
  Block block{kNone, static_cast<std::uint32_t>(n), 0};
  first_.push_back(-kNone);
  for (std::size_t i = 0; i < n; ++i) {
    const Item& item = items_[rows[i]];
    row_[o + i] = rows[i];
    start_[o + i] = item.start;
    end_[o + i] = item.end;
    key_[o + i] = decay_.sign * value_of[rows[i]];
    first_.back() = std::min(first_.back(), item.start);
    block.last_end = std::max(block.last_end, item.end);
  }
  blocks_.push_back(block);
  bounds_[0].push_back(largest(key_.data() + o, padded(n)));
}

Best BlockField::take() {
  const std::size_t position = find_best();
  const Best best{row_[position], key_[position]};
  remove(position);
  return best;
}

void BlockField::apply(const Blow& blow) {
  if (!(blow.end > blow.start)) return;  // overlaps nothing
  for (const Lane& lane : lanes_) {
    const auto begin = reach_.begin() + static_cast<std::ptrdiff_t>(lane.first);
    const auto end = reach_.begin() + static_cast<std::ptrdiff_t>(lane.last);
    auto b = static_cast<std::size_t>(std::upper_bound(begin, end, blow.start) - reach_.begin());
    for (; b < lane.last && first_[b] < blow.end; ++b) {
      if (blocks_[b].count != 0 && blocks_[b].last_end > blow.start) queue(b, blow);
    }
  }
}

// Position of the best interval. Blows that wait at blocks which may hold it are dealt first.
std::size_t BlockField::find_best() {
  for (;;) {
    const Column<double>& roof = bounds_.back();
    Search found{largest(roof.data(), roof.size())};
    look(found, bounds_.size() - 1, 0, roof.size());
    if (found.behind == kNowhere) return found.best;
    flush(found.behind);
  }
}

// Looks for the key among the bounds [first, first + n) of a level, and at what is below them.
void BlockField::look(Search& s, std::size_t level, std::size_t first, std::size_t n) const {
  for_equal(bounds_[level].data() + first, n, s.key, [&](std::size_t i) {
    const std::size_t o = (first + i) * kGroup;
    if (level > 0) return look(s, level - 1, o, std::min(kGroup, bounds_[level - 1].size() - o));
    const std::size_t block = first + i;
    if (blocks_[block].queued != 0) s.behind = block;
    if (s.behind != kNowhere) return;
    for_equal(key_.data() + block * block_, padded(blocks_[block].count), s.key, [&](std::size_t k) {
      if (s.best == kNowhere || ahead(block * block_ + k, s.best)) s.best = block * block_ + k;
    });
  });
}

// Order of two positions of equal key.
bool BlockField::ahead(std::size_t a, std::size_t b) const {
  return tie_before(items_[row_[a]], items_[row_[b]]);
}

void BlockField::queue(std::size_t block, const Blow& blow) {
  Block& b = blocks_[block];
  queue_[block * kQueue + b.queued++] = blow;
  if (!falling_ || b.queued == kQueue) flush(block);
}

void BlockField::flush(std::size_t block) {
  Block& b = blocks_[block];
  const std::size_t o = block * block_;
  strike_all({start_.data() + o, end_.data() + o, key_.data() + o, padded(b.count), queue_.data() + block * kQueue, b.queued},
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
  bounds_[0][block] = largest(key_.data() + block * block_, std::max(kWidth, padded(blocks_[block].count)));
  std::size_t place = block / kGroup;
  for (std::size_t level = 1; level < bounds_.size(); ++level, place /= kGroup) {
    const Column<double>& below = bounds_[level - 1];
    const std::size_t o = place * kGroup;
    const double top = largest(below.data() + o, std::min(kGroup, below.size() - o));
    if (bounds_[level][place] == top) return;
    bounds_[level][place] = top;
  }
}

}  // namespace tal::detail
