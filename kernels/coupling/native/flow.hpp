// A coupling flow laid out for sampling: plain data that the driver fills and the hot loops read.
#pragma once

#include <cstddef>

namespace fastinv {
namespace coupling {

constexpr std::size_t kLanes = 16;        // floats in a vector
constexpr std::size_t kRows = 6;          // rows that a product computes at once
constexpr std::size_t kPanel = 4;         // vectors of columns that it computes at once, at most
constexpr std::size_t kMaxDim = 64;       // coordinates of x
constexpr std::size_t kMaxInputs = 256;   // of a network: half of x and the condition

enum class Activation { relu, silu };

// A linear layer. Inputs and outputs are padded to whole vectors with zeros, but for the inputs of a first layer.
// The first layer's weights are floats, one row of outputs per input. Others are cut into panels of up to kPanel
// vectors of outputs; in a panel come, for each step, its outputs: a step is one input in float32 and a pair of
// neighbouring inputs in bfloat16.
struct Layer {
  const void* weights;
  const float* bias;
  std::size_t inputs;
  std::size_t outputs;
};

// A feed-forward network of at least two layers, the activation between any two of them.
struct Net {
  const Layer* layers;
  std::size_t count;
};

// x -> coupling(Q x): each half is scaled and shifted by what a network makes of the other half and a condition.
struct Block {
  Net net_a;
  Net net_b;
  const float* mixing;  // Q by rows, (dim, dim)
};

struct Flow {
  const Block* blocks;
  std::size_t count;
  std::size_t dim;
  std::size_t dim_c;
  float clamp;
  Activation activation;
  std::size_t widest;  // outputs of any layer
};

// Vectors in panel number i of a layer with so many vectors of outputs: as even as possible.
constexpr std::size_t panels(std::size_t vectors) { return (vectors + kPanel - 1) / kPanel; }
constexpr std::size_t panel_width(std::size_t vectors, std::size_t i) {
  return vectors / panels(vectors) + (i < vectors % panels(vectors) ? 1 : 0);
}

// Inverts the flow for a few rows, kept in cache from its first layer to its last.
// z and out: (rows, dim); c: (rows, dim_c); scratch: as many bytes as the driver's scratch_bytes() says, aligned.
using InvertTile = void (*)(const Flow& flow, const float* z, const float* c, float* out, std::size_t rows,
                            void* scratch);

}  // namespace coupling
}  // namespace fastinv
