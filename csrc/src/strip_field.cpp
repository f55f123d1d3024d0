#include <algorithm>

#include "columns.hpp"
#include "simd.hpp"
#include "soft_field.hpp"

namespace tal::detail {
namespace {

// Fewer than this are not closed up once half of them are taken.
constexpr std::size_t kOpen = 8 * kWidth;

struct Strip {
  const double* start;
  const double* end;
  double* key;
  double* bound;
  std::size_t first, last;  // of eight
};

// Strikes and brings the bounds up to date.
TAL_CLONES void strike_strip(const Strip& s, const Blow& blow, const Decay& decay) {
  const std::size_t o = s.first * kWidth;
  strike(s.start + o, s.end + o, s.key + o, (s.last - s.first) * kWidth, blow, decay);
  for (std::size_t b = s.first; b < s.last; ++b) s.bound[b] = largest_of(s.key + b * kWidth, kWidth);
}

struct Top {
  double key;
  std::uint64_t places;
};

TAL_CLONES Top top_of(const double* bound, std::size_t n) {
  const double top = largest_of(bound, n);
  return {top, places_of(bound, n, top)};
}

TAL_CLONES double largest_of_eight(const double* key) { return largest_of(key, kWidth); }

}  // namespace

StripField::StripField(const Items& items, std::vector<std::uint32_t> rows,
                       const Column<double>& value_of, const Decay& decay)
    : items_(items), decay_(decay), left_(rows.size()), row_(std::move(rows)) {
  std::vector<double> minus_start(items.size());
  for (std::uint32_t r : row_) minus_start[r] = -items[r].start;
  sort_rows(row_, minus_start.data(), std::less<>());
  const std::size_t slots = padded(left_);
  start_.resize(slots);
  end_.resize(slots);
  key_.resize(slots, kNone);
  for (std::size_t i = 0; i < left_; ++i) {
    start_[i] = items[row_[i]].start;
    end_[i] = items[row_[i]].end;
    key_[i] = decay_.sign * value_of[row_[i]];
  }
  lay_out(left_);
}

// What is known of each eight of the first `slots`.
void StripField::lay_out(std::size_t slots) {
  const std::size_t count = padded(slots) / kWidth;
  bound_.assign(padded(count), kNone);
  first_.resize(count);
  reach_.resize(count);
  double reach = kNone;
  for (std::size_t b = 0; b < count; ++b) {
    first_[b] = start_[b * kWidth];
    for (std::size_t i = b * kWidth; i < std::min(slots, (b + 1) * kWidth); ++i) reach = larger(end_[i], reach);
    reach_[b] = reach;
    bound_[b] = largest_of_eight(key_.data() + b * kWidth);
  }
}

// Puts those that are left side by side.
void StripField::close_up() {
  std::size_t to = 0;
  for (std::size_t i = 0; i < key_.size(); ++i) {
    if (key_[i] == kNone) continue;
    start_[to] = start_[i];
    end_[to] = end_[i];
    key_[to] = key_[i];
    row_[to++] = row_[i];
  }
  const std::size_t slots = padded(to);
  for (std::vector<double>* x : {&start_, &end_, &key_}) x->resize(slots);
  for (std::size_t i = to; i < slots; ++i) {
    start_[i] = end_[i] = 0.0;
    key_[i] = kNone;
  }
  lay_out(to);
}

Best StripField::take() {
  const Top top = top_of(bound_.data(), bound_.size());
  std::size_t position = key_.size();
  const auto look = [&](std::size_t b) {
    for (std::size_t i = b * kWidth; i < (b + 1) * kWidth; ++i) {
      if (key_[i] != top.key) continue;
      if (position == key_.size() || tie_before(items_[row_[i]], items_[row_[position]])) position = i;
    }
  };
  if (top.places >> 32 == 1) {
    look(static_cast<std::size_t>(top.places & 0xFFFFFFFFU));
  } else {
    for (std::size_t b = 0; b < first_.size(); ++b) {
      if (bound_[b] == top.key) look(b);
    }
  }
  const Best best{row_[position], top.key};
  --left_;
  start_[position] = end_[position] = 0.0;
  key_[position] = kNone;
  bound_[position / kWidth] = largest_of_eight(key_.data() + position / kWidth * kWidth);
  if (key_.size() > kOpen && 2 * left_ < key_.size()) close_up();
  return best;
}

void StripField::apply(const Blow& blow) {
  if (!(blow.end > blow.start)) return;  // overlaps nothing
  const auto begin = std::upper_bound(reach_.begin(), reach_.end(), blow.start);
  const auto end = std::lower_bound(first_.begin(), first_.end(), blow.end);
  const auto first = static_cast<std::size_t>(begin - reach_.begin());
  const auto last = static_cast<std::size_t>(end - first_.begin());
  if (first < last) strike_strip({start_.data(), end_.data(), key_.data(), bound_.data(), first, last}, blow, decay_);
}

}  // namespace tal::detail
