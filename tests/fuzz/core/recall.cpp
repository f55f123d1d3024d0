#include "labelled.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  fuzz::Bytes in(data, size);
  tal_recall_options o = tal_recall_options_default();
  const std::vector<double> thresholds = in.reals(in.up_to(5));
  o.thresholds = thresholds.data();
  o.threshold_count = thresholds.size();
  if (in.coin()) o.max_average = in.real();
  o.steps = in.many();
  const std::size_t videos = in.many();
  const int threads = in.threads();
  const fuzz::Labelled truth(in, 40), found(in, 255);
  const tal_truth t = truth.truth();
  const tal_predictions p = found.predictions();
  tal_recall_curve curve;
  if (fuzz::fine(tal_average_recall(&t, &p, videos, &o, threads, &curve))) {
    MUST(curve.thresholds == thresholds.size() && curve.steps == o.steps);
    for (std::size_t k = 0; k < curve.thresholds; ++k) {
      const double* row = curve.recall + k * curve.steps;
      for (std::size_t j = 0; j < curve.steps; ++j) {
        MUST(row[j] >= 0.0 && row[j] <= 1.0 && (j == 0 || row[j] >= row[j - 1]));
      }
    }
    for (std::size_t j = 0; j < curve.steps; ++j) {
      MUST(curve.proposals_per_video[j] >= 0.0 && (j == 0 || curve.proposals_per_video[j] >= curve.proposals_per_video[j - 1]));
      MUST(std::isfinite(curve.proposals_per_video[j]));
    }
  }
  tal_release(curve.owner);
  return 0;
}
