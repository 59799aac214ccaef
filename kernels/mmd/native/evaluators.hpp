// Kernel functions on vectors of squared distances, R rows at a time so that their latencies overlap.
#pragma once

#include "mmd/native/problem.hpp"
#include "native/simd_math.hpp"

namespace fastinv {
namespace FASTINV_ISA {

// One Gaussian of weight 1.
template <class T>
struct SingleGaussian {
  using V = Vec<T>;
  V rate, cap;

  explicit SingleGaussian(const mmd::Kernel<T>& k) : rate(splat(-k.rate[0])), cap(splat(k.cap[0])) {}

  template <int R, bool Slope>
  FASTINV_INLINE void operator()(const V (&d2)[R], V (&value)[R], V (&slope)[R]) const {
    for (int r = 0; r < R; ++r) {
      value[r] = exp2_product(min(d2[r], cap), rate);
      if (Slope) slope[r] = value[r];
    }
  }
};

// Any sum of Gaussians: rates a power of two apart come from one exponential by squaring.
template <class T>
struct GaussianSum {
  using V = Vec<T>;
  const mmd::Kernel<T>& k;

  explicit GaussianSum(const mmd::Kernel<T>& kernel) : k(kernel) {}

  template <int R, bool Slope>
  FASTINV_INLINE void operator()(const V (&d2)[R], V (&value)[R], V (&slope)[R]) const {
    V e[R];
    for (int r = 0; r < R; ++r) value[r] = slope[r] = V{};
    for (int step = 0; step < k.heads; ++step) {
      if (k.rate[step] > T(0)) {
        const V cap = splat(k.cap[step]), rate = splat(-k.rate[step]);
        for (int r = 0; r < R; ++r) e[r] = exp2_product(min(d2[r], cap), rate);
      }
      for (int s = 0; s < k.count[step]; ++s)
        for (int r = 0; r < R; ++r) e[r] *= e[r];
      const V weight = splat(k.weight[step]), steep = splat(k.weight[step] * k.growth[step]);
      for (int r = 0; r < R; ++r) {
        value[r] += weight * e[r];
        if (Slope) slope[r] += steep * e[r];
      }
    }
  }
};

// Any sum of inverse multiquadrics, by groups that share u = 1 + rate * d^2.
template <class T>
struct MultiquadricSum {
  using V = Vec<T>;
  const mmd::Kernel<T>& k;

  explicit MultiquadricSum(const mmd::Kernel<T>& kernel) : k(kernel) {}

  template <int R, bool Slope>
  FASTINV_INLINE void operator()(const V (&d2)[R], V (&value)[R], V (&slope)[R]) const {
    for (int r = 0; r < R; ++r) value[r] = slope[r] = V{};
    int tail = 0;
    for (int group = 0; group < k.heads; ++group) {
      V u[R], root[R], steep[R];
      const V rate = splat(k.rate[group]), cap = splat(k.cap[group]);
      for (int r = 0; r < R; ++r) u[r] = min(d2[r], cap) * rate + T(1), steep[r] = V{};
      if (Slope || k.degree[group] > 0)
        for (int r = 0; r < R; ++r) root[r] = rsqrt(u[r]);
      half_integer_powers<R, Slope>(group, root, value, steep);
      if (k.count[group] > 0) general_powers<R, Slope>(tail, k.count[group], u, value, steep);
      tail += k.count[group];
      if (Slope)
        for (int r = 0; r < R; ++r) slope[r] += rate * steep[r] * (root[r] * root[r]);
    }
  }

 private:
  // The polynomial sum of c_n root^n, and sum of n/2 c_n root^n for the slope.
  template <int R, bool Slope>
  FASTINV_INLINE void half_integer_powers(int group, const V (&root)[R], V (&value)[R], V (&steep)[R]) const {
    const int degree = k.degree[group];
    if (degree == 0) return;
    const T* c = k.coefficient[group];
    V p[R], q[R];
    for (int r = 0; r < R; ++r) p[r] = splat(c[degree]), q[r] = splat(T(0.5) * T(degree) * c[degree]);
    for (int n = degree - 1; n > 0; --n) {
      const V cp = splat(c[n]), cq = splat(T(0.5) * T(n) * c[n]);
      for (int r = 0; r < R; ++r) {
        p[r] = p[r] * root[r] + cp;
        if (Slope) q[r] = q[r] * root[r] + cq;
      }
    }
    for (int r = 0; r < R; ++r) {
      value[r] += p[r] * root[r];
      if (Slope) steep[r] += q[r] * root[r];
    }
  }

  template <int R, bool Slope>
  FASTINV_INLINE void general_powers(int first, int count, const V (&u)[R], V (&value)[R], V (&steep)[R]) const {
    V logarithm[R];
    for (int r = 0; r < R; ++r) logarithm[r] = log2(u[r]);
    for (int t = first; t < first + count; ++t) {
      const V power = splat(-k.tail_power[t]), weight = splat(k.tail_weight[t]);
      const V cap = splat(T(sizeof(T) == 4 ? 125 : 1020) / k.tail_power[t]);
      const V steepness = splat(k.tail_weight[t] * k.tail_power[t]);
      for (int r = 0; r < R; ++r) {
        const V term = exp2_product(min(logarithm[r], cap), power);
        value[r] += weight * term;
        if (Slope) steep[r] += steepness * term;
      }
    }
  }
};

}  // namespace FASTINV_ISA
}  // namespace fastinv
