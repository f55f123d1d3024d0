#include "bytes.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  fuzz::Bytes in(data, size);
  tal_boundary_options o = tal_boundary_options_default();
  if (in.coin()) o.peak_share = in.real();
  if (in.coin()) o.d_min = in.whole();
  if (in.coin()) o.d_max = in.whole();
  if (in.coin()) o.top_k = in.whole();
  const double margin = in.real();
  const std::size_t points = in.many();
  const std::size_t n = in.byte();
  const std::vector<double> start = in.reals(n), end = in.reals(n);
  tal_boundary_pairs found;
  if (fuzz::fine(tal_find_boundary_pairs(start.data(), end.data(), static_cast<std::int64_t>(n), &o, &found))) {
    MUST(o.top_k == 0 || found.size <= static_cast<std::size_t>(o.top_k));
    for (std::size_t i = 0; i < found.size; ++i) {
      const std::int64_t d = found.end[i] - found.start[i];
      MUST(found.start[i] >= 0 && found.end[i] < static_cast<std::int64_t>(n) && d >= o.d_min);
      MUST(o.d_max == 0 || d <= o.d_max);
      MUST(std::isfinite(found.score[i]));
      MUST(o.top_k == 0 || i == 0 || found.score[i] <= found.score[i - 1]);
    }
  }
  tal_release(found.owner);
  tal_matrix positions;
  if (fuzz::fine(tal_sampling_positions(start.data(), end.data(), n, points, margin, &positions))) {
    MUST(positions.rows == n && positions.columns == points);
    for (std::size_t i = 0; n > 0 && i < n * points; ++i) MUST(std::isfinite(positions.values[i]));
  }
  tal_release(positions.owner);
  return 0;
}
