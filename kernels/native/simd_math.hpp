// exp2, log2 and 1/sqrt on vectors, accurate to the rounding of their type, without branches.
//
// Polynomials are minimax fits with the constant term held at the exact value, so that 2^0 = 1 and log2(1) = 0.
// With AVX-512 the leading bits of the fraction select from a table of 32 floats that lives in two registers,
// which leaves a polynomial of degree 2 where other sets need degree 6.
#pragma once

#include "native/simd.hpp"

namespace fastinv {
namespace FASTINV_ISA {

// Evaluates c[0] + c[1] x + ... by Horner's rule; the loop unrolls.
template <class V, class T, int N>
FASTINV_INLINE V polynomial(V x, const T (&c)[N]) {
  V p = V{} + c[N - 1];
  for (int k = N - 2; k >= 0; --k) p = p * x + c[k];
  return p;
}

#if defined(__AVX512F__)

// Entry i of a table of 32 floats, by the low five bits of each lane.
FASTINV_INLINE F32 lookup(const float* table, I32 index) {
  return _mm512_permutex2var_ps(_mm512_load_ps(table), reinterpret_cast<__m512i>(index), _mm512_load_ps(table + 16));
}

#include "native/tables.inc"

// 2^(a b) for -126 < a b < 128. The product is never rounded: both its uses are fused.
FASTINV_INLINE F32 exp2_product(F32 a, F32 b) {
  const F32 magic = splat(393216.0f);  // 1.5 * 2^18: the last bit of a sum is worth 1/32
  const F32 shifted = a * b + magic;
  const F32 f = a * b - (shifted - magic);
  const I32 k = bits(shifted);
  const F32 power = from_bits(bits(lookup(kExp2Table, k)) + (k << 18));
  return power * ((0.240231819f * f + 0.693157399f) * f + 1.0f);
}

// log2(u) for normal u >= 1.
FASTINV_INLINE F32 log2(F32 u) {
  const F32 exponent = _mm512_getexp_ps(u);
  const F32 m = _mm512_getmant_ps(u, _MM_MANT_NORM_1_2, _MM_MANT_SIGN_src);
  const I32 index = bits(u) >> 18;
  const F32 f = m * lookup(kReciprocalTable, index) - 1.0f;
  const F32 p = (((-0.361062196f * f + 0.481249612f) * f - 0.721347371f) * f + 1.44269496f);
  return p * f + (lookup(kLog2Table, index) + exponent);
}

FASTINV_INLINE F32 rsqrt_estimate(F32 u) { return _mm512_rsqrt14_ps(u); }

#else

// 2^(a b) for -126 < a b < 128. The product is never rounded where the CPU fuses multiply and add.
FASTINV_INLINE F32 exp2_product(F32 a, F32 b) {
  const F32 magic = splat(12582912.0f);  // 1.5 * 2^23: the last bit of a sum is worth 1
  const F32 shifted = a * b + magic;
  const F32 f = a * b - (shifted - magic);
  constexpr float c[] = {1.0f,          0.693147215f,   0.240226528f,  0.0555031055f,
                         0.00961769298f, 0.00134066438f, 0.00015594677f};
  return from_bits(bits(polynomial(f, c)) + (bits(shifted) << 23));
}

// log2(u) for normal u >= 1.
FASTINV_INLINE F32 log2(F32 u) {
  const I32 half_root = I32{} + 0x3f3504f3;  // bits of sqrt(1/2)
  const I32 exponent = (bits(u) - half_root) >> 23;
  const F32 f = from_bits(bits(u) - (exponent << 23)) - 1.0f;
  constexpr float c[] = {1.44269504f,   -0.721347162f, 0.480898143f,  -0.360708735f, 0.288579207f,
                         -0.239394315f, 0.204289754f,  -0.192343937f, 0.188385203f,  -0.109763715f};
  return polynomial(f, c) * f + __builtin_convertvector(exponent, F32);
}

FASTINV_INLINE F32 rsqrt_estimate(F32 u) {
#if defined(__AVX2__)
  return _mm256_rsqrt_ps(u);
#elif defined(__SSE2__)
  return _mm_rsqrt_ps(u);
#else
  return 1.0f / sqrt(u);
#endif
}

#endif

// 2^(a b) for -1022 < a b < 1024.
FASTINV_INLINE F64 exp2_product(F64 a, F64 b) {
  const F64 magic = splat(6755399441055744.0);  // 1.5 * 2^52
  const F64 shifted = a * b + magic;
  const F64 f = a * b - (shifted - magic);
  constexpr double c[] = {1.0,
                          0.693147180559945697,
                          0.24022650695910098,
                          0.0555041086647903945,
                          0.00961812910760700262,
                          0.00133335581534399697,
                          0.000154035304415718501,
                          0.0000152527273851897748,
                          1.32154426754528552e-6,
                          1.01806476605730693e-7,
                          7.07257039454079943e-9,
                          4.07807178609287042e-10};
  return from_bits(bits(polynomial(f, c)) + (bits(shifted) << 52));
}

// log2(u) for normal u >= 1: an odd series in (m - 1) / (m + 1).
FASTINV_INLINE F64 log2(F64 u) {
  const I64 half_root = I64{} + 0x3fe6a09e667f3bcd;  // bits of sqrt(1/2)
  const I64 exponent = (bits(u) - half_root) >> 52;
  const F64 m = from_bits(bits(u) - (exponent << 52));
  const F64 z = (m - 1.0) / (m + 1.0);
  constexpr double c[] = {2.88539008177792679, 0.96179669392602037,  0.577078016334205208, 0.412198587678581184,
                          0.320598381894371342, 0.262341171224333848, 0.220758416773873009, 0.215061832157249421};
  return polynomial(z * z, c) * z + __builtin_convertvector(exponent, F64);
}

// 1 / sqrt(u) for normal u.
FASTINV_INLINE F32 rsqrt(F32 u) {
  const F32 r = rsqrt_estimate(u);
  return (1.0f - (u * r) * r) * (0.5f * r) + r;  // one step of Newton
}

FASTINV_INLINE F64 rsqrt(F64 u) { return 1.0 / sqrt(u); }

}  // namespace FASTINV_ISA
}  // namespace fastinv
