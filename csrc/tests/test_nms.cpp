// Suppression against the definition: take the best, touch the rest, again.
#include "tal/nms.hpp"

#include <functional>
#include <limits>

#include "check.hpp"
#include "random_data.hpp"

namespace {

using test::Dice;
using test::Intervals;

struct Row {
  double start, end, score;
  std::int64_t index;
};

bool before(const Row& a, const Row& b) {
  if (a.score != b.score) return a.score > b.score;
  if (a.start != b.start) return a.start < b.start;
  return a.end != b.end ? a.end < b.end : a.index < b.index;
}

bool counts(double overlap, double threshold, bool inclusive) {
  return inclusive ? overlap >= threshold : overlap > threshold;
}

// What is left of `r` once `by` is taken; false: nothing.
bool touch(Row& r, const Row& by, const tal::NmsOptions& o, std::vector<Row>& out) {
  const double overlap = tal::tiou(by.start, by.end, r.start, r.end);
  const double threshold = o.threshold + o.threshold_slope * (by.end - by.start);
  if (!counts(overlap, threshold, o.inclusive)) return true;
  if (o.kind == tal::NmsKind::hard) return false;
  if (o.kind == tal::NmsKind::linear) {
    r.score *= 1.0 - overlap;
    return true;
  }
  r.score *= std::exp(-overlap * overlap / o.sigma);
  if (o.kind == tal::NmsKind::gaussian) return true;
  if (r.score >= o.min_score) out.push_back(r);
  return false;
}

std::vector<Row> naive_group(std::vector<Row> rows, const tal::NmsOptions& o) {
  std::vector<Row> out;
  while (!rows.empty()) {
    const auto best = std::min_element(rows.begin(), rows.end(), before);
    const Row taken = *best;
    rows.erase(best);
    if (taken.score < o.min_score) continue;
    out.push_back(taken);
    std::vector<Row> rest;
    for (Row& r : rows) {
      if (touch(r, taken, o, out)) rest.push_back(r);
    }
    rows = rest;
  }
  return out;
}

std::vector<Row> naive(const Intervals& d, std::int64_t first, std::int64_t last, const tal::NmsOptions& o) {
  std::vector<Row> all;
  for (std::int32_t label = 0; label < (o.class_agnostic ? 1 : 3); ++label) {
    std::vector<Row> rows;
    for (std::int64_t i = first; i < last; ++i) {
      const auto k = static_cast<std::size_t>(i);
      if (!o.class_agnostic && d.label[k] != label) continue;
      rows.push_back({d.start[k], d.end[k] + o.length_offset, d.score[k], i});
    }
    for (const Row& r : naive_group(rows, o)) all.push_back(r);
  }
  for (Row& r : all) r.end = d.end[static_cast<std::size_t>(r.index)];
  std::sort(all.begin(), all.end(), before);
  if (o.top_k > 0 && all.size() > static_cast<std::size_t>(o.top_k)) all.resize(static_cast<std::size_t>(o.top_k));
  return all;
}

tal::IntervalBatch view(const Intervals& d, const std::vector<std::int64_t>& offsets) {
  return {d.start.data(), d.end.data(), d.score.data(), d.label.data(), offsets.data(), offsets.size() - 1};
}

void compare(const Intervals& d, const std::vector<std::int64_t>& offsets, const tal::NmsOptions& o) {
  const tal::Kept kept = tal::suppress(view(d, offsets), o);
  CHECK(kept.offsets.size() == offsets.size());
  std::size_t at = 0;
  for (std::size_t v = 0; v + 1 < offsets.size(); ++v) {
    std::vector<double> wanted_index, found_index, wanted, found;
    for (const Row& r : naive(d, offsets[v], offsets[v + 1], o)) {
      wanted_index.push_back(static_cast<double>(r.index));
      wanted.push_back(r.score);
    }
    for (; at < static_cast<std::size_t>(kept.offsets[v + 1]); ++at) {
      found_index.push_back(static_cast<double>(kept.index[at]));
      found.push_back(kept.score[at]);
    }
    CHECK(test::close(found, wanted));
    CHECK(found_index == wanted_index);
  }
  for (const int threads : {0, 2, 5}) {
    const tal::Kept again = tal::suppress(view(d, offsets), o, threads);
    CHECK(again.index == kept.index && again.score == kept.score && again.offsets == kept.offsets);
  }
}

void equals_the_definition() {
  for (unsigned seed = 0; seed < 240; ++seed) {
    Dice dice(seed);
    // Ties only where a decayed score cannot meet another one by rounding.
    const auto kind = static_cast<tal::NmsKind>(seed % 4);
    const bool ties = kind == tal::NmsKind::hard && dice.coin();
    const Intervals d(dice, seed % 5 == 0 ? dice.below(4) : dice.below(260), ties, 3);
    tal::NmsOptions o;
    o.kind = kind;
    o.threshold = static_cast<double>(dice.below(5)) / 4;
    o.inclusive = dice.coin();
    o.length_offset = dice.coin() ? 1.0 : 0.0;
    o.class_agnostic = dice.coin();
    if (dice.coin()) o.top_k = static_cast<std::int64_t>(dice.below(9));
    if (dice.coin()) o.min_score = 0.2;
    if (kind == tal::NmsKind::gaussian && dice.coin()) o.threshold_slope = 0.05;
    compare(d, test::cut(dice, d.size(), 1 + dice.below(4)), o);
  }
}

void refuses_what_makes_no_sense() {
  const double nan = std::numeric_limits<double>::quiet_NaN(), inf = std::numeric_limits<double>::infinity();
  const auto run = [](double start, double end, double score, const tal::NmsOptions& o) {
    const std::int64_t offsets[] = {0, 1};
    return tal::suppress({&start, &end, &score, nullptr, offsets, 1}, o);
  };
  for (const double bad : {nan, inf, -inf}) {
    CHECK(test::refuses([&] { run(bad, 1, 1, {}); }));
    CHECK(test::refuses([&] { run(0, bad, 1, {}); }));
    CHECK(test::refuses([&] { run(0, 1, bad, {}); }));
  }
  CHECK(test::refuses([&] { run(2, 1, 1, {}); }));
  CHECK(test::refuses([&] { run(-1.1e300, 1, 1, {}); }));
  CHECK(run(-1e300, 1e300, 1, {}).index.size() == 1);
  tal::NmsOptions o;
  const auto bad = [&](auto change) {
    tal::NmsOptions changed = o;
    change(changed);
    return test::refuses([&] { run(0, 1, 1, changed); });
  };
  CHECK(bad([&](auto& x) { x.sigma = 0.0; }));
  CHECK(bad([&](auto& x) { x.sigma = 1e-320; }));
  CHECK(bad([&](auto& x) { x.threshold = nan; }));
  CHECK(bad([&](auto& x) { x.threshold_slope = nan; }));
  CHECK(bad([&](auto& x) { x.length_offset = 1e301; }));
  CHECK(bad([&](auto& x) { x.min_score = nan; }));
  CHECK(bad([&](auto& x) { x.top_k = -1; }));
}

// Lengths near the limit: the grid's cells must stay countable and soft scores numbers.
void huge_times_end() {
  Dice dice(1);
  Intervals d(dice, 200, false);
  for (std::size_t i = 0; i < d.size(); ++i) {
    d.start[i] = (dice.share() - 1.0) * 1e300;
    d.end[i] = dice.share() * 1e300;
  }
  for (const auto kind : {tal::NmsKind::hard, tal::NmsKind::linear, tal::NmsKind::gaussian, tal::NmsKind::suppressor}) {
    tal::NmsOptions o;
    o.kind = kind;
    o.threshold = 0.5;
    o.length_offset = 1e300;
    const std::vector<std::int64_t> offsets = {0, 200};
    for (const double score : tal::suppress(view(d, offsets), o).score) CHECK(std::isfinite(score));
  }
}

// A video of so many rows that threads share the work of putting them in order; many scores are equal.
void shares_of_a_video_are_its_order() {
  Dice dice(5);
  const Intervals d(dice, 40000, true, 3000);
  const std::vector<std::int64_t> offsets = {0, 3, 39990, 40000};
  std::vector<double> pairs;
  for (std::size_t i = 0; i < d.size(); ++i) pairs.insert(pairs.end(), {d.start[i], d.end[i]});
  for (const auto kind : {tal::NmsKind::hard, tal::NmsKind::linear, tal::NmsKind::gaussian, tal::NmsKind::suppressor}) {
    for (const std::int64_t top_k : {0, 25000}) {
      tal::NmsOptions o;
      o.kind = kind;
      o.threshold = 0.5;
      o.top_k = top_k;
      const tal::Kept wanted = tal::suppress(view(d, offsets), o);
      for (std::size_t v = 0; v + 1 < offsets.size(); ++v) {
        const auto first = wanted.score.begin() + wanted.offsets[v], last = wanted.score.begin() + wanted.offsets[v + 1];
        CHECK(std::is_sorted(first, last, std::greater<>()));
      }
      for (const int threads : {2, 3, 7}) {
        tal::IntervalBatch in = view(d, offsets);
        in.start = pairs.data();
        in.end = pairs.data() + 1;
        in.stride = 2;
        const tal::Kept kept = tal::suppress(in, o, threads);
        CHECK(kept.index == wanted.index && kept.score == wanted.score && kept.offsets == wanted.offsets);
      }
    }
  }
}

// One group in which only neighbours overlap, so that the definition can be asked of each neighbourhood alone; large
// enough for bounds of bounds of blocks.
void a_large_group_equals_its_parts() {
  constexpr std::size_t parts = 8000, each = 40;
  Dice dice(6);
  Intervals d(dice, parts * each, false, 1);
  for (std::size_t i = 0; i < d.size(); ++i) {
    const double far = static_cast<double>(i * 7919 % parts) * 16.0;
    d.start[i] += far;
    d.end[i] += far;
  }
  const std::vector<std::int64_t> offsets = {0, static_cast<std::int64_t>(d.size())};
  for (const auto kind : {tal::NmsKind::hard, tal::NmsKind::linear, tal::NmsKind::gaussian}) {
    tal::NmsOptions o;
    o.kind = kind;
    o.threshold = kind == tal::NmsKind::hard ? 0.3 : 0.0;
    std::vector<std::vector<Row>> neighbours(parts);
    for (std::size_t i = 0; i < d.size(); ++i) {
      neighbours[i * 7919 % parts].push_back({d.start[i], d.end[i], d.score[i], static_cast<std::int64_t>(i)});
    }
    std::vector<double> wanted(d.size(), -1.0), found(d.size(), -1.0);
    for (const auto& rows : neighbours) {
      for (const Row& r : naive_group(rows, o)) wanted[static_cast<std::size_t>(r.index)] = r.score;
    }
    const tal::Kept kept = tal::suppress(view(d, offsets), o);
    for (std::size_t k = 0; k < kept.index.size(); ++k) found[static_cast<std::size_t>(kept.index[k])] = kept.score[k];
    CHECK(test::close(found, wanted));
    CHECK(std::is_sorted(kept.score.begin(), kept.score.end(), std::greater<>()));
  }
}

}  // namespace

int main() {
  equals_the_definition();
  shares_of_a_video_are_its_order();
  a_large_group_equals_its_parts();
  refuses_what_makes_no_sense();
  huge_times_end();
  return test::report("nms");
}
