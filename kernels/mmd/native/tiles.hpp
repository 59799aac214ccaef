// Pairs between a few rows of one sample and one vector of rows of another: distances, masks, forces.
#pragma once

#include "mmd/native/problem.hpp"
#include "native/simd.hpp"

namespace fastinv {
namespace FASTINV_ISA {

// Squared distances, D being the dimension, or 0 for any.
template <class T, int D>
struct Distances {
  using V = Vec<T>;
  const mmd::Share<T>& s;

  FASTINV_INLINE int dimensions() const { return D > 0 ? D : s.dimensions; }
  FASTINV_INLINE V column(int k, int j) const { return load(s.b.data + k * s.b.stride + j); }
  FASTINV_INLINE T row(int k, int i) const { return s.a.data[k * s.a.stride + i]; }

  // Differences of R rows to a vector, kept for the forces where the dimension is known at compile time.
  template <int R>
  using Differences = V[R * (D > 0 ? D : 1)];

  // Rows i, i + 1, ... of a, broadcast, to the vector of b from row j.
  template <int R>
  FASTINV_INLINE void across(int i, int j, V (&d2)[R], Differences<R>& kept) const {
    for (int r = 0; r < R; ++r) d2[r] = V{};
    for (int k = 0; k < dimensions(); ++k) {
      const V b = column(k, j);
      for (int r = 0; r < R; ++r) {
        const V t = b - row(k, i + r);
        if (D > 0) kept[k * R + r] = t;
        d2[r] = k == 0 ? t * t : t * t + d2[r];
      }
    }
  }

  // The vector of b from row j to its own rotations by 1 ... R lanes.
  template <int R>
  FASTINV_INLINE void within(int j, V (&d2)[R]) const {
    for (int r = 0; r < R; ++r) d2[r] = V{};
    for (int k = 0; k < dimensions(); ++k) {
      const V b = column(k, j);
      V turned = b;
      for (int r = 0; r < R; ++r) {
        turned = rotate(turned);
        const V t = turned - b;
        d2[r] += t * t;
      }
    }
  }
};

// Which lanes of row i and columns j... count: rows and columns that exist, and the later ones within one sample.
template <class T>
FASTINV_INLINE IntVec<T> counted(const mmd::Share<T>& s, int i, int j) {
  using Integer = typename Lanes<T>::Integer;
  const IntVec<T> index = iota<T>() + Integer(j);
  IntVec<T> mask = index < Integer(s.b.rows);
  if (s.same) mask &= index > Integer(i);
  if (i >= s.a.rows) mask = IntVec<T>{};
  return mask;
}

// Adds slope * (a - b) of the pairs to the pulls: rows gather in `gathered`, columns in memory.
template <class T, int D, int R>
FASTINV_INLINE void pull(const Distances<T, D>& at, int i, int j, const Vec<T> (&slope)[R],
                         const typename Distances<T, D>::template Differences<R>& kept, Vec<T>* gathered) {
  using V = Vec<T>;
  const mmd::Share<T>& s = at.s;
  for (int k = 0; k < at.dimensions(); ++k) {
    V force[R];
    for (int r = 0; r < R; ++r) {
      force[r] = slope[r] * (D > 0 ? kept[k * R + r] : at.column(k, j) - at.row(k, i + r));
      gathered[k * R + r] += force[r];
    }
    if (s.pull_b == nullptr) continue;
    T* target = s.pull_b + k * s.b.stride + j;
    V total = load(target);
    for (int r = 0; r < R; ++r) total += force[r];
    store(target, total);
  }
}

}  // namespace FASTINV_ISA
}  // namespace fastinv
