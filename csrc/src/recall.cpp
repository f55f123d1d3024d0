#include "tal/recall.hpp"

#include <algorithm>
#include <cmath>
#include <string>

#include "columns.hpp"
#include "tal/nms.hpp"
#include "tal/parallel.hpp"

namespace tal {
namespace {

using detail::refuse;
using detail::Rows;

// Rows of each video.
using ByVideo = detail::ByLabel;

// For each true instance and threshold: how many of the best proposals it takes to find it.
// found[g * thresholds + k] is a 0-based rank, or `kept` if none of them does.
std::vector<std::size_t> first_ranks(const TruthColumns& truth, Rows instances,
                                     const PredictionColumns& p, Rows ranked,
                                     std::size_t kept, const std::vector<double>& thresholds) {
  std::vector<std::size_t> found(instances.size() * thresholds.size(), kept);
  for (std::size_t g = 0; g < instances.size(); ++g) {
    const double start = truth.start[instances[g]];
    const double end = truth.end[instances[g]];
    double best = -1.0;
    std::size_t* ranks = found.data() + g * thresholds.size();
    for (std::size_t i = 0; i < kept; ++i) {
      const double overlap = tiou(p.start[ranked[i]], p.end[ranked[i]], start, end);
      if (overlap <= best) continue;
      best = overlap;
      for (std::size_t k = 0; k < thresholds.size(); ++k) {
        if (ranks[k] == kept && overlap >= thresholds[k]) ranks[k] = i;
      }
    }
  }
  return found;
}

void sort_ranked(const PredictionColumns& p, Rows rows) {
  if (p.rank != nullptr) {
    std::sort(rows.begin(), rows.end(), [&](auto a, auto b) { return p.rank[a] < p.rank[b]; });
    return;
  }
  detail::sort_rows(rows, p.score, [&](std::uint32_t a, std::uint32_t b) {
    if (p.start[a] != p.start[b]) return p.start[a] < p.start[b];
    if (p.end[a] != p.end[b]) return p.end[a] < p.end[b];
    return a < b;
  });
}

// A ratio may be infinite; no times infinity is NaN, which is not below count.
std::size_t share(double count, double ratio) {
  const double part = count * ratio;
  return static_cast<std::size_t>(part < count ? part : count);
}

}  // namespace

RecallCurve average_recall(const TruthColumns& truth, const PredictionColumns& proposals, std::size_t videos,
                           const RecallOptions& o, int threads) {
  for (double t : o.thresholds) {
    if (!std::isfinite(t)) refuse("a threshold is not finite");
  }
  if (!(o.max_average >= 0.0) || !std::isfinite(o.max_average)) {
    refuse("max_average is " + std::to_string(o.max_average) + ", must be finite and >= 0");
  }
  if (o.steps < 1) refuse("steps is 0, must be at least 1");
  const std::size_t any_class = std::numeric_limits<std::int32_t>::max();
  detail::check_rows(truth, any_class, videos, "truth", threads);
  detail::check_rows(proposals, any_class, videos, "prediction", threads);
  detail::check_scores(proposals.score, proposals.size, threads);

  ByVideo instances(truth.video, truth.size, videos, threads);
  ByVideo ranked(proposals.video, proposals.size, videos, threads);
  double with_truth = 0.0;
  for (std::size_t v = 0; v < videos; ++v) with_truth += instances.size(v) == 0 ? 0.0 : 1.0;

  RecallCurve curve;
  curve.recall.assign(o.thresholds.size() * o.steps, 0.0);
  curve.proposals_per_video.assign(o.steps, 0.0);
  if (with_truth == 0.0 || proposals.size == 0) return curve;

  const double all = static_cast<double>(proposals.size);
  const double wanted = o.max_average > 0.0 ? o.max_average : all / with_truth;
  const double ratio = wanted * with_truth / all;
  std::vector<std::size_t> kept(videos, 0);
  double total = 0.0;
  for (std::size_t v = 0; v < videos; ++v) {
    if (instances.size(v) == 0) continue;
    kept[v] = share(static_cast<double>(ranked.size(v)), ratio);
    total += static_cast<double>(kept[v]);
  }
  if (total == 0.0) return curve;
  std::vector<double> portion(o.steps);
  for (std::size_t j = 0; j < o.steps; ++j) {
    portion[j] = static_cast<double>(j + 1) / static_cast<double>(o.steps) * (wanted * with_truth / total);
    curve.proposals_per_video[j] = portion[j] * (total / with_truth);
  }

  // found[part][k * steps + j]: instances of a part's videos that portion j is the first to find at threshold k.
  const std::size_t parts = std::min(videos, 8 * team_of(videos, threads));
  std::vector<std::vector<std::size_t>> found(parts);
  for_each_part(videos, parts, threads, [&](std::size_t p, std::size_t first_video, std::size_t last_video) {
    std::vector<std::size_t> taken(o.steps);
    found[p].assign(o.thresholds.size() * o.steps, 0);
    for (std::size_t v = first_video; v < last_video; ++v) {
      if (instances.size(v) == 0 || kept[v] == 0) continue;
      sort_ranked(proposals, ranked[v]);
      const auto ranks = first_ranks(truth, instances[v], proposals, ranked[v], kept[v], o.thresholds);
      for (std::size_t j = 0; j < o.steps; ++j) taken[j] = share(static_cast<double>(kept[v]), portion[j]);
      for (std::size_t i = 0; i < ranks.size(); ++i) {
        if (ranks[i] == kept[v]) continue;
        const auto first = std::upper_bound(taken.begin(), taken.end(), ranks[i]) - taken.begin();
        if (first < static_cast<std::ptrdiff_t>(o.steps)) {
          ++found[p][(i % o.thresholds.size()) * o.steps + static_cast<std::size_t>(first)];
        }
      }
    }
  });
  for (const auto& counts : found) {
    for (std::size_t i = 0; i < counts.size(); ++i) curve.recall[i] += static_cast<double>(counts[i]);
  }
  for (std::size_t k = 0; k < o.thresholds.size(); ++k) {
    double* row = curve.recall.data() + k * o.steps;
    for (std::size_t j = 1; j < o.steps; ++j) row[j] += row[j - 1];
    for (std::size_t j = 0; j < o.steps; ++j) row[j] /= static_cast<double>(truth.size);
  }
  return curve;
}

}  // namespace tal
