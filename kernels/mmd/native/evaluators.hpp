// Kernel functions on vectors of squared distances, R rows at a time so that their latencies overlap.
//
// An evaluator is called with the squared distances of R rows and sets R values and, if Slope, R slopes
// -dk/d(d^2) in the units of problem.hpp. The kernels that are used most have an evaluator without run-time
// loops; GaussianSum and MultiquadricSum take any plan.
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
  static bool serves(const mmd::Kernel<T>& k) {
    return k.gaussian && k.heads == 1 && k.count[0] == 0 && k.weight[0] == T(1);
  }

  template <int R, bool Slope>
  FASTINV_INLINE void operator()(const V (&d2)[R], V (&value)[R], V (&slope)[R]) const {
    for (int r = 0; r < R; ++r) value[r] = slope[r] = exp2_product(min(d2[r], cap), rate);
  }
};

// Three Gaussians of weight 1, each bandwidth half the one before: e, e^4 and e^16.
template <class T>
struct GaussianOctaves {
  using V = Vec<T>;
  V rate, cap;

  explicit GaussianOctaves(const mmd::Kernel<T>& k) : rate(splat(-k.rate[0])), cap(splat(k.cap[0])) {}
  static bool serves(const mmd::Kernel<T>& k) {
    bool ones = true;
    for (int h = 0; h < k.heads; ++h) ones = ones && k.weight[h] == T(1);
    return k.gaussian && ones && k.heads == 3 && k.count[0] == 0 && k.count[1] == 2 && k.count[2] == 2 &&
           k.rate[1] == T(0) && k.rate[2] == T(0);
  }

  template <int R, bool Slope>
  FASTINV_INLINE void operator()(const V (&d2)[R], V (&value)[R], V (&slope)[R]) const {
    for (int r = 0; r < R; ++r) {
      const V e = exp2_product(min(d2[r], cap), rate);
      const V e2 = e * e, e4 = e2 * e2, e8 = e4 * e4;
      value[r] = e8 * e8 + (e + e4);
      if (Slope) slope[r] = T(16) * (e8 * e8) + (T(4) * e4 + e);
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
    for (int r = 0; r < R; ++r) value[r] = slope[r] = e[r] = V{};
    for (int step = 0; step < k.heads; ++step) {
      if (k.rate[step] > T(0)) {
        const V cap = splat(k.cap[step]), rate = splat(-k.rate[step]);
        for (int r = 0; r < R; ++r) e[r] = exp2_product(min(d2[r], cap), rate);
      }
      for (int s = 0; s < k.count[step]; ++s)
        for (int r = 0; r < R; ++r) e[r] *= e[r];
      for (int r = 0; r < R; ++r) {
        value[r] += k.weight[step] * e[r];
        if (Slope) slope[r] += k.growth[step] * e[r];
      }
    }
  }
};

// One C with a in {1/2, 2} and one other power, which is the kernel `paper`.
template <class T>
struct HalfTwoAndPower {
  using V = Vec<T>;
  V rate, cap, half, two, weight, power, logarithm_cap;
  V half_slope, two_slope, power_slope;

  explicit HalfTwoAndPower(const mmd::Kernel<T>& k)
      : rate(splat(k.rate[0])),
        cap(splat(k.cap[0])),
        half(splat(k.coefficient[0][1])),
        two(splat(k.coefficient[0][4])),
        weight(splat(k.tail_weight[0])),
        power(splat(-k.tail_power[0])),
        logarithm_cap(splat(k.tail_cap[0])),
        half_slope(splat(k.rate[0] * k.slope_coefficient[0][1])),
        two_slope(splat(k.rate[0] * k.slope_coefficient[0][4])),
        power_slope(splat(k.rate[0] * k.tail_slope[0])) {}
  static bool serves(const mmd::Kernel<T>& k) {
    return !k.gaussian && k.heads == 1 && k.count[0] == 1 && k.degree[0] == 4 && k.coefficient[0][2] == T(0) &&
           k.coefficient[0][3] == T(0) && k.tail_power[0] <= T(0.5);
  }

  template <int R, bool Slope>
  FASTINV_INLINE void operator()(const V (&d2)[R], V (&value)[R], V (&slope)[R]) const {
    for (int r = 0; r < R; ++r) {
      const V u = min(d2[r], cap) * rate + T(1);
      // With a power of at most 1/2, the logarithm of the largest u needs no clipping.
      const V tail = exp2_product(log2(u), power);
      const V root = rsqrt(u), inverse = root * root, inverse2 = inverse * inverse;
      value[r] = weight * tail + (two * inverse2 + half * root);
      if (Slope) slope[r] = inverse * (power_slope * tail + (two_slope * inverse2 + half_slope * root));
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
      for (int r = 0; r < R; ++r) u[r] = min(d2[r], cap) * rate + T(1), steep[r] = root[r] = V{};
      if (Slope || k.degree[group] > 0)
        for (int r = 0; r < R; ++r) root[r] = rsqrt(u[r]);
      if (k.degree[group] > 0) half_integer_powers<R, Slope>(group, root, value, steep);
      if (k.count[group] > 0) general_powers<R, Slope>(tail, k.count[group], u, value, steep);
      tail += k.count[group];
      if (Slope)
        for (int r = 0; r < R; ++r) slope[r] += rate * steep[r] * (root[r] * root[r]);
    }
  }

 private:
  // Adds the polynomial sum of c_n root^n and, for the slope, the sum of n/2 c_n root^n.
  template <int R, bool Slope>
  FASTINV_INLINE void half_integer_powers(int group, const V (&root)[R], V (&value)[R], V (&steep)[R]) const {
    const int degree = k.degree[group];
    const T *c = k.coefficient[group], *c_slope = k.slope_coefficient[group];
    V p[R], q[R];
    for (int r = 0; r < R; ++r) p[r] = splat(c[degree]), q[r] = splat(c_slope[degree]);
    for (int n = degree - 1; n > 0; --n)
      for (int r = 0; r < R; ++r) {
        p[r] = p[r] * root[r] + c[n];
        if (Slope) q[r] = q[r] * root[r] + c_slope[n];
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
      const V power = splat(-k.tail_power[t]), cap = splat(k.tail_cap[t]);
      for (int r = 0; r < R; ++r) {
        const V term = exp2_product(min(logarithm[r], cap), power);
        value[r] += k.tail_weight[t] * term;
        if (Slope) steep[r] += k.tail_slope[t] * term;
      }
    }
  }
};

}  // namespace FASTINV_ISA
}  // namespace fastinv
