#include <algorithm>

#include "bytes.hpp"

namespace {

void check_actions(const tal_actions& a, const std::vector<std::int64_t>& points, std::int64_t length) {
  MUST(a.size == points.size());
  for (std::size_t i = 0; i < a.size; ++i) {
    MUST(a.start[i] >= 0 && a.end[i] <= length);
    MUST(a.start[i] <= points[i] && points[i] < a.end[i]);
    MUST(i == 0 || a.end[i - 1] <= a.start[i]);
  }
}

void check_clusters(const tal_clusters& c, const std::vector<std::int64_t>& points, std::int64_t length) {
  MUST(c.count == points.size() && c.bounds[0] == 0 && c.bounds[c.count] == length);
  for (std::size_t i = 0; i < c.count; ++i) {
    MUST(c.bounds[i] <= points[i] && points[i] < c.bounds[i + 1]);
    MUST(c.bounds[i] <= c.medoids[i] && c.medoids[i] < c.bounds[i + 1]);
  }
  for (std::size_t i = 0; i < c.cost_count; ++i) MUST(std::isfinite(c.cost[i]) && (i == 0 || c.cost[i] < c.cost[i - 1]));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  fuzz::Bytes in(data, size);
  const std::size_t length = in.up_to(60), width = in.up_to(4);
  const std::size_t sweeps = in.many();
  std::vector<std::int64_t> points = in.ids<std::int64_t>(in.up_to(6), length);
  if (in.byte() < 220) {
    std::sort(points.begin(), points.end());
    points.erase(std::unique(points.begin(), points.end()), points.end());
  }
  const double kappa = in.real(), floor = in.real();
  const std::vector<std::int64_t> bounds = in.ids<std::int64_t>(points.size() + 1, length);
  const std::vector<std::int64_t> medoids = in.ids<std::int64_t>(points.size(), length);
  const std::vector<float> values = in.singles(length * width);
  const auto frames = static_cast<std::int64_t>(length);
  const tal_features features = {values.data(), frames, static_cast<std::int64_t>(width)};
  tal_clusters clusters;
  tal_actions actions;
  if (fuzz::fine(tal_constrained_kmedoids(&features, points.data(), points.size(), sweeps, &clusters))) {
    check_clusters(clusters, points, frames);
    if (fuzz::fine(tal_mine_actions(&features, points.data(), &clusters, kappa, floor, &actions))) {
      check_actions(actions, points, frames);
    }
    tal_release(actions.owner);
  }
  tal_release(clusters.owner);
  // Clusters that nobody computed.
  const tal_clusters made_up = {nullptr, bounds.data(), medoids.data(), nullptr, points.size(), 0};
  if (fuzz::fine(tal_mine_actions(&features, points.data(), &made_up, kappa, floor, &actions))) {
    check_actions(actions, points, frames);
  }
  tal_release(actions.owner);
  return 0;
}
