// Soft suppression: which intervals decay by what, and in which order signs come. See soft_field.hpp.
#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <numeric>
#include <utility>

#include "columns.hpp"
#include "nms_group.hpp"
#include "soft_field.hpp"

namespace tal::detail {
namespace {

void sort_by_start(Items& items) {
  std::vector<std::uint32_t> rows(items.size());
  std::iota(rows.begin(), rows.end(), 0U);
  Column<double> minus_start(items.size());
  for (std::size_t i = 0; i < items.size(); ++i) minus_start[i] = -items[i].start;
  sort_rows(rows, minus_start.data(), std::less<>());
  Items sorted;
  sorted.reserve(items.size());
  for (std::uint32_t r : rows) sorted.push_back(items[r]);
  items.swap(sorted);
}

Blow blow_of(const Item& item, const NmsOptions& o) {
  const double threshold = o.threshold + o.threshold_slope * (item.end - item.start);
  // A limit just below the threshold makes "greater" mean "at least".
  const double limit = o.inclusive ? std::nextafter(threshold, -std::numeric_limits<double>::infinity()) : threshold;
  return {item.start, item.end, limit};
}

// Linear: the key is the score itself, of any sign. A negative one rises when it decays.
void linear(const Items& items, const NmsOptions& o, Out& out) {
  std::vector<std::uint32_t> rows;
  Column<double> score;
  rows.reserve(items.size());
  score.reserve(items.size());
  bool falling = true;
  for (const Item& item : items) {
    rows.push_back(static_cast<std::uint32_t>(rows.size()));
    score.push_back(item.score);
    falling = falling && item.score >= 0.0;
  }
  Field field(items, std::move(rows), score, {true, 1.0, 0.0}, falling);
  while (!field.empty()) {
    const Best best = field.take();
    if (best.key < o.min_score) return;  // as is the rest, and only intervals that are taken raise others
    out.push_back({best.key, items[best.row].index});
    field.apply(blow_of(items[best.row], o));
  }
}

// Gaussian: positive scores first, their keys log s - sum / sigma; then zeros, then negative scores,
// which decay towards zero and so rise.
class Gaussian {
 public:
  Gaussian(const Items& items, const NmsOptions& o, Out& out)
      : items_(items), o_(o), out_(out), log_(items.size()) {
    positive_.reserve(items.size());
    for (std::size_t i = 0; i < items.size(); ++i) {
      const double s = items[i].score;
      (s > 0.0 ? positive_ : s < 0.0 ? negative_ : zero_).push_back(static_cast<std::uint32_t>(i));
      if (s != 0.0) log_[i] = std::log(std::abs(s));
    }
  }

  void run() {
    Field negative(items_, std::move(negative_), log_, decay(-1.0), false);
    drain(negative);
    std::sort(zero_.begin(), zero_.end(), [&](auto a, auto b) { return before(items_[a], items_[b]); });
    for (std::uint32_t r : zero_) {
      if (items_[r].score < o_.min_score) break;
      out_.push_back({items_[r].score, items_[r].index});
      if (!negative.empty()) negative.apply(blow_of(items_[r], o_));
    }
    while (!negative.empty()) {
      const Best best = negative.take();
      if (!emit(best, -1.0)) return;
      negative.apply(blow_of(items_[best.row], o_));
    }
  }

 private:
  // So small a sigma that its inverse is infinite leaves nothing either way.
  Decay decay(double sign) const { return {false, sign, sign * std::min(1.0 / o_.sigma, 1e290)}; }

  void drain(Field& negative) {
    Field field(items_, std::move(positive_), log_, decay(1.0), true);
    while (!field.empty()) {
      const Best best = field.take();
      if (!emit(best, 1.0)) return;
      const Blow blow = blow_of(items_[best.row], o_);
      field.apply(blow);
      if (!negative.empty()) negative.apply(blow);
    }
  }

  // False if the score is below the floor, as then are all that follow of this sign.
  bool emit(const Best& best, double sign) {
    const Item& item = items_[best.row];
    const double score = item.score * std::exp(sign * best.key - log_[best.row]);
    if (score < o_.min_score) return false;
    out_.push_back({score, item.index});
    return true;
  }

  const Items& items_;
  const NmsOptions& o_;
  Out& out_;
  Column<double> log_;  // of the score's size
  std::vector<std::uint32_t> positive_, zero_, negative_;
};

}  // namespace

void soft_suppress(Items& items, const NmsOptions& options, Out& out) {
  // So that what a field has side by side is also near in memory.
  if (items.size() > StripField::kMost) sort_by_start(items);
  if (options.kind == NmsKind::linear) {
    linear(items, options, out);
  } else {
    Gaussian(items, options, out).run();
  }
}

}  // namespace tal::detail
