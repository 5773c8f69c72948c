// Gated activations and add on Vec, for include after a vec16.h.
#pragma once
#include "kernels/cpu/fused_quantize.h"
#include "kernels/cpu/simd/simd_math.h"

namespace fastserve::kernels {
namespace {

template <Activation activation>
inline Vec activate(Vec x) {
  if constexpr (activation == Activation::kSilu) {
    return silu_of(x);
  } else if constexpr (activation == Activation::kGeluTanh) {
    return gelu_tanh_of(x);
  } else if constexpr (activation == Activation::kGeluErf) {
    return gelu_erf_of(x);
  } else {
    return max_of(zero(), x);  // NaN stays visible
  }
}

template <Activation activation>
void gated_row(const float* gate, const float* up, float* out, int64_t cols) {
  int64_t c = 0;
  for (; c + kLanes <= cols; c += kLanes) {
    const Vec activated = activate<activation>(load(gate + c));
    store(out + c, up != nullptr ? activated * load(up + c) : activated);
  }
  if (c < cols) {
    const int rest = static_cast<int>(cols - c);
    const Vec activated = activate<activation>(load_first(gate + c, rest));
    store_first(out + c, up != nullptr ? activated * load_first(up + c, rest) : activated, rest);
  }
}

inline void gated_rows(const GatedArgs& args) {
  for (int64_t row = args.row_begin; row < args.row_end; ++row) {
    const float* gate = args.gate + row * args.gate_stride;
    const float* up = args.up != nullptr ? args.up + row * args.up_stride : nullptr;
    float* out = args.output + row * args.output_stride;
    switch (args.activation) {
      case Activation::kSilu:
        gated_row<Activation::kSilu>(gate, up, out, args.cols);
        break;
      case Activation::kGeluTanh:
        gated_row<Activation::kGeluTanh>(gate, up, out, args.cols);
        break;
      case Activation::kGeluErf:
        gated_row<Activation::kGeluErf>(gate, up, out, args.cols);
        break;
      case Activation::kRelu:
        gated_row<Activation::kRelu>(gate, up, out, args.cols);
        break;
    }
  }
}

inline void gated_quantize_rows(const GatedQuantizeArgs& args, void (*quantize)(const QuantizeArgs*)) {
  const GatedArgs& whole = args.gated;
  for (int64_t row = whole.row_begin; row < whole.row_end; ++row) {
    for (int64_t c = 0; c < whole.cols; c += kQuantizeChunk) {
      const int64_t end = c + kQuantizeChunk < whole.cols ? c + kQuantizeChunk : whole.cols;
      float chunk[kQuantizeChunk];
      gated_rows(gated_columns(whole, row, c, end, chunk));
      quantize_columns(quantize, *args.quantized, chunk, row, c, end);
    }
  }
}

inline void add_all(const AddArgs& args) {
  int64_t i = 0;
  for (; i + kLanes <= args.count; i += kLanes) store(args.out + i, load(args.a + i) + load(args.b + i));
  if (i < args.count) {
    const int rest = static_cast<int>(args.count - i);
    store_first(args.out + i, load_first(args.a + i, rest) + load_first(args.b + i, rest), rest);
  }
}

}  // namespace
}  // namespace fastserve::kernels
