// Matrix products of one input with one or several weights: out_i = in * W_i^T (+ bias), in a single fork.
#pragma once
#include <initializer_list>

#include "backend/device.h"
#include "tensor/weight.h"

namespace fastserve::ops {

// Room for an input's int8 form; sized by the workspace for its largest use.
struct QuantizeScratch {
  int8_t* values = nullptr;
  float* scales = nullptr;
  int32_t* sums = nullptr;
};

struct MatmulOutput {
  const Weight* weight;
  float* data;                   // [rows of input][stride]
  int64_t stride;                // in floats
  const Weight* bias = nullptr;  // vector, may be absent
  kernels::Epilogue epilogue = kernels::Epilogue::kStore;
};

// The input is quantised once if any of the weights wants it so on this device.
void matmul(const Device& device, const Rows& input, const QuantizeScratch& scratch,
            std::initializer_list<MatmulOutput> outputs);

// Whether a weight is computed from int8 activations on this device.
bool uses_quantized_input(const Device& device, const Weight& weight);

}  // namespace fastserve::ops
