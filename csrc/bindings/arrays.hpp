// NumPy arrays to plain pointers and back. Owns the text of every shape error.
#pragma once

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include <cstddef>
#include <cstdint>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

namespace tal::python {

namespace py = pybind11;

// Contiguous input of the exact type; pybind11 converts where that loses nothing but layout.
template <class T>
using Array = py::array_t<T, py::array::c_style | py::array::forcecast>;

template <class T>
const T* vector_data(const Array<T>& a, std::size_t size, const char* name) {
  if (a.ndim() != 1 || static_cast<std::size_t>(a.shape(0)) != size) {
    throw std::invalid_argument(std::string(name) + " must have shape [" + std::to_string(size) + "], got " +
                                std::string(py::str(a.attr("shape"))));
  }
  return a.data();
}

// An optional column: None gives null.
template <class T>
const T* optional_data(const py::object& value, Array<T>& keep, std::size_t size, const char* name) {
  if (value.is_none()) return nullptr;
  keep = py::cast<Array<T>>(value);
  return vector_data(keep, size, name);
}

// [groups + 1] positions that begin at 0, never fall and end at `total`.
inline void check_offsets(const Array<std::int64_t>& offsets, std::size_t total) {
  if (offsets.ndim() != 1 || offsets.shape(0) < 1) throw std::invalid_argument("offsets must have shape [V + 1]");
  const auto n = static_cast<std::size_t>(offsets.shape(0));
  const std::int64_t* o = offsets.data();
  for (std::size_t i = 0; i + 1 < n; ++i) {
    if (o[i + 1] < o[i]) throw std::invalid_argument("offsets fall at position " + std::to_string(i + 1));
  }
  if (o[0] != 0 || o[n - 1] != static_cast<std::int64_t>(total)) {
    throw std::invalid_argument("offsets must run from 0 to " + std::to_string(total) + ", got " +
                                std::to_string(o[0]) + " to " + std::to_string(o[n - 1]));
  }
}

// Hands a vector's memory to NumPy without a copy.
template <class T, class Allocator>
py::array_t<T> to_array(std::vector<T, Allocator> values) {
  using Values = std::vector<T, Allocator>;
  auto* owned = new Values(std::move(values));
  const py::capsule free(owned, [](void* p) { delete static_cast<Values*>(p); });
  return py::array_t<T>(static_cast<py::ssize_t>(owned->size()), owned->data(), free);
}

}  // namespace tal::python
