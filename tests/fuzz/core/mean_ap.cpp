#include "labelled.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  fuzz::Bytes in(data, size);
  tal_ap_options o = tal_ap_options_default();
  o.matching = static_cast<std::int32_t>(in.up_to(2));
  o.rule = static_cast<std::int32_t>(in.up_to(3));
  o.inclusive = in.coin();
  o.ties = static_cast<std::int32_t>(in.up_to(3));
  const std::size_t count = in.up_to(70);
  const std::vector<double> thresholds = in.reals(count > 66 ? count : count % 6);
  o.thresholds = thresholds.data();
  o.threshold_count = thresholds.size();
  const std::size_t classes = in.many();
  const std::size_t videos = in.many();
  const int threads = in.threads();
  const fuzz::Labelled truth(in, 40), found(in, 255);
  const tal_truth t = truth.truth();
  const tal_predictions p = found.predictions();
  tal_matrix ap;
  if (fuzz::fine(tal_average_precision(&t, &p, classes, videos, &o, threads, &ap))) {
    MUST(ap.rows == thresholds.size() && ap.columns == classes);
    for (std::size_t c = 0; c < classes; ++c) {
      bool known = false;
      for (const std::int32_t label : truth.label) known = known || static_cast<std::size_t>(label) == c;
      for (std::size_t k = 0; k < ap.rows; ++k) {
        const double value = ap.values[k * classes + c];
        MUST(known ? value >= 0.0 && value <= 1.0 + 1e-12 : std::isnan(value));
      }
    }
  }
  tal_release(ap.owner);
  return 0;
}
