#include <pybind11/stl.h>

#include "arrays.hpp"
#include "tal/mean_ap.hpp"

namespace tal::python {
namespace {

py::array_t<double> average_precision(const Array<std::int32_t>& truth_video, const Array<std::int32_t>& truth_label,
                                      const Array<double>& truth_start, const Array<double>& truth_end,
                                      const Array<std::int32_t>& video, const Array<std::int32_t>& label,
                                      const Array<double>& start, const Array<double>& end, const Array<double>& score,
                                      const py::object& rank, const py::object& ignorable, std::size_t classes,
                                      std::size_t videos, const tal::ApOptions& options, int threads) {
  const auto g = static_cast<std::size_t>(truth_video.size());
  const auto n = static_cast<std::size_t>(video.size());
  tal::TruthColumns truth;
  truth.video = vector_data(truth_video, g, "truth_video");
  truth.label = vector_data(truth_label, g, "truth_label");
  truth.start = vector_data(truth_start, g, "truth_start");
  truth.end = vector_data(truth_end, g, "truth_end");
  truth.size = g;
  Array<std::int64_t> keep_rank;
  Array<std::uint8_t> keep_ignorable;
  tal::PredictionColumns p;
  p.video = vector_data(video, n, "video");
  p.label = vector_data(label, n, "label");
  p.start = vector_data(start, n, "start");
  p.end = vector_data(end, n, "end");
  p.score = vector_data(score, n, "score");
  p.rank = optional_data(rank, keep_rank, n, "rank");
  p.ignorable = optional_data(ignorable, keep_ignorable, n, "ignorable");
  p.size = n;
  std::vector<double> ap;
  {
    const py::gil_scoped_release unlocked;  // the arrays stay alive in the caller's frame
    ap = tal::average_precision(truth, p, classes, videos, options, threads);
  }
  return to_array(std::move(ap))
      .reshape({static_cast<py::ssize_t>(options.thresholds.size()), static_cast<py::ssize_t>(classes)});
}

}  // namespace

void register_mean_ap(py::module_& m) {
  py::enum_<tal::Matching>(m, "Matching")
      .value("best_free", tal::Matching::best_free)
      .value("truth_first", tal::Matching::truth_first);
  py::enum_<tal::ApRule>(m, "ApRule")
      .value("interpolated", tal::ApRule::interpolated)
      .value("plain", tal::ApRule::plain)
      .value("eleven_point", tal::ApRule::eleven_point);
  py::enum_<tal::Ties>(m, "Ties")
      .value("ranked", tal::Ties::ranked)
      .value("true_first", tal::Ties::true_first)
      .value("true_last", tal::Ties::true_last);
  const tal::ApOptions o;
  py::class_<tal::ApOptions>(m, "ApOptions")
      .def(py::init<std::vector<double>, tal::Matching, tal::ApRule, bool, tal::Ties>(), py::kw_only(),
           py::arg("thresholds"), py::arg("matching") = o.matching, py::arg("rule") = o.rule,
           py::arg("inclusive") = o.inclusive, py::arg("ties") = o.ties)
      .def_readonly("thresholds", &tal::ApOptions::thresholds)
      .def_readonly("matching", &tal::ApOptions::matching)
      .def_readonly("rule", &tal::ApOptions::rule)
      .def_readonly("inclusive", &tal::ApOptions::inclusive)
      .def_readonly("ties", &tal::ApOptions::ties);
  m.def("average_precision", &average_precision, py::kw_only(), py::arg("truth_video"), py::arg("truth_label"),
        py::arg("truth_start"), py::arg("truth_end"), py::arg("video"), py::arg("label"), py::arg("start"),
        py::arg("end"), py::arg("score"), py::arg("rank") = py::none(), py::arg("ignorable") = py::none(),
        py::arg("classes"), py::arg("videos"), py::arg("options"), py::arg("threads") = 1,
        "Average precision [thresholds, classes]; NaN for a class without truth.");
}

}  // namespace tal::python
