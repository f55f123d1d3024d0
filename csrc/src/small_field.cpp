#include <algorithm>

#include "simd.hpp"
#include "soft_field.hpp"

namespace tal::detail {
namespace {

struct Columns {
  const double* start;
  const double* end;
  double* key;
  std::size_t size;  // padded
};

struct Top {
  double key;
  std::uint64_t places;
};

TAL_CLONES void strike_columns(const Columns& c, const Blow& blow, const Decay& decay) {
  strike(c.start, c.end, c.key, c.size, blow, decay);
}

TAL_CLONES Top top_of(const double* key, std::size_t n) {
  const double top = largest_of(key, n);
  return {top, places_of(key, n, top)};
}

}  // namespace

SmallField::SmallField(const Items& items, const std::vector<std::uint32_t>& rows,
                       const Column<double>& value_of, const Decay& decay)
    : items_(items), decay_(decay), left_(rows.size()), row_(rows), start_(padded(rows.size())),
      end_(padded(rows.size())), key_(padded(rows.size()), kNone) {
  for (std::size_t i = 0; i < rows.size(); ++i) {
    start_[i] = items[rows[i]].start;
    end_[i] = items[rows[i]].end;
    key_[i] = decay_.sign * value_of[rows[i]];
  }
}

Best SmallField::take() {
  const Top top = top_of(key_.data(), padded(left_));
  auto position = static_cast<std::size_t>(top.places & 0xFFFFFFFFU);
  if (top.places >> 32 != 1) {
    position = left_;
    for (std::size_t i = 0; i < left_; ++i) {
      if (key_[i] != top.key) continue;
      if (position == left_ || tie_before(items_[row_[i]], items_[row_[position]])) position = i;
    }
  }
  const Best best{row_[position], top.key};
  // The last one takes its place.
  --left_;
  start_[position] = start_[left_];
  end_[position] = end_[left_];
  key_[position] = key_[left_];
  row_[position] = row_[left_];
  start_[left_] = end_[left_] = 0.0;
  key_[left_] = kNone;
  return best;
}

void SmallField::apply(const Blow& blow) {
  if (!(blow.end > blow.start)) return;  // overlaps nothing
  strike_columns({start_.data(), end_.data(), key_.data(), padded(left_)}, blow, decay_);
}

}  // namespace tal::detail
