#include "tal/picture.hpp"

#include <algorithm>
#include <string>
#include <vector>

#include "columns.hpp"
#include "simd.hpp"

namespace tal {
namespace {

using detail::refuse;

constexpr std::size_t kRows = 8;   // of the picture, made at a time

// Which samples each of some pixels covers, and by what share of the pixel.
struct Taps {
  std::vector<std::size_t> first;
  std::vector<std::size_t> begin;  // [pixels + 1], in `share`
  std::vector<float> share;

  // stored: the side in units of `unit` samples of luma; a pixel is stored / scaled of them wide.
  Taps(std::size_t stored, std::size_t scaled, std::size_t from, std::size_t count, std::size_t unit) : begin(1, 0) {
    const double step = static_cast<double>(stored) / static_cast<double>(scaled) / static_cast<double>(unit);
    const double end = static_cast<double>(stored) / static_cast<double>(unit);
    const std::size_t samples = (stored + unit - 1) / unit;
    for (std::size_t i = from; i < from + count; ++i) {
      const double left = std::min(static_cast<double>(i) * step, end);
      const double right = std::min(static_cast<double>(i + 1) * step, end);
      std::size_t k = std::min(static_cast<std::size_t>(left), samples - 1);
      first.push_back(k);
      do {
        const double covered = std::min(right, static_cast<double>(k + 1)) - std::max(left, static_cast<double>(k));
        share.push_back(static_cast<float>(std::max(covered, 0.0) / (right - left)));
        ++k;
      } while (k < samples && right - static_cast<double>(k) > 1e-6 * step);
      begin.push_back(share.size());
    }
  }

  std::size_t last() const { return first.back() + (begin.back() - begin[begin.size() - 2]); }
};

// sum[i] = shares[0] * row0[i] + shares[1] * row1[i] + ...
TAL_CLONES void sum_rows(const std::uint8_t* __restrict row, std::ptrdiff_t line, const float* shares, std::size_t rows,
                         std::size_t n, float* __restrict sum) {
  for (std::size_t i = 0; i < n; ++i) sum[i] = shares[0] * static_cast<float>(row[i]);
  for (std::size_t r = 1; r < rows; ++r) {
    row += line;
    const float share = shares[r];
    for (std::size_t i = 0; i < n; ++i) sum[i] += share * static_cast<float>(row[i]);
  }
}

// rows [kRows, n] to columns [n, kRows], so that each of the next sums is one of vectors.
TAL_CLONES void turn(const float* rows, std::size_t n, float* columns) {
  for (std::size_t i = 0; i < n; ++i) {
    for (std::size_t r = 0; r < kRows; ++r) columns[i * kRows + r] = rows[r * n + i];
  }
}

// out[x] [kRows]: the mean of what pixel x covers of columns [n, kRows], by which every `step`-th one is the plane's.
TAL_CLONES void sum_columns(const float* columns, const Taps& across, std::size_t step, float* out) {
  const std::size_t from = across.first.front();
  for (std::size_t x = 0; x < across.first.size(); ++x) {
    const float* sample = columns + (across.first[x] - from) * step * kRows;
    float sum[kRows] = {};
    for (std::size_t k = across.begin[x]; k < across.begin[x + 1]; ++k, sample += step * kRows) {
      for (std::size_t r = 0; r < kRows; ++r) sum[r] += across.share[k] * sample[r];
    }
    for (std::size_t r = 0; r < kRows; ++r) out[x * kRows + r] = sum[r];
  }
}

// One plane's samples of the picture, kRows rows at a time.
class Scaled {
 public:
  Scaled(const Plane& plane, const Taps& down, const Taps& across)
      : plane_(plane), down_(down), across_(across), width_((across.last() - across.first.front()) * plane.step),
        rows_(kRows * width_), columns_(kRows * width_), out(kRows * across.first.size()) {}

  void make(std::size_t top, std::size_t count) {
    const std::size_t from = across_.first.front() * plane_.step;
    // The last sample of a row may be the last byte that there is.
    const std::size_t bytes = width_ - (plane_.step - 1);
    for (std::size_t r = 0; r < count; ++r) {
      const std::uint8_t* first = plane_.data + static_cast<std::ptrdiff_t>(down_.first[top + r]) * plane_.line + from;
      const std::size_t begin = down_.begin[top + r];
      sum_rows(first, plane_.line, down_.share.data() + begin, down_.begin[top + r + 1] - begin, bytes,
               rows_.data() + r * width_);
    }
    turn(rows_.data(), width_, columns_.data());
    sum_columns(columns_.data(), across_, plane_.step, out.data());
  }

 private:
  const Plane& plane_;
  const Taps& down_;
  const Taps& across_;
  std::size_t width_;  // bytes of a row that are read
  std::vector<float> rows_, columns_;

 public:
  std::vector<float> out;  // [columns, kRows]
};

inline std::int32_t code(float value) {
  const float above = value > 0.0F ? value : 0.0F;
  const float cut = above < 255.0F ? above : 255.0F;
  return static_cast<std::int32_t>(cut + 0.5F);
}

// y, u, v [n, kRows] to pixels [n, kRows], 0xBBGGRR.
TAL_CLONES void convert(const float* __restrict y, const float* __restrict u, const float* __restrict v,
                        const Colours& colours, std::size_t n, std::int32_t* __restrict out) {
  const Colours c = colours;
  for (std::size_t i = 0; i < n * kRows; ++i) {
    const float bright = c.luma * (y[i] - c.black);
    const float blue = u[i] - 128.0F, red = v[i] - 128.0F;
    out[i] = code(bright + c.rv * red) | code(bright + (c.gu * blue + c.gv * red)) << 8 | code(bright + c.bu * blue) << 16;
  }
}

// Pixels [n, kRows] to rows of three bytes a pixel.
void lay_down(const std::int32_t* pixels, std::size_t n, std::size_t rows, std::uint8_t* out) {
  for (std::size_t r = 0; r < rows; ++r, out += 3 * n) {
    for (std::size_t i = 0; i < n; ++i) {
      const auto pixel = static_cast<std::uint32_t>(pixels[i * kRows + r]);
      out[3 * i] = static_cast<std::uint8_t>(pixel);
      out[3 * i + 1] = static_cast<std::uint8_t>(pixel >> 8);
      out[3 * i + 2] = static_cast<std::uint8_t>(pixel >> 16);
    }
  }
}

}  // namespace

void check(const StoredFrame& f, const ScaledCrop& c) {
  if (f.height == 0 || f.width == 0 || c.rows == 0 || c.columns == 0) refuse("a picture has a side of 0");
  const bool inside = c.top <= c.height && c.rows <= c.height - c.top && c.left <= c.width && c.columns <= c.width - c.left;
  if (!inside) {
    refuse("the crop ends at row " + std::to_string(c.top + c.rows) + " and column " + std::to_string(c.left + c.columns) +
           " of a picture of " + std::to_string(c.height) + " x " + std::to_string(c.width));
  }
}

void scaled_picture(const StoredFrame& frame, const Colours& colours, const ScaledCrop& crop, std::uint8_t* out) {
  check(frame, crop);
  const Taps down(frame.height, crop.height, crop.top, crop.rows, 1);
  const Taps across(frame.width, crop.width, crop.left, crop.columns, 1);
  const Taps chroma_down(frame.height, crop.height, crop.top, crop.rows, 2);
  const Taps chroma_across(frame.width, crop.width, crop.left, crop.columns, 2);
  Scaled luma(frame.y, down, across), blue(frame.u, chroma_down, chroma_across), red(frame.v, chroma_down, chroma_across);
  const std::size_t n = crop.columns;
  std::vector<std::int32_t> pixels(n * kRows);
  for (std::size_t top = 0; top < crop.rows; top += kRows) {
    const std::size_t count = std::min(kRows, crop.rows - top);
    for (Scaled* plane : {&luma, &blue, &red}) plane->make(top, count);
    convert(luma.out.data(), blue.out.data(), red.out.data(), colours, n, pixels.data());
    lay_down(pixels.data(), n, count, out + 3 * top * n);
  }
}

}  // namespace tal
