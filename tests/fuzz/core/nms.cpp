#include <set>

#include "bytes.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  fuzz::Bytes in(data, size);
  tal_nms_options o = tal_nms_options_default();
  o.kind = static_cast<std::int32_t>(in.up_to(4));
  o.inclusive = in.coin();
  o.class_agnostic = in.coin();
  const double share = static_cast<double>(in.byte()) / 250.0;
  if (in.coin()) o.threshold = share;
  if (in.coin()) o.sigma = in.real();
  if (in.coin() && in.coin()) o.threshold_slope = in.real();
  if (in.coin()) o.length_offset = in.real();
  if (in.coin()) o.min_score = in.real();
  if (in.coin()) o.top_k = in.whole();
  const int threads = in.threads();
  const std::size_t n = in.byte();
  const std::vector<std::int64_t> offsets = in.offsets(n);
  const auto used = static_cast<std::size_t>(offsets.back());
  std::vector<double> start = in.reals(used), end = in.reals(used);
  fuzz::order(start, end, in);
  const std::vector<double> score = in.reals(used);
  const std::vector<std::int32_t> label = in.ids<std::int32_t>(used, 2);
  const std::size_t videos = offsets.size() - 1;
  const tal_intervals batch = {start.data(), end.data(), score.data(), in.coin() ? label.data() : nullptr,
                               offsets.data(), videos};
  tal_kept kept;
  if (fuzz::fine(tal_suppress(&batch, &o, threads, &kept))) {
    MUST(kept.offsets[0] == 0 && kept.offsets[videos] == static_cast<std::int64_t>(kept.size));
    std::set<std::int64_t> seen;
    for (std::size_t v = 0; v < videos; ++v) {
      MUST(o.top_k == 0 || kept.offsets[v + 1] - kept.offsets[v] <= o.top_k);
      for (std::int64_t k = kept.offsets[v]; k < kept.offsets[v + 1]; ++k) {
        const std::int64_t i = kept.index[k];
        MUST(i >= offsets[v] && i < offsets[v + 1]);
        MUST(seen.insert(i).second);
        MUST(std::isfinite(kept.score[k]) && kept.score[k] >= o.min_score);
        MUST(std::fabs(kept.score[k]) <= std::fabs(score[static_cast<std::size_t>(i)]) * (1.0 + 1e-9));
        MUST(k == kept.offsets[v] || kept.score[k] <= kept.score[k - 1]);
      }
    }
  }
  tal_release(kept.owner);
  return 0;
}
