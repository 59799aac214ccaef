#include "coupling/native/driver.hpp"

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <stdexcept>

#include "native/dispatch.hpp"
#include "native/parallel.hpp"

namespace fastinv {

// Compiled from tile.cpp.
#if defined(FASTINV_COUPLING_AVX512)
namespace avx512 {
void invert_tile(const coupling::Flow&, const float*, const float*, float*, std::size_t, void*);
}
#endif
#if defined(FASTINV_COUPLING_AVX512BF16)
namespace avx512bf16 {
void invert_tile(const coupling::Flow&, const float*, const float*, float*, std::size_t, void*);
}
#endif

namespace coupling {
namespace {

// Activations of a tile and a network's weights share the second-level cache.
constexpr std::size_t kTileBytes = 128 << 10;

InvertTile inverter(bool bf16) {
#if defined(FASTINV_COUPLING_AVX512)
  if (!bf16 && active_isa() == "avx512") return &avx512::invert_tile;
#endif
#if defined(FASTINV_COUPLING_AVX512BF16)
  if (bf16 && active_isa() == "avx512" && __builtin_cpu_supports("avx512bf16")) return &avx512bf16::invert_tile;
#endif
  static_cast<void>(bf16);
  return nullptr;
}

void require(bool condition, const char* message) {
  if (!condition) throw std::invalid_argument(message);
}

std::size_t padded(std::size_t size, std::size_t to = kLanes) { return (size + to - 1) / to * to; }

// Rounds to nearest, ties to even; NaN stays NaN.
std::uint16_t to_bf16(float value) {
  std::uint32_t bits;
  std::memcpy(&bits, &value, sizeof bits);
  if ((bits & 0x7fffffffu) > 0x7f800000u) return static_cast<std::uint16_t>((bits >> 16) | 0x40u);
  return static_cast<std::uint16_t>((bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16);
}

std::size_t scratch_bytes(const Flow& flow, std::size_t rows) {
  const std::size_t floats = padded(flow.dim) + padded(flow.dim_c) + kMaxInputs + padded(2 * flow.dim);
  return padded(rows, kRows) * (floats + 2 * flow.widest) * sizeof(float);
}

// As many rows as keep a tile in cache, the same for every thread where the rows allow it.
std::size_t tile_rows(std::size_t rows, std::size_t threads, std::size_t row_bytes) {
  const std::size_t most = std::max(kRows, kTileBytes / row_bytes / kRows * kRows);
  const std::size_t share = (rows + threads - 1) / threads;
  const std::size_t tiles = (share + most - 1) / most;
  return padded((share + tiles - 1) / tiles, kRows);
}

}  // namespace

bool supported(bool bf16) { return inverter(bf16) != nullptr; }

PackedFlow::PackedFlow(std::size_t dim, std::size_t dim_c, float clamp, Activation activation, bool bf16)
    : dim_(dim), dim_c_(dim_c), clamp_(clamp), activation_(activation), bf16_(bf16) {
  require(supported(bf16), "this CPU or this build lacks the instructions");
  require(dim >= 2 && dim <= kMaxDim, "a flow has 2 to 64 coordinates");
  require(dim_c <= kMaxInputs && dim_c + (dim + 1) / 2 <= kMaxInputs, "a network has at most 256 inputs");
}

void PackedFlow::add(const std::vector<Dense>& net_a, const std::vector<Dense>& net_b, const float* mixing) {
  const std::size_t a = dim_ / 2, b = dim_ - a;
  const Net packed_a = pack(net_a, b + dim_c_, 2 * a), packed_b = pack(net_b, a + dim_c_, 2 * b);
  float* const matrix = static_cast<float*>(keep(dim_ * dim_ * sizeof(float)));
  std::copy(mixing, mixing + dim_ * dim_, matrix);
  blocks_.push_back({packed_a, packed_b, matrix});
}

void PackedFlow::invert(const float* z, const float* c, float* x, std::size_t rows, std::size_t threads) const {
  if (rows == 0) return;
  const Flow flow{blocks_.data(), blocks_.size(), dim_, dim_c_, clamp_, activation_, widest_};
  const std::size_t element = bf16_ ? sizeof(std::uint16_t) : sizeof(float);
  threads = std::clamp<std::size_t>(threads, 1, num_threads());
  const std::size_t grain = tile_rows(rows, threads, 2 * widest_ * element);
  const InvertTile invert_tile = inverter(bf16_);
  const std::size_t workers = std::min(threads, workers_for(rows, grain));
  // Allocated here: a body must not throw.
  std::vector<Aligned> scratch(workers, Aligned(scratch_bytes(flow, grain)));
  parallel_for(rows, grain, workers, [&](std::size_t worker, std::size_t begin, std::size_t end) {
    invert_tile(flow, z + begin * dim_, c + begin * dim_c_, x + begin * dim_, end - begin, scratch[worker].data());
  });
}

Net PackedFlow::pack(const std::vector<Dense>& net, std::size_t inputs, std::size_t outputs) {
  require(net.size() >= 2, "a network has at least two layers");
  require(net.front().inputs == inputs, "a network must take the other half of x and the condition");
  require(net.back().outputs == outputs, "a network must give a scale and a shift for each coordinate");
  auto layers = std::make_unique<std::vector<Layer>>();
  for (std::size_t i = 0; i < net.size(); ++i) {
    require(i == 0 || net[i].inputs == net[i - 1].outputs, "layers must fit each other");
    layers->push_back(pack(net[i], i == 0 ? inputs : layers->back().outputs, i == 0));
    if (i + 1 < net.size()) widest_ = std::max(widest_, layers->back().outputs);
  }
  layers_.push_back(std::move(layers));
  return {layers_.back()->data(), layers_.back()->size()};
}

Layer PackedFlow::pack(const Dense& dense, std::size_t inputs, bool first) {
  const std::size_t outputs = padded(dense.outputs), vectors = outputs / kLanes;
  float* const bias = static_cast<float*>(keep(outputs * sizeof(float)));
  std::copy(dense.bias, dense.bias + dense.outputs, bias);
  void* const weights = keep(inputs * outputs * sizeof(float));
  const auto weight = [&dense](std::size_t k, std::size_t j) { return dense.weights[j * dense.inputs + k]; };
  const std::size_t pair = bf16_ && !first ? 2 : 1;
  std::size_t column = 0;
  // A first layer is a single panel.
  for (std::size_t p = 0; p < (first ? 1 : panels(vectors)); ++p) {
    const std::size_t width = kLanes * (first ? vectors : panel_width(vectors, p));
    for (std::size_t k = 0; k < dense.inputs; ++k)
      for (std::size_t j = column; j < std::min(column + width, dense.outputs); ++j) {
        const std::size_t at = inputs * column + (k / pair * width + j - column) * pair + k % pair;
        if (pair == 2)
          static_cast<std::uint16_t*>(weights)[at] = to_bf16(weight(k, j));
        else
          static_cast<float*>(weights)[at] = weight(k, j);
      }
    column += width;
  }
  return {weights, bias, inputs, outputs};
}

void* PackedFlow::keep(std::size_t bytes) {
  memory_.push_back(std::make_unique<Aligned>(bytes));
  return memory_.back()->data();
}

}  // namespace coupling
}  // namespace fastinv
