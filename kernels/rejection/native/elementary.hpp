// Elementary functions in float64 on all lanes, to one or two units in the last place on the ranges stated.
//
// Polynomials: sin, cos and log are those of FreeBSD's msun (Sun Microsystems' fdlibm), asin that of SLEEF;
// exp is the Taylor series, whose remainder at |r| <= log(2) / 2 is below a rounding error.
#pragma once

#include "random/native/philox.hpp"

namespace fastinv {
namespace FASTINV_ISA {

constexpr double kPi = 3.141592653589793, kHalfPi = 0.5 * kPi, kTwoPi = 2.0 * kPi;

FASTINV_INLINE F64 max(F64 a, F64 b) { return a > b ? a : b; }
FASTINV_INLINE F64 abs(F64 v) { return from_bits(bits(v) & 0x7FFFFFFFFFFFFFFF); }
FASTINV_INLINE F64 clamp(F64 v, double low, double high) { return min(max(v, splat(low)), splat(high)); }

FASTINV_INLINE bool any(I64 mask) {
#if defined(__AVX512F__)
  return _mm512_movepi64_mask(reinterpret_cast<__m512i>(mask)) != 0;
#elif defined(__AVX2__)
  return _mm256_movemask_pd(from_bits(mask)) != 0;
#elif defined(__SSE2__)
  return _mm_movemask_pd(from_bits(mask)) != 0;
#else
  std::int64_t seen = 0;
  for (int i = 0; i < kLanes<double>; ++i) seen |= mask[i];
  return seen != 0;
#endif
}

// Adding 1.5 * 2**52 leaves no bits below one: rounds to nearest for |v| < 2**51.
constexpr double kRounder = 0x1.8p52;
FASTINV_INLINE F64 rint(F64 v) { return (v + kRounder) - kRounder; }
FASTINV_INLINE F64 floor(F64 v) {
  const F64 r = rint(v);
  return r - (r > v ? splat(1.0) : F64{});
}
FASTINV_INLINE F64 ceil(F64 v) { return -floor(-v); }

// a[0] + a[1] x + ... by Horner's rule.
template <int N>
FASTINV_INLINE F64 polynomial(F64 x, const double (&a)[N]) {
  F64 r = splat(a[N - 1]);
  for (int i = N - 2; i >= 0; --i) r = r * x + a[i];
  return r;
}

struct SinCos {
  F64 sin, cos;
};

// For |x| < 1e5: multiples of pi / 2 are subtracted in two parts.
FASTINV_INLINE SinCos sincos(F64 x) {
  constexpr double kSin[] = {-1.66666666666666324348e-01, 8.33333333332248946124e-03, -1.98412698298579493134e-04,
                             2.75573137070700676789e-06,  -2.50507602534068634195e-08, 1.58969099521155010221e-10};
  constexpr double kCos[] = {4.16666666666666019037e-02,  -1.38888888888741095749e-03, 2.48015872894767294178e-05,
                             -2.75573143513906633035e-07, 2.08757232129817482790e-09,  -1.13596475577881948265e-11};
  const F64 rounded = x * (1.0 / kHalfPi) + kRounder;
  const I64 quadrant = bits(rounded);
  const F64 k = rounded - kRounder;
  const F64 r = (x - k * 1.57079632673412561417e+00) - k * 6.07710050650619224932e-11;
  const F64 z = r * r;
  const F64 s = r + r * z * polynomial(z, kSin);
  const F64 c = 1.0 - (0.5 * z - z * z * polynomial(z, kCos));
  const I64 swap = (quadrant & 1) != 0;
  const I64 sin_sign = (quadrant & 2) << 62, cos_sign = ((quadrant + 1) & 2) << 62;
  return {from_bits(bits(swap ? c : s) ^ sin_sign), from_bits(bits(swap ? s : c) ^ cos_sign)};
}

FASTINV_INLINE F64 asin(F64 x) {
  constexpr double kAsin[] = {0.1666666666666497543e+0, 0.7500000000378581611e-1, 0.4464285681377102438e-1,
                              0.3038195928038132237e-1, 0.2237176181932048341e-1, 0.1735956991223614604e-1,
                              0.1388715184501609218e-1, 0.1215360525577377331e-1, 0.6606077476277170610e-2,
                              0.1929045477267910674e-1, -0.1581918243329996643e-1, 0.3161587650653934628e-1};
  const F64 magnitude = abs(x);
  const I64 outer = magnitude > 0.5;
  const F64 z = outer ? 0.5 - 0.5 * magnitude : x * x;
  const F64 s = outer ? sqrt(z) : magnitude;
  const F64 inner = s + s * z * polynomial(z, kAsin);
  const F64 result = outer ? kHalfPi - 2.0 * inner : inner;
  return from_bits(bits(result) | (bits(x) & INT64_MIN));
}

FASTINV_INLINE F64 acos(F64 x) {
  // Near x = 1 the difference pi / 2 - asin(x) would lose the digits that acos(x) has.
  const F64 close = 2.0 * asin(sqrt(max(0.5 - 0.5 * x, F64{})));
  return x > 0.5 ? close : kHalfPi - asin(x);
}

// For normal positive x; about -709 at zero.
FASTINV_INLINE F64 log(F64 x) {
  constexpr double kLog[] = {6.666666666666735130e-01, 3.999999999940941908e-01, 2.857142874366239149e-01,
                             2.222219843214978396e-01, 1.818357216161805012e-01, 1.531383769920937332e-01,
                             1.479819860511658591e-01};
  // x = 2**k m with sqrt(1/2) <= m < sqrt(2).
  constexpr std::uint64_t kRootHalf = 0x3FE6A09E667F3BCDull, kOne = 0x3FF0000000000000ull;
  const U64 h = reinterpret_cast<U64>(x) + (kOne - kRootHalf);
  const F64 m = reinterpret_cast<F64>((h & 0x000FFFFFFFFFFFFFull) + kRootHalf);
  const F64 k = reinterpret_cast<F64>((h >> 52) | 0x4330000000000000ull) - (0x1p52 + 1023.0);
  const F64 f = m - 1.0, s = f / (f + 2.0), z = s * s, half_square = 0.5 * f * f;
  const F64 r = z * polynomial(z, kLog);
  return k * 6.93147180369123816490e-01 -
         ((half_square - (s * (half_square + r) + k * 1.90821492927058770002e-10)) - f);
}

// For x < 709; 2**-1021 below -708.
FASTINV_INLINE F64 exp(F64 x) {
  constexpr double kExp[] = {1.0,          1.0,           1.0 / 2,        1.0 / 6,         1.0 / 24,
                             1.0 / 120,    1.0 / 720,     1.0 / 5040,     1.0 / 40320,     1.0 / 362880,
                             1.0 / 3628800, 1.0 / 39916800, 1.0 / 479001600, 1.0 / 6227020800};
  x = max(x, splat(-708.0));
  const F64 rounded = x * 1.4426950408889634 + kRounder;
  const F64 k = rounded - kRounder;
  const F64 r = (x - k * 6.93147180369123816490e-01) - k * 1.90821492927058770002e-10;
  return from_bits(bits(polynomial(r, kExp)) + (bits(rounded) << 52));
}

}  // namespace FASTINV_ISA
}  // namespace fastinv
