// What a network's inner layers compute in: float32, or bfloat16 products that are summed in float32.
#pragma once

#include <immintrin.h>

#include <cstddef>
#include <cstdint>

#include "coupling/native/flow.hpp"

#define FASTINV_INLINE inline __attribute__((always_inline))

namespace fastinv {
namespace FASTINV_ISA {
namespace {

using V = __m512;

FASTINV_INLINE V splat(float value) { return _mm512_set1_ps(value); }

#if defined(FASTINV_BF16)

using Element = std::uint16_t;
using Step = std::uint32_t;  // a pair of inputs

FASTINV_INLINE V multiply_add(V sum, Step a, const Step* b) {
  return _mm512_dpbf16_ps(sum, (__m512bh)_mm512_set1_epi32(static_cast<int>(a)), (__m512bh)_mm512_load_si512(b));
}

FASTINV_INLINE void store(Element* to, V value) {
  _mm256_store_si256(reinterpret_cast<__m256i*>(to), (__m256i)_mm512_cvtneps_pbh(value));
}

FASTINV_INLINE void store(float* to, V value) { _mm512_store_ps(to, value); }

// 2^t to 1e-4: the result is rounded to eight bits.
FASTINV_INLINE V exp2(V t) {
  const V f = _mm512_reduce_ps(t, _MM_FROUND_TO_NEG_INF);  // t - floor(t)
  V p = _mm512_fmadd_ps(splat(0.07802278f), f, splat(0.22606734f));
  p = _mm512_fmadd_ps(p, f, splat(0.69583471f));
  p = _mm512_fmadd_ps(p, f, splat(0.99992497f));
  return _mm512_scalef_ps(p, t);
}

FASTINV_INLINE V reciprocal(V d) { return _mm512_rcp14_ps(d); }

#else

using Element = float;
using Step = float;

FASTINV_INLINE V multiply_add(V sum, Step a, const Step* b) {
  return _mm512_fmadd_ps(_mm512_set1_ps(a), _mm512_load_ps(b), sum);
}

FASTINV_INLINE void store(Element* to, V value) { _mm512_store_ps(to, value); }

// 2^t to the rounding of float32, for t below 127: Taylor's polynomial on (-1/2, 1/2).
FASTINV_INLINE V exp2(V t) {
  const V n = _mm512_roundscale_ps(t, _MM_FROUND_TO_NEAREST_INT);
  const V f = _mm512_sub_ps(t, n);
  V p = _mm512_fmadd_ps(splat(1.5403530e-4f), f, splat(1.3333558e-3f));
  p = _mm512_fmadd_ps(p, f, splat(9.6181291e-3f));
  p = _mm512_fmadd_ps(p, f, splat(5.5504109e-2f));
  p = _mm512_fmadd_ps(p, f, splat(2.4022651e-1f));
  p = _mm512_fmadd_ps(p, f, splat(6.9314718e-1f));
  p = _mm512_fmadd_ps(p, f, splat(1.0f));
  return _mm512_scalef_ps(p, n);
}

// One step of Newton's method on the estimate; d below 2^127.
FASTINV_INLINE V reciprocal(V d) {
  const V r = _mm512_rcp14_ps(d);
  return _mm512_mul_ps(r, _mm512_fnmadd_ps(d, r, splat(2.0f)));
}

#endif

constexpr std::size_t kPerStep = sizeof(Step) / sizeof(Element);

struct Identity {
  FASTINV_INLINE static V of(V x) { return x; }
};

struct Relu {
  // The order of the operands lets NaN through.
  FASTINV_INLINE static V of(V x) { return _mm512_max_ps(_mm512_setzero_ps(), x); }
};

// x / (1 + exp(-x))
struct Silu {
  FASTINV_INLINE static V of(V x) {
    const V t = _mm512_min_ps(splat(126.0f), _mm512_mul_ps(x, splat(-1.44269504f)));
    return _mm512_mul_ps(x, reciprocal(_mm512_add_ps(exp2(t), splat(1.0f))));
  }
};

}  // namespace
}  // namespace FASTINV_ISA
}  // namespace fastinv
