// The list of what Python sees; each family registers itself in its own file.
#include <pybind11/pybind11.h>

namespace tal::python {
void register_proposals(pybind11::module_& m);
void register_nms(pybind11::module_& m);
void register_mean_ap(pybind11::module_& m);
void register_recall(pybind11::module_& m);
void register_points(pybind11::module_& m);
void register_picture(pybind11::module_& m);
}  // namespace tal::python

PYBIND11_MODULE(_core, m, pybind11::mod_gil_not_used()) {
  m.doc() = "Proposals, suppression, metrics, point clustering and pictures on NumPy arrays.";
  m.attr("__version__") = TAL_VERSION;
  tal::python::register_proposals(m);
  tal::python::register_nms(m);
  tal::python::register_mean_ap(m);
  tal::python::register_recall(m);
  tal::python::register_points(m);
  tal::python::register_picture(m);
}
