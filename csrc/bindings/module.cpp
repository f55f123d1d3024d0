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

PYBIND11_MODULE(_core_of_main, m, pybind11::mod_gil_not_used()) {
  m.doc() = "Proposals, suppression, metrics, point clustering and pictures on NumPy arrays.";
  m.attr("__version__") = TAL_VERSION;
  tal::python::register_proposals(m);
  tal::python::register_nms(m);
  tal::python::register_mean_ap(m);
  tal::python::register_recall(m);
  tal::python::register_points(m);
  tal::python::register_picture(m);
}

// What Python calls. pybind11 asks for the GIL in the name of the main interpreter's thread; in a sub-interpreter of
// CPython 3.11 that thread holds it already, and waits for itself. So nothing of pybind11 is reached there.
extern "C" PYBIND11_EXPORT PyObject* PyInit__core();
PyObject* PyInit__core() {  // NOLINT(readability-identifier-naming): the name that Python looks for
  if (PyInterpreterState_Get() != PyInterpreterState_Main()) {
    PyErr_SetString(PyExc_ImportError, "tal_engine._core cannot be imported in a sub-interpreter");
    return nullptr;
  }
  return PyInit__core_of_main();
}
