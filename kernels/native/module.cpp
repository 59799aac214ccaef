// The compiled back end of fastinv.kernels.
#include <nanobind/nanobind.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include "native/dispatch.hpp"
#include "native/parallel.hpp"

namespace nb = nanobind;

void bind_mmd(nb::module_& m);
void bind_rejection(nb::module_& m);
void bind_coupling(nb::module_& m);

NB_MODULE(_native, m) {
  m.doc() = "Compiled back end of fastinv.kernels.";
  m.def("built_isas", &fastinv::built_isas, "Instruction sets of this build, oldest first.");
  m.def("active_isa", &fastinv::active_isa, "The instruction set in use; FASTINV_ISA forces one.");
  m.def("num_threads", &fastinv::num_threads, "Threads that a call may use.");
  m.def("set_num_threads", &fastinv::set_num_threads, nb::arg("threads"), "Limit the threads of later calls.");
  bind_mmd(m);
  bind_rejection(m);
  bind_coupling(m);
}
