#include "bytes.hpp"

namespace {

tal_source_options source(fuzz::Bytes& in, const std::vector<double>& thresholds) {
  tal_source_options s = tal_source_options_default();
  s.of = static_cast<std::int32_t>(in.up_to(1));
  s.scale = static_cast<std::int32_t>(in.up_to(3));
  s.score_scale = static_cast<std::int32_t>(in.up_to(2));
  s.scoring = static_cast<std::int32_t>(in.up_to(1));
  s.thresholds = thresholds.data();
  s.threshold_count = in.up_to(thresholds.size());
  if (in.coin()) s.outer_ratio = in.real();
  if (in.coin()) s.class_weight = in.real();
  return s;
}

tal_proposal_options options(fuzz::Bytes& in) {
  tal_proposal_options o = tal_proposal_options_default();
  o.class_score = in.coin();
  o.class_fallback = in.coin();
  o.background = in.coin();
  o.compat_any = in.coin();
  if (in.coin()) o.class_threshold = in.real();
  if (in.coin()) o.topk_ratio = in.whole();
  if (in.coin()) o.min_length = in.whole();
  if (in.coin()) o.upsample = in.whole();
  return o;
}

void check(const tal_proposals& p, const tal_sequences& in, const tal_proposal_options& o) {
  MUST(p.offsets[0] == 0 && p.offsets[in.videos] == static_cast<std::int64_t>(p.size));
  for (std::size_t v = 0; v < in.videos; ++v) {
    const double length = static_cast<double>(in.offsets[v + 1] - in.offsets[v]);
    MUST(p.offsets[v] <= p.offsets[v + 1]);
    for (std::int64_t i = p.offsets[v]; i < p.offsets[v + 1]; ++i) {
      MUST(p.start[i] >= 0.0 && p.start[i] < p.end[i] && p.end[i] <= length);
      MUST(std::isfinite(p.score[i]));
      MUST(p.label[i] >= 0 && p.label[i] < in.columns - o.background);
    }
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  fuzz::Bytes in(data, size);
  tal_proposal_options o = options(in);
  const std::vector<double> thresholds = in.reals(in.up_to(5));
  std::vector<tal_source_options> sources;
  for (std::size_t i = in.up_to(3); i > 0; --i) sources.push_back(source(in, thresholds));
  o.sources = sources.data();
  o.source_count = sources.size();
  const int threads = in.threads();
  const std::size_t columns = in.up_to(4);
  const std::vector<std::int64_t> offsets = in.offsets(in.up_to(120));
  const auto used = static_cast<std::size_t>(offsets.back());
  const std::vector<float> attention = in.singles(in.coin() ? used : 0);
  const std::vector<float> cas = in.singles(used * columns);
  const tal_sequences batch = {cas.data(), attention.empty() ? nullptr : attention.data(), offsets.data(),
                               offsets.size() - 1, static_cast<std::int64_t>(columns)};
  tal_proposals found;
  if (fuzz::fine(tal_propose(&batch, &o, threads, &found))) check(found, batch, o);
  tal_release(found.owner);
  tal_matrix scores;
  if (fuzz::fine(tal_video_scores(&batch, &o, threads, &scores))) {
    MUST(scores.rows == batch.videos);
    for (std::size_t i = 0; i < scores.rows * scores.columns; ++i) MUST(scores.values[i] >= 0.0 && scores.values[i] <= 1.0);
  }
  tal_release(scores.owner);
  return 0;
}
