// Packing, compiled once per instruction set: samples of any strides become rows of coordinates, padded and aligned.
#include "mmd/native/problem.hpp"
#include "native/simd.hpp"

namespace fastinv {
namespace FASTINV_ISA {
namespace {

using mmd::Status;
using mmd::Unpacked;

// Turns D vectors that hold rows of D coordinates one after the other into one vector per coordinate.
template <int D, class V>
FASTINV_INLINE void transpose(V (&v)[D]) {
  if constexpr (D > 1) {
    V even[D / 2], odd[D / 2];
    for (int k = 0; k < D / 2; ++k) deinterleave(v[2 * k], v[2 * k + 1], even[k], odd[k]);
    transpose<D / 2>(even);
    transpose<D / 2>(odd);
    for (int k = 0; k < D / 2; ++k) v[2 * k] = even[k], v[2 * k + 1] = odd[k];
  }
}

// Rows without gaps, D a power of two.
template <int D, class T>
void copy_dense(const Unpacked<T>& s) {
  constexpr int W = kLanes<T>;
  std::ptrdiff_t i = 0;
  for (; i + W <= s.rows; i += W) {
    Vec<T> v[D];
    std::memcpy(v, s.data + i * D, sizeof(v));
    transpose<D>(v);
    for (int k = 0; k < D; ++k) store(s.to + k * s.stride + i, v[k]);
  }
  for (; i < s.rows; ++i)
    for (int k = 0; k < D; ++k) s.to[k * s.stride + i] = s.data[i * D + k];
}

template <class T>
void copy(const Unpacked<T>& s, int dimensions) {
  const bool dense = s.coordinate_stride == 1 && s.row_stride == dimensions;
  if (dense && dimensions == 1) {
    copy_dense<1>(s);
  } else if (dense && dimensions == 2) {
    copy_dense<2>(s);
  } else if (dense && dimensions == 4) {
    copy_dense<4>(s);
  } else if (dense && dimensions == 8) {
    copy_dense<8>(s);
  } else {
    for (std::ptrdiff_t i = 0; i < s.rows; ++i)
      for (int k = 0; k < dimensions; ++k)
        s.to[k * s.stride + i] = s.data[i * s.row_stride + k * s.coordinate_stride];
  }
  for (int k = 0; k < dimensions; ++k)
    for (std::ptrdiff_t i = s.rows; i < s.stride; ++i) s.to[k * s.stride + i] = T(0);
}

// Smallest value met, smallest negated value, and a sum that is NaN once a value was not finite.
template <class T>
struct Range {
  using V = Vec<T>;
  V low, minus_high, finite{};

  FASTINV_INLINE explicit Range(T first) : low(splat(first)), minus_high(-low) {}

  FASTINV_INLINE void extend(V v) {
    low = min(low, v), minus_high = min(minus_high, -v);
    finite += v - v;
  }

  FASTINV_INLINE void extend(const T* row, std::ptrdiff_t rows) {
    std::ptrdiff_t i = 0;
    for (; i + kLanes<T> <= rows; i += kLanes<T>) extend(load(row + i));
    using Integer = typename Lanes<T>::Integer;
    if (i < rows) extend(iota<T>() < Integer(rows - i) ? load(row + i) : splat(row[0]));
  }
};

// The larger magnitude of the two.
FASTINV_INLINE double magnitude(double a, double b) {
  a = __builtin_fabs(a), b = __builtin_fabs(b);
  return a > b ? a : b;
}

template <class T>
void subtract(const Unpacked<T>& s, int k, T shift) {
  for (std::ptrdiff_t i = 0; i < s.rows; ++i) s.to[k * s.stride + i] -= shift;
}

template <class T>
bool beyond(const Unpacked<T>& s, int dimensions, double limit) {
  for (int k = 0; k < dimensions; ++k)
    for (std::ptrdiff_t i = 0; i < s.rows; ++i)
      if (__builtin_fabs(double(s.to[k * s.stride + i])) > limit) return true;
  return false;
}

template <class T>
Status pack(const Unpacked<T>& x, const Unpacked<T>& y, int dimensions, double limit) {
  constexpr double kFar = 8.0;
  const bool use_x = x.to != nullptr, use_y = y.to != nullptr;
  if (!use_x && !use_y) return Status::ok;
  if (use_x) copy(x, dimensions);
  if (use_y) copy(y, dimensions);
  Vec<T> finite_x{}, finite_y{};
  bool wide = false;
  for (int k = 0; k < dimensions; ++k) {
    Range<T> range(use_x ? x.to[k * x.stride] : y.to[k * y.stride]);
    if (use_x) range.extend(x.to + k * x.stride, x.rows);
    finite_x += range.finite;
    if (use_y) range.extend(y.to + k * y.stride, y.rows);
    finite_y += range.finite;
    const double low = min_lane<T>(range.low), high = -min_lane<T>(range.minus_high);
    const double shift = magnitude(low, high) > kFar * (high - low) ? low : 0.0;
    if (shift != 0.0 && use_x) subtract(x, k, T(shift));
    if (shift != 0.0 && use_y) subtract(y, k, T(shift));
    wide = wide || magnitude(low - shift, high - shift) > limit;
  }
  const double sum_x = sum(finite_x), sum_y = sum(finite_y);
  if (sum_x != sum_x) return Status::x_not_finite;
  if (sum_y != sum_y) return Status::y_not_finite;
  if (!wide) return Status::ok;
  return use_x && beyond(x, dimensions, limit) ? Status::x_too_wide : Status::y_too_wide;
}

}  // namespace

extern const mmd::Packing packing;
const mmd::Packing packing = {&pack<float>, &pack<double>};

}  // namespace FASTINV_ISA
}  // namespace fastinv
