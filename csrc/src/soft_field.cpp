#include "soft_field.hpp"

#include <algorithm>
#include <limits>

#include "columns.hpp"
#include "simd.hpp"

namespace tal::detail {
namespace {

constexpr std::size_t kWidth = 8;       // padding: hot loops have no remainder
constexpr std::size_t kBlock = 64;      // intervals
constexpr std::size_t kGroup = 64;      // blocks
constexpr std::size_t kQueue = 32;      // blows
constexpr std::size_t kUnsorted = 128;  // so few are struck quicker than sorted
constexpr std::size_t kOneLane = 1024;
constexpr std::size_t kLanes = 4;
constexpr double kNone = -std::numeric_limits<double>::infinity();

std::size_t padded(std::size_t n) { return (n + kWidth - 1) / kWidth * kWidth; }

inline double larger(double a, double b) { return a > b ? a : b; }

// n is a multiple of kWidth and not 0. Maxima side by side, so that the compiler may use vectors.
TAL_CLONES double largest(const double* x, std::size_t n) {
  double a = x[0], b = x[1], c = x[2], d = x[3], e = x[4], f = x[5], g = x[6], h = x[7];
  for (std::size_t i = kWidth; i < n; i += kWidth) {
    a = larger(x[i], a);
    b = larger(x[i + 1], b);
    c = larger(x[i + 2], c);
    d = larger(x[i + 3], d);
    e = larger(x[i + 4], e);
    f = larger(x[i + 5], f);
    g = larger(x[i + 6], g);
    h = larger(x[i + 7], h);
  }
  return larger(larger(larger(a, e), larger(c, g)), larger(larger(b, f), larger(d, h)));
}

// How often x has the value, and the sum of the places: where it is, if it is there once.
TAL_CLONES std::uint64_t count_and_place(const double* x, std::size_t n, double value) {
  std::uint64_t found = 0;
  for (std::uint64_t i = 0; i < n; ++i) found += x[i] == value ? (i | 1ULL << 32) : 0;
  return found;
}

template <class Visit>
void for_equal(const double* x, std::size_t n, double value, Visit visit) {
  const std::uint64_t found = count_and_place(x, n, value);
  if (found >> 32 == 1) return visit(static_cast<std::size_t>(found & 0xFFFFFFFFU));
  for (std::size_t i = 0; i < n; ++i) {
    if (x[i] == value) visit(i);
  }
}

// A stretch of intervals, padded, and the blows that hit it: blows[queue[0]], blows[queue[1]], ...
struct Strike {
  const double* start;
  const double* end;
  double* key;
  std::size_t size;
  const Blow* blows;
  const std::uint32_t* queue;
  std::size_t queued;
};

// No union is empty: a blow has a length.
TAL_CLONES void strike_linear(const Strike& s) {
  for (std::size_t q = 0; q < s.queued; ++q) {
    const Blow b = s.blows[s.queue[q]];
    const double length = b.end - b.start;
    for (std::size_t i = 0; i < s.size; ++i) {
      const double low = b.start > s.start[i] ? b.start : s.start[i];
      const double high = b.end < s.end[i] ? b.end : s.end[i];
      const double inter = high - low > 0.0 ? high - low : 0.0;
      const double overlap = inter / (length + (s.end[i] - s.start[i]) - inter);
      s.key[i] *= overlap > b.limit ? 1.0 - overlap : 1.0;
    }
  }
}

TAL_CLONES void strike_gaussian(const Strike& s, double scale) {
  for (std::size_t q = 0; q < s.queued; ++q) {
    const Blow b = s.blows[s.queue[q]];
    const double length = b.end - b.start;
    for (std::size_t i = 0; i < s.size; ++i) {
      const double low = b.start > s.start[i] ? b.start : s.start[i];
      const double high = b.end < s.end[i] ? b.end : s.end[i];
      const double inter = high - low > 0.0 ? high - low : 0.0;
      const double overlap = inter / (length + (s.end[i] - s.start[i]) - inter);
      s.key[i] -= overlap > b.limit ? overlap * overlap * scale : 0.0;
    }
  }
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

Field::Field(const std::vector<Item>& items, std::vector<std::uint32_t> rows, const std::vector<double>& key_of,
             const Decay& decay, bool falling)
    : items_(items), decay_(decay), falling_(falling), left_(rows.size()) {
  const std::size_t most = rows.size() + kLanes * kWidth + kBlock;
  for (std::vector<double>* x : {&start_, &end_, &key_}) x->reserve(most);
  row_.reserve(most);
  if (rows.size() < kOneLane) {
    add_lane(rows, key_of);
  } else {
    for (std::vector<std::uint32_t>& lane : by_length(items, rows)) add_lane(lane, key_of);
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

void Field::add_lane(std::vector<std::uint32_t>& rows, const std::vector<double>& key_of) {
  if (rows.size() > kUnsorted) {
    std::vector<double> minus_start(items_.size());
    for (std::uint32_t r : rows) minus_start[r] = -items_[r].start;
    sort_rows(rows, minus_start.data(), std::less<>());
  }
  const std::size_t first = blocks_.size();
  for (std::size_t i = 0; i < rows.size(); i += kBlock) {
    add_block(rows.data() + i, std::min(kBlock, rows.size() - i), key_of);
    if (blocks_.size() - first > 1) blocks_.back().reach = std::max(blocks_.back().reach, (blocks_.end() - 2)->reach);
  }
  lanes_.push_back({first, blocks_.size()});
}

void Field::add_block(const std::uint32_t* rows, std::size_t n, const std::vector<double>& key_of) {
  const std::size_t o = blocks_.size() * kBlock;
  for (std::vector<double>* x : {&start_, &end_}) x->resize(o + kBlock, 0.0);
  key_.resize(o + kBlock, kNone);
  row_.resize(o + kBlock, 0);
  Block block{-kNone, kNone, kNone, static_cast<std::uint32_t>(n), 0};
  for (std::size_t i = 0; i < n; ++i) {
    const Item& item = items_[rows[i]];
    row_[o + i] = rows[i];
    start_[o + i] = item.start;
    end_[o + i] = item.end;
    key_[o + i] = key_of[rows[i]];
    block.first_start = std::min(block.first_start, item.start);
    block.last_end = std::max(block.last_end, item.end);
  }
  block.reach = block.last_end;
  blocks_.push_back(block);
  bound_.push_back(largest(key_.data() + o, padded(n)));
}

Field::Best Field::take() {
  const std::size_t position = find_best();
  const Best best{row_[position], key_[position]};
  remove(position);
  return best;
}

void Field::apply(const Blow& blow) {
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
std::size_t Field::find_best() {
  constexpr std::size_t none = std::numeric_limits<std::size_t>::max();
  for (;;) {
    const double top = crown_.empty() ? largest(bound_.data(), bound_.size()) : largest(crown_.data(), crown_.size());
    std::size_t best = none;
    std::size_t behind = none;
    const auto visit_block = [&](std::size_t b) {
      if (blocks_[b].queued != 0) behind = b;
      if (behind != none) return;
      for_equal(key_.data() + b * kBlock, padded(blocks_[b].count), top, [&](std::size_t i) {
        if (best == none || ahead(b * kBlock + i, best)) best = b * kBlock + i;
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
bool Field::ahead(std::size_t a, std::size_t b) const {
  const Item& x = items_[row_[a]];
  const Item& y = items_[row_[b]];
  if (x.start != y.start) return x.start < y.start;
  if (x.end != y.end) return x.end < y.end;
  return x.index < y.index;
}

// The newest blow goes to a block.
void Field::queue(std::size_t block) {
  Block& b = blocks_[block];
  queue_[block * kQueue + b.queued++] = static_cast<std::uint32_t>(blows_.size() - 1);
  if (!falling_ || b.queued == kQueue) flush(block);
}

void Field::flush(std::size_t block) {
  Block& b = blocks_[block];
  const std::size_t o = block * kBlock;
  const Strike strike{start_.data() + o, end_.data() + o, key_.data() + o, padded(b.count), blows_.data(),
                      queue_.data() + block * kQueue, b.queued};
  if (decay_.linear) {
    strike_linear(strike);
  } else {
    strike_gaussian(strike, decay_.scale);
  }
  b.queued = 0;
  refresh(block);
}

// The last interval of the block takes the place of the one removed.
void Field::remove(std::size_t position) {
  const std::size_t block = position / kBlock;
  const std::size_t last = block * kBlock + --blocks_[block].count;
  start_[position] = start_[last];
  end_[position] = end_[last];
  key_[position] = key_[last];
  row_[position] = row_[last];
  start_[last] = end_[last] = 0.0;
  key_[last] = kNone;
  --left_;
  refresh(block);
}

inline void Field::refresh(std::size_t block) {
  bound_[block] = largest(key_.data() + block * kBlock, std::max(kWidth, padded(blocks_[block].count)));
  if (crown_.empty()) return;
  const std::size_t o = block / kGroup * kGroup;
  crown_[block / kGroup] = largest(bound_.data() + o, std::min(kGroup, bound_.size() - o));
}

}  // namespace tal::detail
