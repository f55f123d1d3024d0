#include "tal/kmedoids.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>

#include "columns.hpp"

namespace tal {
namespace {

using detail::refuse;
using Index = std::int64_t;

std::size_t at(Index i) { return static_cast<std::size_t>(i); }

// Rows of unit length, in double.
class Frames {
 public:
  Frames(const float* x, Index length, Index width, const char* name = "features")
      : width_(at(width)), rows_(at(length) * at(width)) {
    for (Index t = 0; t < length; ++t) {
      double norm = 0.0;
      for (Index d = 0; d < width; ++d) {
        const double v = static_cast<double>(x[t * width + d]);
        if (!std::isfinite(v)) refuse(std::string(name) + " are not finite at frame " + std::to_string(t));
        norm += v * v;
      }
      const double scale = norm > 0.0 ? 1.0 / std::sqrt(norm) : 0.0;
      double* row = rows_.data() + at(t) * width_;
      for (Index d = 0; d < width; ++d) row[d] = static_cast<double>(x[t * width + d]) * scale;
    }
  }

  const double* row(Index t) const { return rows_.data() + at(t) * width_; }
  std::size_t width() const { return width_; }

  double dot(const double* a, const double* b) const {
    double total = 0.0;
    for (std::size_t d = 0; d < width_; ++d) total += a[d] * b[d];
    return total;
  }

  double distance(Index a, Index b) const { return 1.0 - dot(row(a), row(b)); }

 private:
  std::size_t width_;
  std::vector<double> rows_;
};

struct State {
  std::vector<Index> bounds;
  std::vector<Index> medoids;
};

class Sweeper {
 public:
  Sweeper(const Frames& x, const Index* points, std::size_t count) : x_(x), p_(points), n_(count) {}

  State initial(Index length) const {
    State s;
    s.medoids.assign(p_, p_ + n_);
    s.bounds.push_back(0);
    for (std::size_t i = 0; i + 1 < n_; ++i) s.bounds.push_back((p_[i] + p_[i + 1] + 1) / 2);
    s.bounds.push_back(length);
    return s;
  }

  State forward(State s) const {
    for (std::size_t i = 0; i + 1 < n_; ++i) step(s, i);
    return s;
  }

  State backward(State s) const {
    for (std::size_t i = n_ - 1; i-- > 0;) step(s, i);
    return s;
  }

  State average(const State& a, const State& b) const {
    State s = a;
    for (std::size_t i = 1; i < n_; ++i) s.bounds[i] = (a.bounds[i] + b.bounds[i] + 1) / 2;
    for (std::size_t i = 0; i < n_; ++i) s.medoids[i] = medoid(s, i);
    return s;
  }

  double cost(const State& s) const {
    double total = 0.0;
    for (std::size_t i = 0; i < n_; ++i) {
      for (Index t = s.bounds[i]; t < s.bounds[i + 1]; ++t) total += x_.distance(t, s.medoids[i]);
    }
    return total;
  }

 private:
  // The border after cluster i, then the two medoids beside it. Each is the best choice given the
  // rest, so the cost never rises.
  void step(State& s, std::size_t i) const {
    s.bounds[i + 1] = split(s, i);
    s.medoids[i] = medoid(s, i);
    s.medoids[i + 1] = medoid(s, i + 1);
  }

  // Where cluster i should end: in (max(p_i, m_i), min(p_j, m_j)], j = i + 1. Ties: the earliest.
  Index split(const State& s, std::size_t i) const {
    const Index low = std::max(p_[i], s.medoids[i]);
    const Index high = std::min(p_[i + 1], s.medoids[i + 1]);
    Index best = low + 1;
    double least = 0.0;
    double sum = 0.0;
    for (Index t = low + 1; t < high; ++t) {
      sum += x_.distance(t, s.medoids[i]) - x_.distance(t, s.medoids[i + 1]);
      if (sum < least) {
        least = sum;
        best = t + 1;
      }
    }
    return best;
  }

  // The frame of cluster i with the least summed distance: cosine distance is linear in the medoid,
  // so that is the frame most along the cluster's sum. Ties: the earliest.
  Index medoid(const State& s, std::size_t i) const {
    std::vector<double> sum(x_.width(), 0.0);
    for (Index t = s.bounds[i]; t < s.bounds[i + 1]; ++t) {
      const double* row = x_.row(t);
      for (std::size_t d = 0; d < sum.size(); ++d) sum[d] += row[d];
    }
    Index best = s.bounds[i];
    double most = -std::numeric_limits<double>::infinity();
    for (Index t = s.bounds[i]; t < s.bounds[i + 1]; ++t) {
      const double along = x_.dot(x_.row(t), sum.data());
      if (along > most) {
        most = along;
        best = t;
      }
    }
    return best;
  }

  const Frames& x_;
  const Index* p_;
  std::size_t n_;
};

void check(Index length, Index width, const Index* points, std::size_t count) {
  if (length < 1 || width < 1) refuse("features must have at least one frame and one dimension");
  if (count < 1) refuse("at least one point is needed");
  for (std::size_t i = 0; i < count; ++i) {
    if (points[i] < 0 || points[i] >= length) {
      refuse("point " + std::to_string(points[i]) + " is outside 0.." + std::to_string(length - 1));
    }
    if (i > 0 && points[i] <= points[i - 1]) {
      refuse("points must rise strictly, got " + std::to_string(points[i - 1]) + " then " + std::to_string(points[i]));
    }
  }
}

// Clusters may be the caller's own: each must hold its point and its medoid.
void check(Index length, const Index* points, const Clusters& c) {
  const std::size_t n = c.medoids.size();
  if (c.bounds.size() != n + 1 || c.bounds[0] != 0 || c.bounds[n] != length) {
    refuse("bounds must run from 0 to " + std::to_string(length) + " in " + std::to_string(n) + " clusters");
  }
  for (std::size_t i = 0; i < n; ++i) {
    for (Index t : {points[i], c.medoids[i]}) {
      if (t < c.bounds[i] || t >= c.bounds[i + 1]) {
        refuse("frame " + std::to_string(t) + " is outside of its cluster [" + std::to_string(c.bounds[i]) + ", " +
               std::to_string(c.bounds[i + 1]) + ")");
      }
    }
  }
}

// How many values of a profile, counted from the point, are the action.
std::size_t inner_size(const std::vector<double>& v, double kappa, double floor) {
  const std::size_t n = v.size();
  if (n < 2) return n;
  double total = 0.0;
  double squares = 0.0;
  for (double d : v) {
    total += d;
    squares += d * d;
  }
  // Least within-group squares = most between-group: sum^2 / n of each group.
  std::size_t best = n;
  double most = -1.0;
  double inside = 0.0;
  for (std::size_t k = 1; k < n; ++k) {
    inside += v[k - 1];
    const double outside = total - inside;
    const double between = inside * inside / static_cast<double>(k) + outside * outside / static_cast<double>(n - k);
    if (between > most) {
      most = between;
      best = k;
    }
  }
  double head = 0.0;
  for (std::size_t i = 0; i < best; ++i) head += v[i];
  const double count = static_cast<double>(n);
  const double deviation = std::sqrt(std::max(squares / count - (total / count) * (total / count), 0.0));
  const double gap = (total - head) / static_cast<double>(n - best) - head / static_cast<double>(best);
  return gap > kappa * deviation + floor ? best : n;
}

}  // namespace

Clusters constrained_kmedoids(const float* features, Index length, Index width, const Index* points, std::size_t count,
                              std::size_t max_sweeps) {
  check(length, width, points, count);
  const Frames x(features, length, width);
  const Sweeper sweeper(x, points, count);
  State state = sweeper.initial(length);
  Clusters out;
  out.cost.push_back(sweeper.cost(state));
  for (std::size_t sweep = 0; sweep < max_sweeps; ++sweep) {
    // A single cluster has no border: all that is left is its medoid.
    const State there = count == 1 ? sweeper.average(state, state) : sweeper.forward(state);
    const State back = sweeper.backward(state);
    const State between = sweeper.average(there, back);
    const State* best = &state;
    double least = out.cost.back();
    for (const State* candidate : {&there, &back, &between}) {
      const double cost = sweeper.cost(*candidate);
      if (cost < least) {
        least = cost;
        best = candidate;
      }
    }
    if (best == &state) break;
    state = *best;
    out.cost.push_back(least);
  }
  out.bounds = state.bounds;
  out.medoids = state.medoids;
  return out;
}

Actions mine_actions(const float* features, Index length, Index width, const Index* points, const Clusters& c,
                     double kappa, double floor, const float* anchors) {
  const std::size_t n = c.medoids.size();
  check(length, width, points, n);
  check(length, points, c);
  if (!std::isfinite(kappa) || !std::isfinite(floor)) refuse("kappa and floor must be finite");
  const Frames x(features, length, width);
  const Frames given(anchors, anchors == nullptr ? 0 : static_cast<Index>(n), width, "anchors");
  const auto distance = [&](Index t, std::size_t i) {
    return 1.0 - x.dot(x.row(t), anchors == nullptr ? x.row(c.medoids[i]) : given.row(static_cast<Index>(i)));
  };
  Actions out;
  std::vector<double> profile;
  for (std::size_t i = 0; i < n; ++i) {
    const Index sure = anchors == nullptr ? c.medoids[i] : points[i];
    const Index first = std::min(points[i], sure);
    const Index last = std::max(points[i], sure);
    profile.clear();
    for (Index t = last; t < c.bounds[i + 1]; ++t) profile.push_back(distance(t, i));
    out.end.push_back(last + static_cast<Index>(inner_size(profile, kappa, floor)));
    profile.clear();
    for (Index t = first; t >= c.bounds[i]; --t) profile.push_back(distance(t, i));
    out.start.push_back(first + 1 - static_cast<Index>(inner_size(profile, kappa, floor)));
  }
  for (std::size_t i = 0; i + 1 < n; ++i) {
    if (out.end[i] < out.start[i + 1] || points[i + 1] - points[i] < 2) continue;
    // They touch: the border frame that is further from its own medoid or anchor goes, never a point.
    const bool left_can = out.end[i] - 1 > points[i];
    const bool right_can = out.start[i + 1] < points[i + 1];
    const double left = distance(out.end[i] - 1, i);
    const double right = distance(out.start[i + 1], i + 1);
    if (left_can && (!right_can || left >= right)) {
      --out.end[i];
    } else {
      ++out.start[i + 1];
    }
  }
  return out;
}

}  // namespace tal
