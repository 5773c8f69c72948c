// Quantisation right behind another kernel: a chunk of a row is computed into a small buffer that stays in the first
// cache, and the table's own quantize_q8 takes it from there. So fused is unfused, bit for bit, by construction.
#pragma once
#include <cstdint>

#include "kernels/kernel_api.h"

namespace fastserve::kernels {

constexpr int64_t kQuantizeChunk = 512;  // columns; a multiple of kActivationBlock

// chunk[0..end - begin) becomes columns [begin, end) of a row of `output`.
[[maybe_unused]] static inline void quantize_columns(void (*quantize)(const QuantizeArgs*), const QuantizedRows& output,
                                                     const float* chunk, int64_t row, int64_t begin, int64_t end) {
  const int64_t first = row * output.cols + begin;
  QuantizedRows columns = {output.values + first, output.scales + first / kActivationBlock,
                           output.sums + first / kActivationBlock, end - begin};
  if (output.tile_scales != nullptr) {
    const int64_t at = quantized_tile_index(row, begin / kActivationBlock, output.cols / kActivationBlock);
    columns.tile_scales = output.tile_scales + at;
    columns.tile_sums = output.tile_sums + at;
  }
  const QuantizeArgs args = {chunk, end - begin, &columns, 0, 1};
  quantize(&args);
}

// The gated kernel's arguments for columns [begin, end) of one row, into a buffer.
[[maybe_unused]] static inline GatedArgs gated_columns(const GatedArgs& whole, int64_t row, int64_t begin, int64_t end,
                                                       float* buffer) {
  GatedArgs args = whole;
  args.gate = whole.gate + row * whole.gate_stride + begin;
  if (whole.up != nullptr) args.up = whole.up + row * whole.up_stride + begin;
  args.output = buffer;
  args.cols = end - begin;
  args.row_begin = 0;
  args.row_end = 1;
  return args;
}

}  // namespace fastserve::kernels
