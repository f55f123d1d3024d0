// A stored YUV frame to a small RGB picture, in one pass over what is stored.
#pragma once

#include <cstddef>
#include <cstdint>

namespace tal {

// Samples of 8 bits in rows; non-owning. step: bytes from one sample to the next (2 where U and V take turns).
struct Plane {
  const std::uint8_t* data = nullptr;
  std::ptrdiff_t line = 0;  // bytes from one row to the next
  std::size_t step = 1;
};

// 4:2:0: chroma has half the rows and columns of luma, an odd one rounded up; each of its samples covers two by two.
struct StoredFrame {
  Plane y, u, v;
  std::size_t height = 0;
  std::size_t width = 0;
};

// red = luma (y - black) + rv (v - 128), green = ... + gu (u - 128) + gv (v - 128), blue = ... + bu (u - 128).
struct Colours {
  float black = 16.0F;
  float luma = 0.0F, rv = 0.0F, gu = 0.0F, gv = 0.0F, bu = 0.0F;
};

// The whole picture has `height` x `width` pixels; of it those from (top, left) on are made.
struct ScaledCrop {
  std::size_t height = 0, width = 0;
  std::size_t top = 0, left = 0;
  std::size_t rows = 0, columns = 0;
};

// Throws std::invalid_argument on sizes that are 0, or a crop that is not inside of the picture.
void check(const StoredFrame& frame, const ScaledCrop& crop);

// Writes the picture [rows, columns, 3]. Each sample is the mean of what its pixel covers, a sample that is covered in
// part counting by its share; then colours are converted, rounded and cut to 0..255. As both steps are linear, that is
// what converting first gives, but for its rounding and for colours beyond 0..255.
//
// Throws std::invalid_argument as `check` does.
void scaled_picture(const StoredFrame& frame, const Colours& colours, const ScaledCrop& crop, std::uint8_t* out);

}  // namespace tal
