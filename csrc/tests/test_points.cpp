// Boundary pairs, sampling positions and point clustering against short versions of their definitions.
#include "tal/boundary.hpp"
#include "tal/kmedoids.hpp"

#include <limits>
#include <tuple>

#include "check.hpp"
#include "random_data.hpp"

namespace {

using test::Dice;
using Index = std::int64_t;

std::vector<Index> naive_candidates(const std::vector<double>& p, double share) {
  std::vector<Index> out;
  for (std::size_t i = 0; i < p.size(); ++i) {
    const bool edge = i == 0 || i + 1 == p.size();
    const bool peak = !edge && p[i] > p[i - 1] && p[i] > p[i + 1];
    if (edge || peak || p[i] > share * *std::max_element(p.begin(), p.end())) out.push_back(static_cast<Index>(i));
  }
  return out;
}

void pairs_equal_the_definition() {
  for (unsigned seed = 0; seed < 200; ++seed) {
    Dice dice(seed);
    std::vector<double> start, end;
    for (std::size_t i = dice.below(40); i > 0; --i) {
      start.push_back(dice.grid(0, 1));
      end.push_back(dice.grid(0, 1));
    }
    tal::BoundaryOptions o;
    o.peak_share = dice.share();
    o.d_min = 1 + static_cast<Index>(dice.below(4));
    o.d_max = dice.coin() ? o.d_min + static_cast<Index>(dice.below(9)) : 0;
    o.top_k = static_cast<Index>(dice.below(12));
    std::vector<std::tuple<double, Index, Index>> wanted;  // minus score, start, end
    for (const Index s : naive_candidates(start, o.peak_share)) {
      for (const Index e : naive_candidates(end, o.peak_share)) {
        if (e - s < o.d_min || (o.d_max > 0 && e - s > o.d_max)) continue;
        wanted.emplace_back(-start[static_cast<std::size_t>(s)] * end[static_cast<std::size_t>(e)], s, e);
      }
    }
    if (o.top_k > 0) std::sort(wanted.begin(), wanted.end());
    if (o.top_k > 0 && wanted.size() > static_cast<std::size_t>(o.top_k)) wanted.resize(static_cast<std::size_t>(o.top_k));
    const auto found = tal::boundary_pairs(start.data(), end.data(), static_cast<Index>(start.size()), o);
    CHECK(found.start.size() == wanted.size() && found.end.size() == wanted.size() && found.score.size() == wanted.size());
    for (std::size_t i = 0; i < std::min(wanted.size(), found.start.size()); ++i) {
      CHECK(wanted[i] == std::make_tuple(-found.score[i], found.start[i], found.end[i]));
    }
  }
}

void boundary_refuses() {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  const auto run = [](double value, const tal::BoundaryOptions& o) {
    const double p[] = {0.5, value, 0.5}, q[] = {0.5, 0.5, 0.5};
    return test::refuses([&] { tal::boundary_pairs(p, q, 3, o); }) || test::refuses([&] { tal::boundary_pairs(q, p, 3, o); });
  };
  CHECK(!run(0.5, {}));
  for (const double bad : {nan, std::numeric_limits<double>::infinity(), 1e151}) CHECK(run(bad, {}));
  CHECK(run(0.5, {nan, 1, 0, 0}));
  CHECK(run(0.5, {0.5, 0, 0, 0}));
  CHECK(run(0.5, {0.5, 3, 2, 0}));
  CHECK(run(0.5, {0.5, 1, 0, -1}));
  const double p[] = {1, 1, 1};
  CHECK(tal::boundary_pairs(p, p, 3, {0.5, std::numeric_limits<Index>::max(), 0, 0}).start.empty());
}

void positions() {
  const double start[] = {10.0, 3.0}, end[] = {20.0, 3.0};
  const auto found = tal::sampling_positions(start, end, 2, 3, 0.5);
  CHECK(test::close(found, {5.0, 15.0, 25.0, 3.0, 3.0, 3.0}));
  CHECK(test::close(tal::sampling_positions(start, end, 1, 1, 0.1), {15.0}));
  CHECK(tal::sampling_positions(start, end, 0, SIZE_MAX, 0.1).empty());
  const double wide[] = {-1e308, 1e308}, nan = std::numeric_limits<double>::quiet_NaN();
  CHECK(test::refuses([&] { tal::sampling_positions(wide, wide + 1, 1, 3, 0.0); }));
  CHECK(test::refuses([&] { tal::sampling_positions(&nan, end, 1, 3, 0.0); }));
  CHECK(test::refuses([&] { tal::sampling_positions(start, end, 1, 3, nan); }));
  bool told = false;
  try {
    tal::sampling_positions(start, end, 2, SIZE_MAX / 2 + 1, 0.0);  // twice that is 0 once it wraps
  } catch (const std::length_error&) {
    told = true;
  }
  CHECK(told);
}

struct Scene {
  std::vector<float> x;
  std::vector<Index> points;
  Index length, width = 3;

  explicit Scene(Dice& dice) : length(static_cast<Index>(1 + dice.below(30))) {
    for (Index i = 0; i < length * width; ++i) x.push_back(static_cast<float>(dice.grid(-2, 2)));
    for (Index t = 0; t < length; ++t) {
      if (dice.below(6) == 0) points.push_back(t);
    }
    if (points.empty()) points.push_back(static_cast<Index>(dice.below(static_cast<std::size_t>(length))));
  }

  double distance(Index a, Index b) const {
    double dot = 0.0, aa = 0.0, bb = 0.0;
    for (Index d = 0; d < width; ++d) {
      const double u = static_cast<double>(x[static_cast<std::size_t>(a * width + d)]);
      const double v = static_cast<double>(x[static_cast<std::size_t>(b * width + d)]);
      dot += u * v;
      aa += u * u;
      bb += v * v;
    }
    return aa > 0.0 && bb > 0.0 ? 1.0 - dot / std::sqrt(aa * bb) : 1.0;
  }

  double cost(const tal::Clusters& c) const {
    double total = 0.0;
    for (std::size_t i = 0; i < points.size(); ++i) {
      for (Index t = c.bounds[i]; t < c.bounds[i + 1]; ++t) total += distance(t, c.medoids[i]);
    }
    return total;
  }
};

void clusters_keep_their_rules() {
  for (unsigned seed = 0; seed < 200; ++seed) {
    Dice dice(seed);
    const Scene s(dice);
    const tal::Clusters c = tal::constrained_kmedoids(s.x.data(), s.length, s.width, s.points.data(), s.points.size());
    CHECK(c.bounds.size() == s.points.size() + 1 && c.bounds.front() == 0 && c.bounds.back() == s.length);
    for (std::size_t i = 0; i < s.points.size(); ++i) {
      CHECK(c.bounds[i] <= s.points[i] && s.points[i] < c.bounds[i + 1]);
      CHECK(c.bounds[i] <= c.medoids[i] && c.medoids[i] < c.bounds[i + 1]);
    }
    for (std::size_t k = 1; k < c.cost.size(); ++k) CHECK(c.cost[k] < c.cost[k - 1]);
    CHECK(test::close(c.cost.back(), s.cost(c)));
    const tal::Actions a = tal::mine_actions(s.x.data(), s.length, s.width, s.points.data(), c);
    CHECK(a.start.size() == s.points.size() && a.end.size() == s.points.size());
    for (std::size_t i = 0; i < a.start.size(); ++i) {
      CHECK(a.start[i] >= c.bounds[i] && a.start[i] <= s.points[i] && s.points[i] < a.end[i] && a.end[i] <= c.bounds[i + 1]);
      if (i > 0 && s.points[i] - s.points[i - 1] >= 2) CHECK(a.end[i - 1] < a.start[i]);
    }
  }
}

// Two actions of one direction each, longer than the background of a third: both come out to the frame.
void planted_actions_are_found() {
  std::vector<float> x;
  for (Index t = 0; t < 40; ++t) {
    const bool first = t >= 4 && t < 16, second = t >= 22 && t < 37;
    x.insert(x.end(), {first ? 1.0F : 0.0F, second ? 1.0F : 0.0F, first || second ? 0.0F : 1.0F});
  }
  const std::vector<Index> points = {8, 30};
  const tal::Clusters c = tal::constrained_kmedoids(x.data(), 40, 3, points.data(), 2);
  const tal::Actions a = tal::mine_actions(x.data(), 40, 3, points.data(), c);
  CHECK(a.start == (std::vector<Index>{4, 22}));
  CHECK(a.end == (std::vector<Index>{16, 37}));
}

void clusters_refuse() {
  const std::vector<float> x = {1, 2, 3, 4, 5, 6, 7, 8};
  std::vector<float> broken = x;
  broken[6] = std::numeric_limits<float>::quiet_NaN();
  const auto cluster = [&](const std::vector<float>& f, std::vector<Index> p) {
    return test::refuses([&] { tal::constrained_kmedoids(f.data(), 4, 2, p.data(), p.size()); });
  };
  CHECK(!cluster(x, {0, 2}));
  CHECK(cluster(broken, {0, 2}));
  CHECK(cluster(x, {}));
  CHECK(cluster(x, {2, 2}));
  CHECK(cluster(x, {4}));
  CHECK(cluster(x, {-1}));
  const auto mine = [&](std::vector<Index> bounds, std::vector<Index> medoids, double kappa) {
    const std::vector<Index> p = {0, 2};
    return test::refuses([&] { tal::mine_actions(x.data(), 4, 2, p.data(), {bounds, medoids, {}}, kappa, 0.0); });
  };
  CHECK(!mine({0, 1, 4}, {0, 3}, 0.5));
  CHECK(mine({0, 1, 4}, {0, 3}, std::numeric_limits<double>::quiet_NaN()));
  CHECK(mine({0, 1, 5}, {0, 3}, 0.5));
  CHECK(mine({0, 1, 4}, {0, 1 << 30}, 0.5));
  CHECK(mine({0, -9, 4}, {0, 3}, 0.5));
  CHECK(mine({0, 3, 4}, {0, 3}, 0.5));
  CHECK(mine({0, 4}, {0, 3}, 0.5));
}

}  // namespace

int main() {
  pairs_equal_the_definition();
  boundary_refuses();
  positions();
  clusters_keep_their_rules();
  planted_actions_are_found();
  clusters_refuse();
  return test::report("points");
}
