// Packing: samples of any strides become rows of coordinates, padded and aligned for vector loads.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <type_traits>

#include "mmd/native/driver.hpp"
#include "mmd/native/problem.hpp"

namespace fastinv {
namespace mmd {

// Distance between the coordinates of a packed sample. Multiples of 1 KiB would put all coordinates of a row into
// the same few cache sets.
template <class T>
std::ptrdiff_t packed_stride(std::int64_t rows) {
  const std::ptrdiff_t stride = (rows + kPad - 1) / kPad * kPad;
  return stride * sizeof(T) % 1024 == 0 ? stride + kPad : stride;
}

template <class T>
void copy_transposed(const Batch<T>& from, std::int64_t problem, T* to, std::ptrdiff_t stride) {
  const T* start = from.data + problem * from.stride[0];
  for (std::int64_t i = 0; i < from.rows; ++i)
    for (std::int64_t k = 0; k < from.dimensions; ++k)
      to[k * stride + i] = start[i * from.stride[1] + k * from.stride[2]];
  for (std::int64_t k = 0; k < from.dimensions; ++k)
    std::memset(to + k * stride + from.rows, 0, (stride - from.rows) * sizeof(T));
}

template <class T>
struct Range {
  T low = std::numeric_limits<T>::max(), high = std::numeric_limits<T>::lowest();
  bool finite = true;
};

// Lanes of its own for each of the running minima, so that the compiler can vectorise without re-association.
template <class T>
void extend(Range<T>& range, const T* values, std::int64_t count) {
  constexpr int kLanes = 8;
  T low[kLanes], high[kLanes];
  std::fill_n(low, kLanes, range.low);
  std::fill_n(high, kLanes, range.high);
  bool finite = range.finite;
  std::int64_t i = 0;
  for (; i + kLanes <= count; i += kLanes)
    for (int l = 0; l < kLanes; ++l) {
      const T v = values[i + l];
      low[l] = v < low[l] ? v : low[l];
      high[l] = v > high[l] ? v : high[l];
      finite &= std::abs(v) <= std::numeric_limits<T>::max();
    }
  for (; i < count; ++i) {
    low[0] = std::min(low[0], values[i]), high[0] = std::max(high[0], values[i]);
    finite &= std::abs(values[i]) <= std::numeric_limits<T>::max();
  }
  range.low = *std::min_element(low, low + kLanes);
  range.high = *std::max_element(high, high + kLanes);
  range.finite = finite;
}

// Packs one problem; either sample may be left out (null target).
//
// A coordinate far from 0 compared with its range is shifted by its smallest value. The subtraction is exact
// (Sterbenz), so differences keep every bit of the input; near 0 nothing is shifted, for the same reason.
template <class T>
Status pack_problem(const Request<T>& r, std::int64_t problem, T* x, std::ptrdiff_t x_stride, T* y,
                    std::ptrdiff_t y_stride) {
  if (x != nullptr) copy_transposed(r.x, problem, x, x_stride);
  if (y != nullptr) copy_transposed(r.y, problem, y, y_stride);
  for (std::int64_t k = 0; k < r.x.dimensions; ++k) {
    Range<T> of_x, both;
    if (x != nullptr) extend(of_x, x + k * x_stride, r.x.rows);
    if (!of_x.finite) return Status::x_not_finite;
    both = of_x;
    if (y != nullptr) extend(both, y + k * y_stride, r.y.rows);
    if (!both.finite) return Status::y_not_finite;
    const double width = double(both.high) - double(both.low);
    T shift = 0;
    if (std::max(std::abs(double(both.low)), std::abs(double(both.high))) > 8.0 * width) {
      shift = both.low;
      if (x != nullptr)
        for (std::int64_t i = 0; i < r.x.rows; ++i) x[k * x_stride + i] -= shift;
      if (y != nullptr)
        for (std::int64_t i = 0; i < r.y.rows; ++i) y[k * y_stride + i] -= shift;
    }
    const double low = double(both.low) - double(shift), high = double(both.high) - double(shift);
    if (std::max(std::abs(low), std::abs(high)) > r.limit) {
      const bool in_x = x != nullptr && std::max(std::abs(double(of_x.low)), std::abs(double(of_x.high))) > r.limit;
      return in_x || y == nullptr ? Status::x_too_wide : Status::y_too_wide;
    }
  }
  return Status::ok;
}

}  // namespace mmd
}  // namespace fastinv
