#include "arrays.hpp"
#include "tal/boundary.hpp"
#include "tal/kmedoids.hpp"

namespace tal::python {
namespace {

py::tuple boundary_pairs(const Array<double>& start, const Array<double>& end, const tal::BoundaryOptions& options) {
  const auto n = static_cast<std::size_t>(start.size());
  const double* s = vector_data(start, n, "start");
  const double* e = vector_data(end, n, "end");
  tal::BoundaryPairs out;
  {
    const py::gil_scoped_release unlocked;  // the arrays stay alive in the caller's frame
    out = tal::boundary_pairs(s, e, static_cast<std::int64_t>(n), options);
  }
  return py::make_tuple(to_array(std::move(out.start)), to_array(std::move(out.end)), to_array(std::move(out.score)));
}

py::array_t<double> sampling_positions(const Array<double>& start, const Array<double>& end, std::size_t points,
                                       double margin) {
  const auto n = static_cast<std::size_t>(start.size());
  return to_array(tal::sampling_positions(vector_data(start, n, "start"), vector_data(end, n, "end"), n, points, margin))
      .reshape({static_cast<py::ssize_t>(n), static_cast<py::ssize_t>(points)});
}

void check_features(const Array<float>& features) {
  if (features.ndim() != 2) {
    throw std::invalid_argument("features must have shape [T, D], got " + std::string(py::str(features.attr("shape"))));
  }
}

py::tuple constrained_kmedoids(const Array<float>& features, const Array<std::int64_t>& points,
                               std::size_t max_sweeps) {
  check_features(features);
  const auto n = static_cast<std::size_t>(points.size());
  const std::int64_t* p = vector_data(points, n, "points");
  const float* x = features.data();
  const auto length = static_cast<std::int64_t>(features.shape(0));
  const auto width = static_cast<std::int64_t>(features.shape(1));
  tal::Clusters out;
  {
    const py::gil_scoped_release unlocked;  // as above
    out = tal::constrained_kmedoids(x, length, width, p, n, max_sweeps);
  }
  return py::make_tuple(to_array(std::move(out.bounds)), to_array(std::move(out.medoids)),
                        to_array(std::move(out.cost)));
}

py::tuple mine_actions(const Array<float>& features, const Array<std::int64_t>& points,
                       const Array<std::int64_t>& bounds, const Array<std::int64_t>& medoids, double kappa,
                       double floor, const py::object& anchors) {
  check_features(features);
  const auto n = static_cast<std::size_t>(points.size());
  const std::int64_t* p = vector_data(points, n, "points");
  const std::int64_t* b = vector_data(bounds, n + 1, "bounds");
  const std::int64_t* m = vector_data(medoids, n, "medoids");
  const tal::Clusters clusters{{b, b + n + 1}, {m, m + n}, {}};
  const float* x = features.data();
  const auto length = static_cast<std::int64_t>(features.shape(0));
  const auto width = static_cast<std::int64_t>(features.shape(1));
  Array<float> kept;
  const float* from = nullptr;
  if (!anchors.is_none()) {
    kept = py::cast<Array<float>>(anchors);
    if (kept.ndim() != 2 || kept.shape(0) != points.size() || kept.shape(1) != features.shape(1)) {
      throw std::invalid_argument("anchors must have shape [" + std::to_string(n) + ", " + std::to_string(width) +
                                  "], got " + std::string(py::str(kept.attr("shape"))));
    }
    from = kept.data();
  }
  tal::Actions out;
  {
    const py::gil_scoped_release unlocked;  // as above
    out = tal::mine_actions(x, length, width, p, clusters, kappa, floor, from);
  }
  return py::make_tuple(to_array(std::move(out.start)), to_array(std::move(out.end)));
}

}  // namespace

void register_points(py::module_& m) {
  using tal::BoundaryOptions;
  const BoundaryOptions o;
  py::class_<BoundaryOptions>(m, "BoundaryOptions")
      .def(py::init<double, std::int64_t, std::int64_t, std::int64_t>(), py::kw_only(),
           py::arg("peak_share") = o.peak_share, py::arg("d_min") = o.d_min, py::arg("d_max") = o.d_max,
           py::arg("top_k") = o.top_k)
      .def_readonly("peak_share", &BoundaryOptions::peak_share)
      .def_readonly("d_min", &BoundaryOptions::d_min)
      .def_readonly("d_max", &BoundaryOptions::d_max)
      .def_readonly("top_k", &BoundaryOptions::top_k);
  m.def("boundary_pairs", &boundary_pairs, py::arg("start"), py::arg("end"), py::arg("options"),
        "Pairs of likely starts and ends of one video: (start, end, score).");
  m.def("sampling_positions", &sampling_positions, py::arg("start"), py::arg("end"), py::kw_only(), py::arg("points"),
        py::arg("margin"), "Evenly spaced positions [N, points] over proposals widened by a margin.");
  m.def("constrained_kmedoids", &constrained_kmedoids, py::arg("features"), py::arg("points"), py::kw_only(),
        py::arg("max_sweeps") = 100, "One contiguous cluster a point: (bounds [N + 1], medoids [N], cost by sweep).");
  m.def("mine_actions", &mine_actions, py::arg("features"), py::arg("points"), py::arg("bounds"), py::arg("medoids"),
        py::kw_only(), py::arg("kappa") = 0.5, py::arg("floor") = 1e-3, py::arg("anchors") = py::none(),
        "The action inside of each cluster: (start [N], end [N]), frames, half open.");
}

}  // namespace tal::python
