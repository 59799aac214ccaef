#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/pair.h>
#include <nanobind/stl/vector.h>

#include <utility>
#include <vector>

#include "coupling/native/driver.hpp"

namespace nb = nanobind;
namespace coupling = fastinv::coupling;

namespace {

template <int Dim>
using Floats = nb::ndarray<const float, nb::ndim<Dim>, nb::c_contig, nb::device::cpu>;
using Output = nb::ndarray<float, nb::ndim<2>, nb::c_contig, nb::device::cpu>;
using Layers = std::vector<std::pair<Floats<2>, Floats<1>>>;

void check(bool ok, const char* what) {
  if (!ok) throw nb::value_error(what);
}

std::vector<coupling::Dense> dense(const Layers& layers) {
  std::vector<coupling::Dense> found;
  for (const auto& [weights, bias] : layers) {
    check(bias.shape(0) == weights.shape(0), "a layer's bias must have one entry per output");
    found.push_back({weights.data(), bias.data(), weights.shape(1), weights.shape(0)});
  }
  return found;
}

void add(coupling::PackedFlow& flow, const Layers& net_a, const Layers& net_b, const Floats<2>& mixing) {
  check(mixing.shape(0) == flow.dim() && mixing.shape(1) == flow.dim(), "mixing must have shape (dim, dim)");
  flow.add(dense(net_a), dense(net_b), mixing.data());
}

void invert(const coupling::PackedFlow& flow, const Floats<2>& z, const Floats<2>& c, const Output& x,
            std::size_t threads) {
  check(z.shape(1) == flow.dim(), "z has the wrong number of columns");
  check(c.shape(1) == flow.dim_c() && c.shape(0) == z.shape(0), "c must have shape (len(z), dim_c)");
  check(x.shape(0) == z.shape(0) && x.shape(1) == flow.dim(), "x must have the shape of z");
  nb::gil_scoped_release release;
  flow.invert(z.data(), c.data(), x.data(), z.shape(0), threads);
}

}  // namespace

void bind_coupling(nb::module_& m) {
  m.def("coupling_supported", &coupling::supported, nb::arg("bf16"),
        "Whether coupling flows can be inverted on this CPU.");
  nb::class_<coupling::PackedFlow>(m, "PackedFlow")
      .def(
          "__init__",
          [](coupling::PackedFlow* self, std::size_t dim, std::size_t dim_c, float clamp, bool silu, bool bf16) {
            const auto activation = silu ? coupling::Activation::silu : coupling::Activation::relu;
            new (self) coupling::PackedFlow(dim, dim_c, clamp, activation, bf16);
          },
          nb::arg("dim"), nb::arg("dim_c"), nb::arg("clamp"), nb::arg("silu"), nb::arg("bf16"))
      .def("add", &add, nb::arg("net_a"), nb::arg("net_b"), nb::arg("mixing"))
      .def("invert", &invert, nb::arg("z").noconvert(), nb::arg("c").noconvert(), nb::arg("x").noconvert(),
           nb::arg("threads"));
}
