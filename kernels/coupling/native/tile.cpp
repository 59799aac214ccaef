// The hot loops of sampling: the inverse of a coupling flow for a few rows, from the first layer to the last.
//
// Compiled for AVX-512, and once more with FASTINV_BF16 for CPUs that multiply bfloat16.
#include <math.h>

#include "coupling/native/elements.hpp"

namespace fastinv {
namespace FASTINV_ISA {
namespace {

using namespace coupling;

// Rows a[0 ... kRows) times a panel of N vectors of columns, in registers from the bias to the activation.
template <int N, class Act, class Out>
FASTINV_INLINE void product(const Element* a, std::size_t steps, const Step* panel, const float* bias, Out* out,
                            std::size_t stride) {
  V sum[kRows][N];
#pragma GCC unroll 6
  for (std::size_t r = 0; r < kRows; ++r)
#pragma GCC unroll 4
    for (int n = 0; n < N; ++n) sum[r][n] = _mm512_load_ps(bias + n * kLanes);
  const Step* rows[kRows];
  for (std::size_t r = 0; r < kRows; ++r) rows[r] = reinterpret_cast<const Step*>(a) + r * steps;
  for (std::size_t k = 0; k < steps; ++k, panel += N * kLanes)
#pragma GCC unroll 6
    for (std::size_t r = 0; r < kRows; ++r)
#pragma GCC unroll 4
      for (int n = 0; n < N; ++n) sum[r][n] = multiply_add(sum[r][n], rows[r][k], panel + n * kLanes);
#pragma GCC unroll 6
  for (std::size_t r = 0; r < kRows; ++r)
#pragma GCC unroll 4
    for (int n = 0; n < N; ++n) store(out + r * stride + n * kLanes, Act::of(sum[r][n]));
}

template <class Act, class Out>
void layer(const Layer& layer, const Element* in, Out* out, std::size_t rows) {
  const std::size_t steps = layer.inputs / kPerStep, vectors = layer.outputs / kLanes;
  const Step* panel = static_cast<const Step*>(layer.weights);
  std::size_t column = 0;
  for (std::size_t p = 0; p < panels(vectors); ++p) {
    const std::size_t width = panel_width(vectors, p);
    for (std::size_t row = 0; row < rows; row += kRows) {
      const Element* a = in + row * layer.inputs;
      const float* bias = layer.bias + column;
      Out* to = out + row * layer.outputs + column;
      switch (width) {
        case 1: product<1, Act>(a, steps, panel, bias, to, layer.outputs); break;
        case 2: product<2, Act>(a, steps, panel, bias, to, layer.outputs); break;
        case 3: product<3, Act>(a, steps, panel, bias, to, layer.outputs); break;
        default: product<4, Act>(a, steps, panel, bias, to, layer.outputs);
      }
    }
    panel += steps * width * kLanes;
    column += width * kLanes;
  }
}

// Coordinates stay in float32 here: rounded to eight bits they would move every sample by as much.
template <class Act>
void first_layer(const Layer& layer, const float* in, Element* out, std::size_t rows) {
  const float* weights = static_cast<const float*>(layer.weights);
  for (std::size_t row = 0; row < rows; ++row, in += layer.inputs, out += layer.outputs)
    for (std::size_t column = 0; column < layer.outputs; column += kLanes) {
      V sum = _mm512_load_ps(layer.bias + column);
      for (std::size_t k = 0; k < layer.inputs; ++k)
        sum = _mm512_fmadd_ps(splat(in[k]), _mm512_load_ps(weights + k * layer.outputs + column), sum);
      store(out + column, Act::of(sum));
    }
}

struct Scratch {
  float* inputs;    // of a network
  Element* one;     // of a layer
  Element* other;   // of the next
  float* outputs;   // of the network
};

// in: (rows, inputs of the first layer); scratch.outputs: (rows, padded outputs of the last one)
template <class Act>
void run(const Net& net, std::size_t rows, Scratch scratch) {
  first_layer<Act>(net.layers[0], scratch.inputs, scratch.one, rows);
  for (std::size_t i = 1; i + 1 < net.count; ++i) {
    layer<Act>(net.layers[i], scratch.one, scratch.other, rows);
    Element* const last = scratch.one;
    scratch.one = scratch.other, scratch.other = last;
  }
  layer<Identity>(net.layers[net.count - 1], scratch.one, scratch.outputs, rows);
}

// Columns [at, at + size) of x become (x - shift) exp(-clamped scale), given the others in [from, from + given).
template <class Act>
void invert_half(const Flow& flow, const Net& net, float* x, const float* c, std::size_t rows, std::size_t given_at,
                 std::size_t given, std::size_t at, std::size_t size, const Scratch& scratch) {
  float* in = scratch.inputs;
  for (std::size_t r = 0; r < rows; ++r) {
    for (std::size_t i = 0; i < given; ++i) *in++ = x[r * flow.dim + given_at + i];
    for (std::size_t i = 0; i < flow.dim_c; ++i) *in++ = c[r * flow.dim_c + i];
  }
  run<Act>(net, rows, scratch);
  const std::size_t stride = net.layers[net.count - 1].outputs;
  const float outer = 2.0f * flow.clamp / 3.14159265f, inner = 1.0f / outer;
  for (std::size_t r = 0; r < rows; ++r) {
    const float* scale = scratch.outputs + r * stride;
    for (std::size_t i = 0; i < size; ++i) {
      float& value = x[r * flow.dim + at + i];
      value = (value - scale[size + i]) * expf(-outer * atanf(scale[i] * inner));
    }
  }
}

template <class Act>
void invert(const Flow& flow, float* x, const float* c, std::size_t rows, const Scratch& scratch) {
  const std::size_t d = flow.dim, a = d / 2, b = d - a;
  for (std::size_t i = flow.count; i-- > 0;) {
    const Block& block = flow.blocks[i];
    invert_half<Act>(flow, block.net_b, x, c, rows, 0, a, a, b, scratch);
    invert_half<Act>(flow, block.net_a, x, c, rows, a, b, 0, a, scratch);
    for (std::size_t r = 0; r < rows; ++r) {
      float mixed[kMaxDim];
      for (std::size_t j = 0; j < d; ++j) {
        float sum = 0.0f;
        for (std::size_t k = 0; k < d; ++k) sum += x[r * d + k] * block.mixing[k * d + j];
        mixed[j] = sum;
      }
      for (std::size_t j = 0; j < d; ++j) x[r * d + j] = mixed[j];
    }
  }
}

}  // namespace

void invert_tile(const Flow& flow, const float* z, const float* c, float* out, std::size_t rows, void* memory) {
  const std::size_t padded = (rows + kRows - 1) / kRows * kRows;
  // Buffers begin at whole vectors. Rows of the padding are computed from zeros and dropped.
  float* const x = static_cast<float*>(memory);
  float* const condition = x + padded * kLanes * ((flow.dim + kLanes - 1) / kLanes);
  float* const inputs = condition + padded * kLanes * ((flow.dim_c + kLanes - 1) / kLanes);
  Scratch scratch{inputs, nullptr, nullptr, nullptr};
  scratch.one = reinterpret_cast<Element*>(inputs + padded * kMaxInputs);
  scratch.other = scratch.one + padded * flow.widest;
  scratch.outputs = reinterpret_cast<float*>(scratch.other + padded * flow.widest);
  for (std::size_t i = 0; i < padded * flow.dim; ++i) x[i] = i < rows * flow.dim ? z[i] : 0.0f;
  for (std::size_t i = 0; i < padded * flow.dim_c; ++i) condition[i] = i < rows * flow.dim_c ? c[i] : 0.0f;
  if (flow.activation == Activation::relu)
    invert<Relu>(flow, x, condition, padded, scratch);
  else
    invert<Silu>(flow, x, condition, padded, scratch);
  for (std::size_t i = 0; i < rows * flow.dim; ++i) out[i] = x[i];
}

}  // namespace FASTINV_ISA
}  // namespace fastinv
