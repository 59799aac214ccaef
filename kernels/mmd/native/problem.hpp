// What the driver, compiled once, hands to the pair loops, compiled per instruction set. No standard library here.
#pragma once

#include <cstddef>

namespace fastinv {
namespace mmd {

// Rows that the pair loops take at a time, without and with gradients; packed rows are padded to a multiple of kPad.
constexpr int kRowBlock = 4, kGradientRowBlock = 2;
constexpr int kPad = 16;

// Largest number of rows of a plan (plan.py); kernels with more terms are refused in Python.
constexpr int kMaxHeads = 32;
constexpr int kMaxTails = 32;
constexpr int kMaxPower = 8;

// A kernel as plan.py describes it, at the scale of one problem: rates apply to squared distances as they are.
template <class T>
struct Kernel {
  bool gaussian;
  int heads;
  T rate[kMaxHeads];     // positive where a step starts a new exponential, and for every imq group
  T cap[kMaxHeads];      // squared distances are clipped here: beyond, the term is 0 in T or would overflow
  int count[kMaxHeads];  // gaussian: squarings; imq: number of general terms
  T weight[kMaxHeads];   // gaussian
  T growth[kMaxHeads];   // gaussian: weight times rate, relative to the first rate, for slopes
  int degree[kMaxHeads];                          // imq: highest n with a coefficient
  T coefficient[kMaxHeads][kMaxPower + 1];        // imq: c_n of u^(-n/2) at index n; index 0 is not used
  T slope_coefficient[kMaxHeads][kMaxPower + 1];  // imq: n/2 c_n
  T tail_weight[kMaxTails], tail_power[kMaxTails];
  T tail_slope[kMaxTails];  // weight times power
  T tail_cap[kMaxTails];    // logarithms are clipped here
};

// One sample, packed: coordinate k of row i at data[k * stride + i], rows padded with zeros, aligned to 64 bytes.
template <class T>
struct Packed {
  const T* data;
  std::ptrdiff_t stride;
  int rows;
};

// A share of the pairs of a and b: the row blocks first, first + step, ... of a against all rows of b, or against
// the rows that come later in the order if a and b are the same sample.
template <class T>
struct Share {
  Packed<T> a, b;
  bool same;
  int dimensions;
  int first, step;
  // Gradients, laid out as the packed samples, or null: slope(d^2) * (a_i - b_j) is added to row i of pull_a and
  // taken from row j of pull_b. Either may be null on its own.
  T* pull_a;
  T* pull_b;
  double* row_sums;  // the sum of each row of a is added here, or null
  T* scratch;  // kRowBlock * dimensions vectors of 64 bytes, for gradients
};

// Sum of the kernel over a share; slope is -dk/d(d^2), divided by ln 2 for Gaussians.
using SumFloat = double (*)(const Share<float>&, const Kernel<float>&);
using SumDouble = double (*)(const Share<double>&, const Kernel<double>&);

struct PairLoops {
  SumFloat sum_float;
  SumDouble sum_double;
};

// One sample as the caller holds it, and where it goes: nowhere if `to` is null. Strides in elements.
template <class T>
struct Unpacked {
  const T* data;
  std::ptrdiff_t rows, row_stride, coordinate_stride;
  T* to;
  std::ptrdiff_t stride;
};

enum class Status { ok, x_not_finite, y_not_finite, x_too_wide, y_too_wide };

// Packs the samples of one problem; no packed value may be larger than the limit.
//
// A coordinate far from 0 compared with its range is shifted by its smallest value. The subtraction is exact
// (Sterbenz), so differences keep every bit of the input; near 0 nothing is shifted, for the same reason.
using PackFloat = Status (*)(const Unpacked<float>& x, const Unpacked<float>& y, int dimensions, double limit);
using PackDouble = Status (*)(const Unpacked<double>& x, const Unpacked<double>& y, int dimensions, double limit);

struct Packing {
  PackFloat pack_float;
  PackDouble pack_double;
};

}  // namespace mmd
}  // namespace fastinv
