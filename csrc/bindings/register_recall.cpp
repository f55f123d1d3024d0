#include <pybind11/stl.h>

#include "arrays.hpp"
#include "tal/recall.hpp"

namespace tal::python {
namespace {

py::tuple average_recall(const Array<std::int32_t>& truth_video, const Array<double>& truth_start,
                         const Array<double>& truth_end, const Array<std::int32_t>& video, const Array<double>& start,
                         const Array<double>& end, const Array<double>& score, const py::object& rank,
                         std::size_t videos, const std::vector<double>& thresholds, double max_average,
                         std::size_t steps, int threads) {
  const auto g = static_cast<std::size_t>(truth_video.size());
  const auto n = static_cast<std::size_t>(video.size());
  const std::vector<std::int32_t> no_label(std::max(g, n), 0);
  tal::TruthColumns truth;
  truth.video = vector_data(truth_video, g, "truth_video");
  truth.label = no_label.data();
  truth.start = vector_data(truth_start, g, "truth_start");
  truth.end = vector_data(truth_end, g, "truth_end");
  truth.size = g;
  Array<std::int64_t> keep;
  tal::PredictionColumns p;
  p.video = vector_data(video, n, "video");
  p.label = no_label.data();
  p.start = vector_data(start, n, "start");
  p.end = vector_data(end, n, "end");
  p.score = vector_data(score, n, "score");
  p.rank = optional_data(rank, keep, n, "rank");
  p.size = n;
  tal::RecallCurve curve;
  {
    const py::gil_scoped_release unlocked;  // the arrays stay alive in the caller's frame
    curve = tal::average_recall(truth, p, videos, {thresholds, max_average, steps}, threads);
  }
  return py::make_tuple(to_array(std::move(curve.recall))
                            .reshape({static_cast<py::ssize_t>(thresholds.size()), static_cast<py::ssize_t>(steps)}),
                        to_array(std::move(curve.proposals_per_video)));
}

}  // namespace

void register_recall(py::module_& m) {
  const tal::RecallOptions o;
  m.def("average_recall", &average_recall, py::kw_only(), py::arg("truth_video"), py::arg("truth_start"),
        py::arg("truth_end"), py::arg("video"), py::arg("start"), py::arg("end"), py::arg("score"),
        py::arg("rank") = py::none(), py::arg("videos"), py::arg("thresholds"), py::arg("max_average") = o.max_average,
        py::arg("steps") = o.steps, py::arg("threads") = 1,
        "Recall [thresholds, steps] and the average number of proposals a video [steps].");
}

}  // namespace tal::python
