// One call: pack the samples, spread the pairs over threads, reduce. Compiled once, knows no instruction set.
#pragma once

#include <cstddef>
#include <cstdint>

#include "mmd/native/problem.hpp"

namespace fastinv {
namespace mmd {

// A batch of samples as the caller holds it; strides in elements, of any sign, 0 included.
template <class T>
struct Batch {
  const T* data;
  std::int64_t problems, rows, dimensions;
  std::int64_t stride[3];
};

// The rows of a plan (plan.py).
struct Plan {
  bool gaussian;
  const double* heads;
  int head_rows, head_columns;
  const double* tails;
  int tail_rows;
};

template <class T>
struct Request {
  Batch<T> x, y;
  Plan plan;
  const double* scale;  // one per problem
  double limit;         // largest magnitude of a packed value
  double weights[3];    // of the means xx, yy, xy in the sum that is differentiated
  bool parts[3];        // which means are wanted
  double* means;        // (problems, 3)
  T* gradient_x;        // (problems, rows, dimensions), or null
  T* gradient_y;
  double* row_sums;  // (problems, rows of x), zero: the sum of k(x_i, y_j) over j is added; or null
};

template <class T>
Status evaluate(const Request<T>& request);

}  // namespace mmd
}  // namespace fastinv
