// Python's view of the MMD driver; shapes and dtypes are checked by fastinv.kernels.mmd before they come here.
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>

#include <stdexcept>

#include "mmd/native/driver.hpp"
#include "mmd/native/problem.hpp"

namespace nb = nanobind;
namespace mmd = fastinv::mmd;

namespace {

template <class T>
using Samples = nb::ndarray<const T, nb::ndim<3>, nb::device::cpu>;
template <class T>
using Output = nb::ndarray<T, nb::ndim<3>, nb::c_contig, nb::device::cpu>;
using Table = nb::ndarray<const double, nb::ndim<2>, nb::c_contig, nb::device::cpu>;
using Vector = nb::ndarray<const double, nb::ndim<1>, nb::c_contig, nb::device::cpu>;
using Means = nb::ndarray<double, nb::ndim<2>, nb::c_contig, nb::device::cpu>;

template <class T>
mmd::Batch<T> batch(const Samples<T>& a) {
  return {a.data(),
          std::int64_t(a.shape(0)),
          std::int64_t(a.shape(1)),
          std::int64_t(a.shape(2)),
          {a.stride(0), a.stride(1), a.stride(2)}};
}

void require(bool condition, const char* message) {
  if (!condition) throw std::invalid_argument(message);
}

template <class T>
T* gradient(const Output<T>& out, const Samples<T>& of) {
  if (out.shape(1) == 0) return nullptr;
  require(out.shape(0) == of.shape(0) && out.shape(1) == of.shape(1) && out.shape(2) == of.shape(2),
          "a gradient must have the shape of its sample");
  return out.data();
}

template <class T>
int evaluate(const Samples<T>& x, const Samples<T>& y, bool gaussian, const Table& heads, const Table& tails,
             const Vector& scale, double limit, const Vector& weights, int parts, const Means& means,
             const Output<T>& gradient_x, const Output<T>& gradient_y, const Means& row_sums) {
  require(x.shape(0) == y.shape(0) && x.shape(0) == scale.shape(0) && x.shape(0) == means.shape(0),
          "x, y, scale and means must hold the same number of problems");
  require(x.shape(2) == y.shape(2) && x.shape(2) > 0, "x and y must have the same dimension");
  require(x.shape(1) > 0 && y.shape(1) > 0, "x and y must not be empty");
  require(x.shape(1) < (1u << 30) && y.shape(1) < (1u << 30), "a sample may hold at most 2^30 points");
  require(means.shape(1) == 3 && weights.shape(0) == 3, "there are three means");
  require(heads.shape(0) > 0 && heads.shape(0) <= mmd::kMaxHeads && tails.shape(0) <= mmd::kMaxTails,
          "a kernel may have at most 32 terms");
  require(heads.shape(1) == (gaussian ? 3 : 2 + mmd::kMaxPower) && tails.shape(1) == 2, "unknown form of plan");
  mmd::Request<T> request{batch(x),
                          batch(y),
                          {gaussian, heads.data(), int(heads.shape(0)), int(heads.shape(1)), tails.data(),
                           int(tails.shape(0))},
                          scale.data(),
                          limit,
                          {weights.data()[0], weights.data()[1], weights.data()[2]},
                          {(parts & 1) != 0, (parts & 2) != 0, (parts & 4) != 0},
                          means.data(),
                          gradient(gradient_x, x),
                          gradient(gradient_y, y),
                          row_sums.shape(1) == 0 ? nullptr : row_sums.data()};
  require(request.row_sums == nullptr || (row_sums.shape(0) == x.shape(0) && row_sums.shape(1) == x.shape(1) &&
                                          request.gradient_x == nullptr && request.gradient_y == nullptr),
          "row sums have one entry per row of x and come without gradients");
  nb::gil_scoped_release release;
  return int(mmd::evaluate(request));
}

template <class T>
void bind(nb::module_& m) {
  m.def("mmd_evaluate", &evaluate<T>, nb::arg("x").noconvert(), nb::arg("y").noconvert(), nb::arg("gaussian"),
        nb::arg("heads"), nb::arg("tails"), nb::arg("scale"), nb::arg("limit"), nb::arg("weights"), nb::arg("parts"),
        nb::arg("means").noconvert(), nb::arg("gradient_x").noconvert(), nb::arg("gradient_y").noconvert(),
        nb::arg("row_sums").noconvert());
}

}  // namespace

void bind_mmd(nb::module_& m) {
  bind<float>(m);
  bind<double>(m);
}
