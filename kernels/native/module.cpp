// The compiled back end of fastinv.kernels.
#include <nanobind/nanobind.h>

NB_MODULE(_native, m) { m.doc() = "Compiled back end of fastinv.kernels."; }
