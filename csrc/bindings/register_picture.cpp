#include <pybind11/stl.h>

#include <array>

#include "arrays.hpp"
#include "tal/picture.hpp"

namespace tal::python {
namespace {

// A plane of `rows` rows of `bytes` bytes that are read, in memory that the caller keeps.
tal::Plane plane_of(const py::buffer_info& memory, std::ptrdiff_t line, std::size_t step, std::size_t rows,
                    std::size_t bytes, const char* name) {
  const std::ptrdiff_t held = memory.size * memory.itemsize;
  const auto needed = line * (static_cast<std::ptrdiff_t>(rows) - 1) + static_cast<std::ptrdiff_t>(bytes);
  if (line < static_cast<std::ptrdiff_t>(bytes) || held < needed) {
    throw std::invalid_argument(std::string(name) + " has " + std::to_string(held) + " bytes in lines of " +
                                std::to_string(line) + ", must have " + std::to_string(needed) + " in lines of " +
                                std::to_string(bytes) + " or more");
  }
  return {static_cast<const std::uint8_t*>(memory.ptr), line, step};
}

py::array_t<std::uint8_t> scaled_picture(const std::vector<py::buffer>& planes, const std::vector<std::ptrdiff_t>& lines,
                                         std::array<std::size_t, 2> stored, std::array<std::size_t, 2> scaled,
                                         std::array<std::size_t, 4> crop, std::array<float, 6> colours) {
  const std::size_t count = planes.size();
  if ((count != 2 && count != 3) || lines.size() != count) {
    throw std::invalid_argument("planes must be 3, or 2 where U and V take turns, with as many lines");
  }
  for (std::size_t side : stored) {
    if (side == 0 || side > (1U << 20)) throw std::invalid_argument("stored sides must be in 1..2^20");
  }
  const std::size_t step = count == 2 ? 2 : 1, rows = (stored[0] + 1) / 2, columns = (stored[1] + 1) / 2;
  std::vector<py::buffer_info> memory;
  for (const py::buffer& plane : planes) memory.push_back(plane.request());
  tal::StoredFrame frame;
  frame.height = stored[0];
  frame.width = stored[1];
  frame.y = plane_of(memory[0], lines[0], 1, stored[0], stored[1], "Y");
  frame.u = plane_of(memory[1], lines[1], step, rows, columns * step, "U");
  frame.v = count == 3 ? plane_of(memory[2], lines[2], 1, rows, columns, "V") : frame.u;
  if (count == 2) ++frame.v.data;
  const tal::Colours weights{colours[0], colours[1], colours[2], colours[3], colours[4], colours[5]};
  const tal::ScaledCrop part{scaled[0], scaled[1], crop[0], crop[1], crop[2], crop[3]};
  tal::check(frame, part);
  py::array_t<std::uint8_t> out({static_cast<py::ssize_t>(crop[2]), static_cast<py::ssize_t>(crop[3]), py::ssize_t{3}});
  std::uint8_t* const pixels = out.mutable_data();
  {
    const py::gil_scoped_release unlocked;  // the planes' memory is held by their views
    tal::scaled_picture(frame, weights, part, pixels);
  }
  return out;
}

}  // namespace

void register_picture(py::module_& m) {
  m.def("scaled_picture", &scaled_picture, py::arg("planes"), py::arg("lines"), py::arg("stored"), py::arg("scaled"),
        py::arg("crop"), py::arg("colours"), "A stored 4:2:0 frame to a crop [rows, columns, 3] of its scaled RGB picture.");
}

}  // namespace tal::python
