// Activations of one video to segments, and how good they are: the C++ face of the core.
#include <cstdint>
#include <cstdio>
#include <exception>
#include <vector>

#include "tal/mean_ap.hpp"
#include "tal/nms.hpp"
#include "tal/proposals.hpp"

namespace {

constexpr std::int64_t kSnippets = 48;

// Two classes: the first is active in snippets 10..19, the second in 28..39, with ripples on top.
std::vector<float> activations() {
  std::vector<float> cas;
  for (int t = 0; t < kSnippets; ++t) {
    const float ripple = static_cast<float>(t * 7 % 5) / 16.0F;
    cas.push_back(ripple + (t >= 10 && t < 20 ? 3.0F : 0.0F));
    cas.push_back(ripple + (t >= 28 && t < 40 ? 2.5F : 0.0F));
  }
  return cas;
}

void run() {
  const std::vector<float> cas = activations();
  const std::vector<std::int64_t> offsets = {0, kSnippets};
  tal::ProposalOptions options;
  options.background = false;
  options.class_score = tal::ClassScore::sigmoid;
  options.topk_ratio = 8;
  options.sources.resize(1);
  options.sources[0].thresholds = {0.1, 0.3, 0.5, 0.7, 0.9};
  const tal::ProposalColumns found = tal::propose({cas.data(), nullptr, offsets.data(), 1, 2}, options);

  tal::NmsOptions nms;
  nms.sigma = 0.3;
  nms.threshold = 0.1;
  const tal::Kept kept =
      tal::suppress({found.start.data(), found.end.data(), found.score.data(), found.label.data(), found.offsets.data(), 1}, nms);

  const std::size_t n = kept.index.size();
  std::vector<double> start, end;
  std::vector<std::int32_t> label;
  for (const std::int64_t i : kept.index) {
    const auto row = static_cast<std::size_t>(i);
    start.push_back(found.start[row]);
    end.push_back(found.end[row]);
    label.push_back(found.label[row]);
  }
  for (std::size_t i = 0; i < n; ++i) {
    std::printf("segment %.17g %.17g %d %.17g\n", start[i], end[i], static_cast<int>(label[i]), kept.score[i]);
  }

  const std::vector<std::int32_t> video(n + 2, 0);
  const std::vector<std::int32_t> true_label = {0, 1};
  const std::vector<double> true_start = {9.0, 27.0}, true_end = {20.0, 41.0};
  tal::ApOptions ap;
  ap.thresholds = {0.5, 0.95};
  const std::vector<double> table = tal::average_precision(
      {video.data(), true_label.data(), true_start.data(), true_end.data(), 2},
      {video.data(), label.data(), start.data(), end.data(), kept.score.data(), nullptr, nullptr, n}, 2, 1, ap);
  for (const double value : table) std::printf("ap %.17g\n", value);
}

}  // namespace

int main() {
  try {
    run();
  } catch (const std::exception& e) {
    std::fprintf(stderr, "%s\n", e.what());
    return 1;
  }
  return 0;
}
