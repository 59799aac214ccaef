// The machine's own rate of fused multiply-adds: twelve chains in registers, no memory.
#include <cstddef>

#if defined(__AVX512F__)
typedef float Vector __attribute__((vector_size(64)));
#elif defined(__AVX__)
typedef float Vector __attribute__((vector_size(32)));
#else
typedef float Vector __attribute__((vector_size(16)));
#endif

constexpr int kChains = 12;

extern "C" int lanes_per_step() { return kChains * static_cast<int>(sizeof(Vector) / sizeof(float)); }

// The chains converge to 2, so that no value overflows or becomes subnormal; the sum keeps them from being dropped.
extern "C" float multiply_adds(std::size_t steps) {
  const Vector factor = Vector{} + 0.5f, addend = Vector{} + 1.0f;
  Vector chain[kChains];
  for (int c = 0; c < kChains; ++c) chain[c] = Vector{} + static_cast<float>(c);
  for (std::size_t step = 0; step < steps; ++step)
    for (int c = 0; c < kChains; ++c) chain[c] = chain[c] * factor + addend;
  float total = 0.0f;
  for (int c = 0; c < kChains; ++c) total += chain[c][0];
  return total;
}
