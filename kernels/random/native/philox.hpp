// Philox 4x32-10 on all lanes; the definition is fastinv/kernels/random/philox.py.
//
// Include it only from sources added by fastinv_add_isa_sources(), as native/simd.hpp.
#pragma once

#include "native/simd.hpp"

namespace fastinv {
namespace FASTINV_ISA {

typedef std::uint64_t U64 __attribute__((vector_size(kVectorBytes)));

// Four words per lane, each below 2**32 in a lane of 64 bits.
struct Words {
  U64 w0, w1, w2, w3;
};

// Product of the low halves of the lanes.
FASTINV_INLINE U64 multiply_low_halves(U64 a, U64 b) {
#if defined(__AVX512F__)
  return reinterpret_cast<U64>(_mm512_mul_epu32(reinterpret_cast<__m512i>(a), reinterpret_cast<__m512i>(b)));
#elif defined(__AVX2__)
  return reinterpret_cast<U64>(_mm256_mul_epu32(reinterpret_cast<__m256i>(a), reinterpret_cast<__m256i>(b)));
#elif defined(__SSE2__)
  return reinterpret_cast<U64>(_mm_mul_epu32(reinterpret_cast<__m128i>(a), reinterpret_cast<__m128i>(b)));
#elif defined(__ARM_NEON)
  return reinterpret_cast<U64>(vmull_u32(vmovn_u64(reinterpret_cast<uint64x2_t>(a)),
                                         vmovn_u64(reinterpret_cast<uint64x2_t>(b))));
#else
  return (a & 0xFFFFFFFFull) * (b & 0xFFFFFFFFull);
#endif
}

FASTINV_INLINE Words philox(Words c, std::uint32_t k0, std::uint32_t k1) {
  constexpr std::uint64_t kLow = 0xFFFFFFFF;
  const U64 m0 = U64{} + 0xD2511F53ull, m1 = U64{} + 0xCD9E8D57ull;
  for (int round = 0; round < 10; ++round) {
    const U64 p0 = multiply_low_halves(m0, c.w0), p1 = multiply_low_halves(m1, c.w2);
    // The high halves of w1 and w3 may hold leftovers of a product: only low halves are multiplied or used.
    c.w0 = (p1 >> 32) ^ c.w1 ^ std::uint64_t{k0};
    c.w2 = (p0 >> 32) ^ c.w3 ^ std::uint64_t{k1};
    c.w1 = p1;
    c.w3 = p0;
    k0 += 0x9E3779B9u;
    k1 += 0xBB67AE85u;
  }
  return {c.w0 & kLow, c.w1 & kLow, c.w2 & kLow, c.w3 & kLow};
}

// Uniform in (0, 1): (word + 1/2) / 2**32, exact.
FASTINV_INLINE F64 uniform(U64 word) {
  // A word below 2**52 placed in the mantissa of 2**52 is that number plus 2**52.
  const F64 shifted = reinterpret_cast<F64>(word | 0x4330000000000000ull);
  return (shifted - (0x1p52 - 0.5)) * 0x1p-32;
}

}  // namespace FASTINV_ISA
}  // namespace fastinv
