// A thin vector type for sources compiled per instruction set: the compiler's own vector extension (GCC, Clang),
// so that + - * < work as they stand, plus the few operations that need an intrinsic.
//
// Include it only from sources added by fastinv_add_isa_sources(): everything lives in namespace
// fastinv::FASTINV_ISA, which keeps the copies for different CPUs apart.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

#if defined(__SSE2__)
#include <immintrin.h>
#elif defined(__ARM_NEON)
#include <arm_neon.h>
#endif

#define FASTINV_INLINE inline __attribute__((always_inline))

namespace fastinv {
namespace FASTINV_ISA {

#if defined(__AVX512F__)
constexpr int kVectorBytes = 64;
#elif defined(__AVX2__)
constexpr int kVectorBytes = 32;
#else
constexpr int kVectorBytes = 16;
#endif

typedef float F32 __attribute__((vector_size(kVectorBytes)));
typedef double F64 __attribute__((vector_size(kVectorBytes)));
typedef std::int32_t I32 __attribute__((vector_size(kVectorBytes)));
typedef std::int64_t I64 __attribute__((vector_size(kVectorBytes)));

template <class T>
struct Lanes;
template <>
struct Lanes<float> {
  using Vector = F32;
  using Integer = std::int32_t;
  using IntegerVector = I32;
};
template <>
struct Lanes<double> {
  using Vector = F64;
  using Integer = std::int64_t;
  using IntegerVector = I64;
};

// A vector of T, the integer vector of the same width, and the number of lanes.
template <class T>
using Vec = typename Lanes<T>::Vector;
template <class T>
using IntVec = typename Lanes<T>::IntegerVector;
template <class T>
constexpr int kLanes = kVectorBytes / static_cast<int>(sizeof(T));

template <class T>
FASTINV_INLINE Vec<T> splat(T value) {
  return Vec<T>{} + value;
}

// p must be aligned to kVectorBytes.
template <class T>
FASTINV_INLINE Vec<T> load(const T* p) {
  return *reinterpret_cast<const Vec<T>*>(p);
}

template <class T>
FASTINV_INLINE void store(T* p, Vec<T> v) {
  *reinterpret_cast<Vec<T>*>(p) = v;
}

// Reinterpretation of the bits, no conversion.
FASTINV_INLINE I32 bits(F32 v) { return reinterpret_cast<I32>(v); }
FASTINV_INLINE I64 bits(F64 v) { return reinterpret_cast<I64>(v); }
FASTINV_INLINE F32 from_bits(I32 v) { return reinterpret_cast<F32>(v); }
FASTINV_INLINE F64 from_bits(I64 v) { return reinterpret_cast<F64>(v); }

// 0, 1, 2, ... in the lanes.
template <class T>
FASTINV_INLINE IntVec<T> iota() {
  IntVec<T> v{};
  for (int i = 0; i < kLanes<T>; ++i) v[i] = i;
  return v;
}

// v where the mask is set (all ones, as comparisons yield), else 0.
template <class V, class M>
FASTINV_INLINE V keep(M mask, V v) {
  return mask ? v : V{};
}

FASTINV_INLINE F32 min(F32 a, F32 b) {
#if defined(__AVX512F__)
  return _mm512_min_ps(a, b);
#elif defined(__AVX2__)
  return _mm256_min_ps(a, b);
#elif defined(__SSE2__)
  return _mm_min_ps(a, b);
#else
  return a < b ? a : b;
#endif
}

FASTINV_INLINE F64 min(F64 a, F64 b) {
#if defined(__AVX512F__)
  return _mm512_min_pd(a, b);
#elif defined(__AVX2__)
  return _mm256_min_pd(a, b);
#elif defined(__SSE2__)
  return _mm_min_pd(a, b);
#else
  return a < b ? a : b;
#endif
}

FASTINV_INLINE F64 sqrt(F64 v) {
#if defined(__AVX512F__)
  return _mm512_sqrt_pd(v);
#elif defined(__AVX2__)
  return _mm256_sqrt_pd(v);
#elif defined(__SSE2__)
  return _mm_sqrt_pd(v);
#elif defined(__ARM_NEON)
  return reinterpret_cast<F64>(vsqrtq_f64(reinterpret_cast<float64x2_t>(v)));
#else
  for (int i = 0; i < kLanes<double>; ++i) v[i] = __builtin_sqrt(v[i]);
  return v;
#endif
}

FASTINV_INLINE F32 sqrt(F32 v) {
#if defined(__AVX512F__)
  return _mm512_sqrt_ps(v);
#elif defined(__AVX2__)
  return _mm256_sqrt_ps(v);
#elif defined(__SSE2__)
  return _mm_sqrt_ps(v);
#elif defined(__ARM_NEON)
  return reinterpret_cast<F32>(vsqrtq_f32(reinterpret_cast<float32x4_t>(v)));
#else
  for (int i = 0; i < kLanes<float>; ++i) v[i] = __builtin_sqrtf(v[i]);
  return v;
#endif
}

// A vector of T of any size, for the steps of a reduction.
template <class T, int Bytes>
struct Sized {
  typedef T Vector __attribute__((vector_size(Bytes)));
};

// Sum of the lanes, pairwise.
template <class T, int Bytes>
FASTINV_INLINE T sum_lanes(typename Sized<T, Bytes>::Vector v) {
  if constexpr (Bytes == 2 * sizeof(T)) {
    return v[0] + v[1];
  } else {
    typename Sized<T, Bytes / 2>::Vector half[2];
    std::memcpy(half, &v, Bytes);
    return sum_lanes<T, Bytes / 2>(half[0] + half[1]);
  }
}

// The lanes moved down by one, the first to the end.
template <class V>
FASTINV_INLINE V rotate(V v) {
  constexpr int n = sizeof(V) / sizeof(v[0]);
#if defined(__clang__)
  V result;
  for (int i = 0; i < n; ++i) result[i] = v[(i + 1) % n];
  return result;
#else
  decltype(v < v) from{};
  for (int i = 0; i < n; ++i) from[i] = (i + 1) % n;
  return __builtin_shuffle(v, from);
#endif
}

// Lanes 0, 2, 4, ... of a followed by those of b, and 1, 3, 5, ... in `odd`.
template <class V>
FASTINV_INLINE void deinterleave(V a, V b, V& even, V& odd) {
  constexpr int n = sizeof(V) / sizeof(a[0]);
#if defined(__clang__)
  for (int i = 0; i < n / 2; ++i) {
    even[i] = a[2 * i], even[i + n / 2] = b[2 * i];
    odd[i] = a[2 * i + 1], odd[i + n / 2] = b[2 * i + 1];
  }
#else
  decltype(a < b) from{};
  for (int i = 0; i < n; ++i) from[i] = 2 * i;
  even = __builtin_shuffle(a, b, from);
  odd = __builtin_shuffle(a, b, from + 1);
#endif
}

// The smallest lane.
template <class T, int Bytes = kVectorBytes>
FASTINV_INLINE T min_lane(typename Sized<T, Bytes>::Vector v) {
  if constexpr (Bytes == 2 * sizeof(T)) {
    return v[0] < v[1] ? v[0] : v[1];
  } else {
    typename Sized<T, Bytes / 2>::Vector half[2];
    std::memcpy(half, &v, Bytes);
    return min_lane<T, Bytes / 2>(half[0] < half[1] ? half[0] : half[1]);
  }
}

// Lanes of floats and doubles, added up in double.
struct Sum {
  F64 low{}, high{};

  FASTINV_INLINE void add(F64 v) { low += v; }
  FASTINV_INLINE void add(F32 v) {
    typename Sized<float, kVectorBytes / 2>::Vector half[2];
    std::memcpy(half, &v, sizeof(v));
    low += __builtin_convertvector(half[0], F64);
    high += __builtin_convertvector(half[1], F64);
  }
  FASTINV_INLINE double total() const { return sum_lanes<double, kVectorBytes>(low + high); }
};

// Sum of the lanes in double.
FASTINV_INLINE double sum(F64 v) { return sum_lanes<double, kVectorBytes>(v); }
FASTINV_INLINE double sum(F32 v) {
  typename Sized<float, kVectorBytes / 2>::Vector half[2];
  std::memcpy(half, &v, sizeof(v));
  return sum(__builtin_convertvector(half[0], F64) + __builtin_convertvector(half[1], F64));
}

// Sum of the lanes in the type of the lanes.
FASTINV_INLINE float sum_short(F32 v) { return sum_lanes<float, kVectorBytes>(v); }
FASTINV_INLINE double sum_short(F64 v) { return sum(v); }

}  // namespace FASTINV_ISA
}  // namespace fastinv
