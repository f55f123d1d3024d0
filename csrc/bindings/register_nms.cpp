#include "arrays.hpp"
#include "tal/nms.hpp"

namespace tal::python {
namespace {

// Columns of doubles that need not be side by side.
using Strided = py::array_t<double, py::array::forcecast>;

// Lets the batch see start and end where they lie, if as the columns of a matrix or side by side; else copies of them.
struct Times {
  Array<double> start, end;

  void show(const Strided& a, const Strided& b, std::size_t n, tal::IntervalBatch& in) {
    for (const auto& [column, name] : {std::pair(&a, "start"), std::pair(&b, "end")}) {
      if (column->ndim() == 1 && static_cast<std::size_t>(column->shape(0)) == n) continue;
      throw std::invalid_argument(std::string(name) + " must have shape [" + std::to_string(n) + "], got " +
                                  std::string(py::str(column->attr("shape"))));
    }
    constexpr auto size = static_cast<py::ssize_t>(sizeof(double));
    const auto aligned = [](const Strided& x) { return reinterpret_cast<std::uintptr_t>(x.data()) % alignof(double) == 0; };
    if (n > 1 && a.strides(0) == b.strides(0) && a.strides(0) > 0 && a.strides(0) % size == 0 && aligned(a) && aligned(b)) {
      in.start = a.data();
      in.end = b.data();
      in.stride = static_cast<std::size_t>(a.strides(0) / size);
      return;
    }
    start = py::cast<Array<double>>(a);
    end = py::cast<Array<double>>(b);
    in.start = start.data();
    in.end = end.data();
  }
};

py::tuple suppress(const Strided& start, const Strided& end, const Array<double>& score,
                   const Array<std::int32_t>& label, const Array<std::int64_t>& offsets,
                   const tal::NmsOptions& options, int threads) {
  const auto n = static_cast<std::size_t>(start.size());
  check_offsets(offsets, n);
  tal::IntervalBatch in;
  Times times;
  times.show(start, end, n, in);
  in.score = vector_data(score, n, "score");
  in.label = vector_data(label, n, "label");
  in.offsets = offsets.data();
  in.videos = static_cast<std::size_t>(offsets.shape(0)) - 1;
  tal::Kept kept;
  {
    const py::gil_scoped_release unlocked;  // the arrays stay alive in the caller's frame
    kept = tal::suppress(in, options, threads);
  }
  return py::make_tuple(to_array(std::move(kept.index)), to_array(std::move(kept.score)),
                        to_array(std::move(kept.offsets)));
}

}  // namespace

void register_nms(py::module_& m) {
  using tal::NmsKind;
  using tal::NmsOptions;
  py::enum_<NmsKind>(m, "NmsKind")
      .value("hard", NmsKind::hard)
      .value("linear", NmsKind::linear)
      .value("gaussian", NmsKind::gaussian)
      .value("suppressor", NmsKind::suppressor);
  const NmsOptions o;  // what the struct says without arguments is what the constructor says
  py::class_<NmsOptions>(m, "NmsOptions")
      .def(py::init<NmsKind, double, double, double, bool, double, double, std::int64_t, bool>(), py::kw_only(),
           py::arg("kind") = o.kind, py::arg("sigma") = o.sigma, py::arg("threshold") = o.threshold,
           py::arg("threshold_slope") = o.threshold_slope, py::arg("inclusive") = o.inclusive,
           py::arg("length_offset") = o.length_offset, py::arg("min_score") = o.min_score, py::arg("top_k") = o.top_k,
           py::arg("class_agnostic") = o.class_agnostic)
      .def_readonly("kind", &NmsOptions::kind)
      .def_readonly("sigma", &NmsOptions::sigma)
      .def_readonly("threshold", &NmsOptions::threshold)
      .def_readonly("threshold_slope", &NmsOptions::threshold_slope)
      .def_readonly("inclusive", &NmsOptions::inclusive)
      .def_readonly("length_offset", &NmsOptions::length_offset)
      .def_readonly("min_score", &NmsOptions::min_score)
      .def_readonly("top_k", &NmsOptions::top_k)
      .def_readonly("class_agnostic", &NmsOptions::class_agnostic);
  m.def("suppress", &suppress, py::arg("start"), py::arg("end"), py::arg("score"), py::arg("label"),
        py::arg("offsets"), py::arg("options"), py::kw_only(), py::arg("threads") = 1,
        "What remains of videos: (index, score, offsets); best first in each video.");
}

}  // namespace tal::python
