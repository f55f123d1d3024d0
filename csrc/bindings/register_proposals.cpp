#include <pybind11/stl.h>

#include "arrays.hpp"
#include "tal/proposals.hpp"

namespace tal::python {
namespace {

struct Keep {
  Array<float> attention;
  Array<double> video;
};

tal::SequenceBatch view(const Array<float>& cas, const py::object& attention, const Array<std::int64_t>& offsets,
                        Keep& keep) {
  if (cas.ndim() != 2) {
    throw std::invalid_argument("cas must have shape [T, C], got " + std::string(py::str(cas.attr("shape"))));
  }
  const auto total = static_cast<std::size_t>(cas.shape(0));
  check_offsets(offsets, total);
  tal::SequenceBatch b;
  b.cas = cas.data();
  b.columns = cas.shape(1);
  b.offsets = offsets.data();
  b.videos = static_cast<std::size_t>(offsets.shape(0)) - 1;
  if (!attention.is_none()) {
    keep.attention = py::cast<Array<float>>(attention);
    b.attention = vector_data(keep.attention, total, "attention");
  }
  return b;
}

// Class probabilities [V, C] of the videos of a batch.
void look_at_video(const py::object& video, const tal::ProposalOptions& options, tal::SequenceBatch& b, Keep& keep) {
  if (video.is_none()) return;
  keep.video = py::cast<Array<double>>(video);
  const py::ssize_t classes = b.columns - (options.background ? 1 : 0);
  if (keep.video.ndim() != 2 || keep.video.shape(0) != static_cast<py::ssize_t>(b.videos) ||
      keep.video.shape(1) != classes) {
    throw std::invalid_argument("video must have shape [" + std::to_string(b.videos) + ", " + std::to_string(classes) +
                                "], got " + std::string(py::str(keep.video.attr("shape"))));
  }
  b.video = keep.video.data();
}

py::tuple propose(const Array<float>& cas, const py::object& attention, const Array<std::int64_t>& offsets,
                  const tal::ProposalOptions& options, const py::object& video, int threads) {
  Keep keep;
  tal::SequenceBatch batch = view(cas, attention, offsets, keep);
  look_at_video(video, options, batch, keep);
  tal::ProposalColumns out;
  {
    const py::gil_scoped_release unlocked;  // pure arithmetic on memory that the caller's arrays keep alive
    out = tal::propose(batch, options, threads);
  }
  return py::make_tuple(to_array(std::move(out.start)), to_array(std::move(out.end)), to_array(std::move(out.score)),
                        to_array(std::move(out.label)), to_array(std::move(out.offsets)));
}

py::array_t<double> video_scores(const Array<float>& cas, const Array<std::int64_t>& offsets,
                                 const tal::ProposalOptions& options, int threads) {
  Keep keep;
  const tal::SequenceBatch batch = view(cas, py::none(), offsets, keep);
  std::vector<double> p;
  {
    const py::gil_scoped_release unlocked;  // as above
    p = tal::video_scores(batch, options, threads);
  }
  return to_array(std::move(p)).reshape({static_cast<py::ssize_t>(batch.videos), py::ssize_t{-1}});
}

}  // namespace

void register_proposals(py::module_& m) {
  using tal::ProposalOptions;
  using tal::SourceOptions;
  py::enum_<tal::Of>(m, "Of").value("cas", tal::Of::cas).value("attention", tal::Of::attention);
  py::enum_<tal::Scale>(m, "Scale")
      .value("none", tal::Scale::none)
      .value("minmax", tal::Scale::minmax)
      .value("relu_minmax", tal::Scale::relu_minmax);
  py::enum_<tal::Scoring>(m, "Scoring")
      .value("contrast", tal::Scoring::contrast)
      .value("maximum", tal::Scoring::maximum);
  py::enum_<tal::ClassScore>(m, "ClassScore")
      .value("softmax", tal::ClassScore::softmax)
      .value("sigmoid", tal::ClassScore::sigmoid);
  // What the structs say without arguments is what the constructors say; there are no sources without thresholds.
  const SourceOptions s;
  py::class_<SourceOptions>(m, "SourceOptions")
      .def(py::init<tal::Of, std::vector<double>, tal::Scale, tal::Scale, tal::Scoring, double, double>(),
           py::kw_only(), py::arg("of") = s.of, py::arg("thresholds"), py::arg("scale") = s.scale,
           py::arg("score_scale") = s.score_scale, py::arg("scoring") = s.scoring,
           py::arg("outer_ratio") = s.outer_ratio, py::arg("class_weight") = s.class_weight)
      .def_readonly("of", &SourceOptions::of)
      .def_readonly("thresholds", &SourceOptions::thresholds)
      .def_readonly("scale", &SourceOptions::scale)
      .def_readonly("score_scale", &SourceOptions::score_scale)
      .def_readonly("scoring", &SourceOptions::scoring)
      .def_readonly("outer_ratio", &SourceOptions::outer_ratio)
      .def_readonly("class_weight", &SourceOptions::class_weight);
  const ProposalOptions p;
  py::class_<ProposalOptions>(m, "ProposalOptions")
      .def(py::init<std::vector<SourceOptions>, tal::ClassScore, double, bool, std::int64_t, std::int64_t,
                    std::int64_t, bool, bool>(),
           py::kw_only(), py::arg("sources"), py::arg("class_score") = p.class_score,
           py::arg("class_threshold") = p.class_threshold, py::arg("class_fallback") = p.class_fallback,
           py::arg("topk_ratio") = p.topk_ratio, py::arg("min_length") = p.min_length,
           py::arg("upsample") = p.upsample, py::arg("background") = p.background,
           py::arg("compat_any") = p.compat_any)
      .def_readonly("sources", &ProposalOptions::sources)
      .def_readonly("class_score", &ProposalOptions::class_score)
      .def_readonly("class_threshold", &ProposalOptions::class_threshold)
      .def_readonly("class_fallback", &ProposalOptions::class_fallback)
      .def_readonly("topk_ratio", &ProposalOptions::topk_ratio)
      .def_readonly("min_length", &ProposalOptions::min_length)
      .def_readonly("upsample", &ProposalOptions::upsample)
      .def_readonly("background", &ProposalOptions::background)
      .def_readonly("compat_any", &ProposalOptions::compat_any);
  m.def("propose", &propose, py::arg("cas"), py::arg("attention"), py::arg("offsets"), py::arg("options"),
        py::kw_only(), py::arg("video") = py::none(), py::arg("threads") = 1,
        "Proposals of videos: (start, end, score, label, offsets), positions in snippets.\n\n"
        "cas: [T, C] float32 of all videos one after the other; attention: [T] float32 or None;\n"
        "offsets: [V + 1] int64, where each video begins; video: [V, C] class probabilities or None.");
  m.def("video_scores", &video_scores, py::arg("cas"), py::arg("offsets"), py::arg("options"), py::kw_only(),
        py::arg("threads") = 1, "Class probabilities [V, C] of videos.");
}

}  // namespace tal::python
