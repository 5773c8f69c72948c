// Gated activations of MLPs, act(gate) * up, and the sum of two vectors.
#include <cmath>

#include "kernels/cpu/cpu_kernels.h"
#include "kernels/cpu/fused_quantize.h"

namespace fastserve::kernels::reference {
namespace {

float activate(Activation activation, float x) {
  switch (activation) {
    case Activation::kSilu:
      return x / (1.0f + std::exp(-x));
    case Activation::kGeluTanh:
      return 0.5f * x * (1.0f + std::tanh(0.7978845608f * (x + 0.044715f * x * x * x)));
    case Activation::kGeluErf:
      return 0.5f * x * (1.0f + std::erf(x * 0.70710678118f));
    case Activation::kRelu:
      return x > 0.0f || x != x ? x : 0.0f;  // NaN stays visible
  }
  return x;
}

}  // namespace

void gated(const GatedArgs* args) {
  for (int64_t row = args->row_begin; row < args->row_end; ++row) {
    const float* gate = args->gate + row * args->gate_stride;
    const float* up = args->up != nullptr ? args->up + row * args->up_stride : nullptr;
    float* out = args->output + row * args->output_stride;
    for (int64_t c = 0; c < args->cols; ++c) {
      const float activated = activate(args->activation, gate[c]);
      out[c] = up != nullptr ? activated * up[c] : activated;
    }
  }
}

void gated_quantize(const GatedQuantizeArgs* args) {
  const GatedArgs& whole = args->gated;
  for (int64_t row = whole.row_begin; row < whole.row_end; ++row) {
    for (int64_t c = 0; c < whole.cols; c += kQuantizeChunk) {
      const int64_t end = c + kQuantizeChunk < whole.cols ? c + kQuantizeChunk : whole.cols;
      float chunk[kQuantizeChunk];
      const GatedArgs part = gated_columns(whole, row, c, end, chunk);
      gated(&part);
      quantize_columns(quantize_q8, *args->quantized, chunk, row, c, end);
    }
  }
}

void add(const AddArgs* args) {
  for (int64_t i = 0; i < args->count; ++i) args->out[i] = args->a[i] + args->b[i];
}

}  // namespace fastserve::kernels::reference
