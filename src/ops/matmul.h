// Matrix products of one input with one or several weights: out_i = in * W_i^T (+ bias), in a single fork. The input
// may be plain rows, or be produced on the way: normalised, or gated (fused with its quantisation where that applies).
#pragma once
#include <cstdint>
#include <initializer_list>

#include "backend/device.h"
#include "tensor/weight.h"

namespace fastserve::ops {

// Room for a produced input: its floats, and its int8 and bf16 forms. Sized by the workspace for its largest use.
struct InputScratch {
  float* floats = nullptr;
  int8_t* values = nullptr;
  float* scales = nullptr;
  int32_t* sums = nullptr;
  float *tile_scales = nullptr, *tile_sums = nullptr;  // see kernels::QuantizedRows
  uint16_t* rounded = nullptr;                         // bf16, rows of bf16_stride(cols)
};
// Elements between rows of activations rounded to bf16.
constexpr int64_t bf16_stride(int64_t cols) { return (cols + 31) / 32 * 32; }

struct MatmulOutput {
  const Weight* weight;
  float* data;                   // [rows of input][stride]
  int64_t stride;                // in floats
  const Weight* bias = nullptr;  // vector, may be absent
  kernels::Epilogue epilogue = kernels::Epilogue::kStore;
  int64_t panel_begin = 0, panel_end = INT64_MAX;  // of the weight's 16-row panels: the columns of `data` to compute
  // Of logits: the largest of each kernels::kLogitBlock columns as kernels::BlockMaxArgs has it, taken while they are
  // near; null: not wanted. The panels then begin at whole blocks.
  float* block_max = nullptr;
  int64_t block_max_stride = 0;
};
using MatmulOutputs = std::initializer_list<MatmulOutput>;

// The input is quantised (rounded) once if any of the weights wants it so on this device.
void matmul(const Device& device, const Rows& input, const InputScratch& scratch, MatmulOutputs outputs);

// An RMS norm, or with a bias a layer norm.
struct NormSpec {
  const Weight* weight = nullptr;
  float eps = 0;
  float weight_offset = 0;  // of an RMS norm
  const Weight* bias = nullptr;
};
// matmul of norm(input).
void matmul_normed(const Device& device, const Rows& input, const NormSpec& norm, const InputScratch& scratch,
                   MatmulOutputs outputs);
// gate.data = activation(norm(input) * gate^T) * (norm(input) * up^T), in one pass over both weights. Of a device: a
// CPU gates while it quantises for the next product (matmul_gated). What lies at up.data is lost.
void matmul_normed_gating(const Device& device, const Rows& input, const NormSpec& norm, const MatmulOutput& gate,
                          const MatmulOutput& up, kernels::Activation activation);
// matmul of activation(gate) * up.
void matmul_gated(const Device& device, const Rows& gate, const Rows* up, kernels::Activation activation,
                  const InputScratch& scratch, MatmulOutputs outputs);

// Whether a weight is computed from int8 activations on this device, or from activations rounded to bf16.
bool uses_quantized_input(const Device& device, const Weight& weight);
bool uses_rounded_input(const Device& device, const Weight& weight);

}  // namespace fastserve::ops
