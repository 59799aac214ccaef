// Coupling flows prepared for sampling on CPUs with AVX-512.
#pragma once

#include <cstddef>
#include <memory>
#include <vector>

#include "coupling/native/flow.hpp"

namespace fastinv {
namespace coupling {

// Whether this build and this CPU invert flows in float32, or with products in bfloat16.
bool supported(bool bf16);

// A linear layer as PyTorch has it: weights (outputs, inputs), bias (outputs).
struct Dense {
  const float* weights;
  const float* bias;
  std::size_t inputs;
  std::size_t outputs;
};

// Memory at multiples of 64 bytes, all zero at first.
class Aligned {
 public:
  explicit Aligned(std::size_t bytes) : bytes_(bytes + 64) {}
  void* data() {
    const std::size_t address = reinterpret_cast<std::size_t>(bytes_.data());
    return bytes_.data() + (64 - address % 64) % 64;
  }

 private:
  std::vector<unsigned char> bytes_;
};

// A flow whose weights are laid out for one kind of CPU. Blocks are added in the order of x -> z.
class PackedFlow {
 public:
  PackedFlow(std::size_t dim, std::size_t dim_c, float clamp, Activation activation, bool bf16);
  PackedFlow(const PackedFlow&) = delete;
  PackedFlow& operator=(const PackedFlow&) = delete;

  // Adds a block: the layers of both networks and Q by rows, all copied. Throws std::invalid_argument where sizes
  // do not fit each other.
  void add(const std::vector<Dense>& net_a, const std::vector<Dense>& net_b, const float* mixing);

  // x of z (rows, dim) and c (rows, dim_c), on at most so many threads.
  void invert(const float* z, const float* c, float* x, std::size_t rows, std::size_t threads) const;

  std::size_t dim() const { return dim_; }
  std::size_t dim_c() const { return dim_c_; }

 private:
  Net pack(const std::vector<Dense>& net, std::size_t inputs, std::size_t outputs);
  Layer pack(const Dense& dense, std::size_t inputs, bool first);
  void* keep(std::size_t bytes);

  std::size_t dim_, dim_c_, widest_ = kLanes;
  float clamp_;
  Activation activation_;
  bool bf16_;
  std::vector<std::unique_ptr<Aligned>> memory_;
  std::vector<std::unique_ptr<std::vector<Layer>>> layers_;
  std::vector<Block> blocks_;
};

}  // namespace coupling
}  // namespace fastinv
