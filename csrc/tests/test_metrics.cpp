// Average precision and recall against their definitions, one threshold and class at a time.
#include "tal/mean_ap.hpp"
#include "tal/nms.hpp"
#include "tal/recall.hpp"

#include <limits>
#include <string>

#include "check.hpp"
#include "random_data.hpp"

namespace {

using test::Dice;
using test::Intervals;
using Rows = std::vector<std::size_t>;

tal::TruthColumns truth_of(const Intervals& d) {
  return {d.video.data(), d.label.data(), d.start.data(), d.end.data(), d.size()};
}

tal::PredictionColumns predictions_of(const Intervals& d) {
  return {d.video.data(), d.label.data(), d.start.data(), d.end.data(), d.score.data(), nullptr, nullptr, d.size()};
}

bool reaches(double overlap, double threshold, bool inclusive) {
  return inclusive ? overlap >= threshold : overlap > threshold;
}

Rows ranked(const Intervals& p, std::int32_t label) {
  Rows rows;
  for (std::size_t i = 0; i < p.size(); ++i) {
    if (p.label[i] == label) rows.push_back(i);
  }
  std::sort(rows.begin(), rows.end(), [&](std::size_t a, std::size_t b) {
    if (p.score[a] != p.score[b]) return p.score[a] > p.score[b];
    if (p.start[a] != p.start[b]) return p.start[a] < p.start[b];
    if (p.end[a] != p.end[b]) return p.end[a] < p.end[b];
    return p.video[a] != p.video[b] ? p.video[a] < p.video[b] : a < b;
  });
  return rows;
}

std::vector<bool> best_free(const Intervals& t, const Intervals& p, const Rows& rows, std::int32_t label, double threshold,
                            bool inclusive) {
  std::vector<bool> taken(t.size(), false), right;
  for (const std::size_t i : rows) {
    std::size_t best = t.size();
    double most = -1.0;
    for (std::size_t g = 0; g < t.size(); ++g) {
      if (t.label[g] != label || t.video[g] != p.video[i] || taken[g]) continue;
      const double overlap = tal::tiou(p.start[i], p.end[i], t.start[g], t.end[g]);
      if (reaches(overlap, threshold, inclusive) && overlap > most) {
        most = overlap;
        best = g;
      }
    }
    right.push_back(best < t.size());
    if (best < t.size()) taken[best] = true;
  }
  return right;
}

std::vector<bool> truth_first(const Intervals& t, const Intervals& p, const Rows& rows, std::int32_t label,
                              double threshold, bool inclusive) {
  std::vector<bool> right(rows.size(), false);
  for (std::size_t g = 0; g < t.size(); ++g) {
    if (t.label[g] != label) continue;
    std::size_t best = rows.size();
    double most = 0.0;
    for (std::size_t k = 0; k < rows.size(); ++k) {
      if (p.video[rows[k]] != t.video[g] || right[k]) continue;
      const double overlap = tal::tiou(p.start[rows[k]], p.end[rows[k]], t.start[g], t.end[g]);
      if (overlap > most) {
        most = overlap;
        best = k;
      }
    }
    if (best < rows.size() && reaches(most, threshold, inclusive)) right[best] = true;
  }
  return right;
}

double naive_eleven_points(const std::vector<bool>& right, std::size_t positives) {
  double total = 0.0;
  for (std::size_t level = 0; level <= 10; ++level) {
    double best = 0.0;
    std::size_t hits = 0;
    for (std::size_t k = 0; k < right.size(); ++k) {
      hits += right[k] ? 1 : 0;
      if (10 * hits >= level * positives) best = std::max(best, static_cast<double>(hits) / static_cast<double>(k + 1));
    }
    total += best;
  }
  return total / 11.0;
}

double naive_area(const std::vector<bool>& right, double positives, tal::ApRule rule) {
  if (rule == tal::ApRule::eleven_point) return naive_eleven_points(right, static_cast<std::size_t>(positives));
  std::vector<double> precision;
  double hits = 0.0;
  for (std::size_t k = 0; k < right.size(); ++k) {
    hits += right[k] ? 1.0 : 0.0;
    precision.push_back(hits / static_cast<double>(k + 1));
  }
  double total = 0.0;
  for (std::size_t k = 0; k < right.size(); ++k) {
    if (!right[k]) continue;
    const bool envelope = rule == tal::ApRule::interpolated;
    total += envelope ? *std::max_element(precision.begin() + static_cast<std::ptrdiff_t>(k), precision.end()) : precision[k];
  }
  return total / positives;
}

void precision_equals_the_definition() {
  for (unsigned seed = 0; seed < 160; ++seed) {
    Dice dice(seed);
    const bool ties = dice.coin();
    const Intervals truth(dice, dice.below(20), ties, 3, 3), found(dice, dice.below(seed % 8 == 0 ? 900 : 40), ties, 3, 3);
    tal::ApOptions o;
    o.thresholds = {0.1, 0.5, 0.75};
    o.matching = static_cast<tal::Matching>(dice.below(2));
    o.rule = static_cast<tal::ApRule>(dice.below(3));
    o.inclusive = dice.coin();
    const auto table = tal::average_precision(truth_of(truth), predictions_of(found), 3, 3, o);
    CHECK(table.size() == 9);
    for (std::size_t c = 0; c < 3; ++c) {
      const auto label = static_cast<std::int32_t>(c);
      const auto positives = std::count(truth.label.begin(), truth.label.end(), label);
      const Rows rows = ranked(found, label);
      for (std::size_t k = 0; k < 3; ++k) {
        const auto match = o.matching == tal::Matching::best_free ? best_free : truth_first;
        const auto right = match(truth, found, rows, label, o.thresholds[k], o.inclusive);
        const double wanted = positives > 0 ? naive_area(right, static_cast<double>(positives), o.rule) : std::nan("");
        CHECK(test::close(table[k * 3 + c], wanted));
      }
    }
    for (const int threads : {0, 2}) {
      CHECK(test::close(tal::average_precision(truth_of(truth), predictions_of(found), 3, 3, o, threads), table, 0.0));
    }
  }
}

// With max_average 0 every proposal counts: the curve's right end is plain recall.
void recall_equals_the_definition_at_its_end() {
  for (unsigned seed = 0; seed < 100; ++seed) {
    Dice dice(seed);
    Intervals truth(dice, 1 + dice.below(20), dice.coin(), 1, 3);
    Intervals found(dice, dice.below(60), dice.coin(), 1, 3);
    for (std::int32_t& v : found.video) v = truth.video[0];  // all in a video that has truth
    const tal::RecallOptions o{{0.0, 0.3, 0.9}, 0.0, 10};
    const tal::RecallCurve curve = tal::average_recall(truth_of(truth), predictions_of(found), 3, o);
    CHECK(curve.recall.size() == 30 && curve.proposals_per_video.size() == 10);
    for (std::size_t k = 0; k < 3; ++k) {
      double hits = 0.0;
      for (std::size_t g = 0; g < truth.size(); ++g) {
        bool hit = false;
        for (std::size_t i = 0; i < found.size(); ++i) {
          hit = hit || (found.video[i] == truth.video[g] &&
                        tal::tiou(found.start[i], found.end[i], truth.start[g], truth.end[g]) >= o.thresholds[k]);
        }
        hits += hit ? 1.0 : 0.0;
      }
      CHECK(test::close(curve.recall[k * 10 + 9], hits / static_cast<double>(truth.size())));
      for (std::size_t j = 1; j < 10; ++j) CHECK(curve.recall[k * 10 + j] >= curve.recall[k * 10 + j - 1]);
    }
    const tal::RecallCurve again = tal::average_recall(truth_of(truth), predictions_of(found), 3, o, 3);
    CHECK(again.recall == curve.recall && again.proposals_per_video == curve.proposals_per_video);
  }
}

// So many rows that threads share the looking at them and the sorting out by label or video.
void many_rows_give_the_same_on_any_threads() {
  Dice dice(3);
  const Intervals truth(dice, 3000, true, 5, 40);
  Intervals found(dice, 150000, true, 5, 40);
  const tal::ApOptions o{{0.3, 0.5, 0.7}, {}, {}, true, tal::Ties::ranked};
  const tal::RecallOptions r{{0.5, 0.75}, 100.0, 20};
  const auto table = tal::average_precision(truth_of(truth), predictions_of(found), 5, 40, o);
  const auto curve = tal::average_recall(truth_of(truth), predictions_of(found), 40, r);
  CHECK(table[0] > 0.0 && curve.recall.back() > 0.0);
  for (const int threads : {0, 2, 3}) {
    CHECK(tal::average_precision(truth_of(truth), predictions_of(found), 5, 40, o, threads) == table);
    CHECK(tal::average_recall(truth_of(truth), predictions_of(found), 40, r, threads).recall == curve.recall);
  }
  // The first bad row is named, whoever sees one first.
  for (const std::size_t row : {140000, 70001, 70000}) found.label[row] = 9;
  for (const int threads : {1, 2, 5}) {
    std::string words;
    try {
      tal::average_precision(truth_of(truth), predictions_of(found), 5, 40, o, threads);
    } catch (const std::invalid_argument& e) {
      words = e.what();
    }
    CHECK(words == "prediction row 70000 has label 9, outside 0..5-1");
  }
}

void refuses_what_makes_no_sense() {
  Dice dice(0);
  const Intervals good(dice, 6, false);
  const auto bad = [&](auto change) {
    Intervals d = good;
    change(d);
    const tal::ApOptions o{{0.5}, {}, {}, true, tal::Ties::ranked};
    const tal::RecallOptions r{{0.5}, 0.0, 5};
    const bool precision = test::refuses([&] { tal::average_precision(truth_of(good), predictions_of(d), 2, 2, o); });
    return precision && test::refuses([&] { tal::average_recall(truth_of(good), predictions_of(d), 2, r); });
  };
  const double nan = std::numeric_limits<double>::quiet_NaN();
  CHECK(!bad([](auto&) {}));
  CHECK(bad([&](auto& d) { d.start[3] = nan; }));
  CHECK(bad([&](auto& d) { d.end[3] = nan; }));
  CHECK(bad([&](auto& d) { d.score[3] = nan; }));
  CHECK(bad([](auto& d) { d.end[3] = d.start[3] - 1; }));
  CHECK(bad([](auto& d) { d.video[3] = 2; }));
  CHECK(bad([](auto& d) { d.label[3] = -1; }));
  for (const double value : {nan, -1.0, std::numeric_limits<double>::infinity()}) {
    CHECK(test::refuses([&] { tal::average_recall(truth_of(good), predictions_of(good), 2, {{0.5}, value, 5}); }));
  }
  CHECK(test::refuses([&] { tal::average_recall(truth_of(good), predictions_of(good), 2, {{0.5}, 0.0, 0}); }));
  CHECK(test::refuses([&] { tal::average_precision(truth_of(good), predictions_of(good), 2, 2, {std::vector<double>(65, 0.5)}); }));
  CHECK(tal::average_precision(truth_of(good), predictions_of(good), 2, 2, {}).empty());
  // More proposals wanted than a double can count; one video has none.
  const tal::RecallCurve curve = tal::average_recall(truth_of(good), predictions_of(good), 3, {{0.5}, 1.7e308, 4});
  for (const double value : curve.recall) CHECK(value >= 0.0 && value <= 1.0);
}

}  // namespace

int main() {
  precision_equals_the_definition();
  recall_equals_the_definition_at_its_end();
  many_rows_give_the_same_on_any_threads();
  refuses_what_makes_no_sense();
  return test::report("metrics");
}
