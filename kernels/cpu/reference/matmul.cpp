// Matrix kernels in portable C++, any layout: the definition of the arithmetic in kernel_api.h, and the fallback.
#include "kernels/cpu/cpu_kernels.h"
#include "kernels/cpu/reference/panel_reader.h"

namespace fastserve::kernels::reference {
namespace {

constexpr int kTileRows = 64;  // activation rows that share one unpacking of a K-block, the slow part

void store_row(const MatmulArgs& args, int64_t i, int64_t panel, const float* acc) {
  const int64_t row_begin = panel * kPanelRows;
  const int64_t left = args.weights->rows - row_begin;
  const int64_t count = left < kPanelRows ? left : kPanelRows;
  float* out = args.output + i * args.output_stride + row_begin;
  for (int64_t row = 0; row < count; ++row) {
    float value = acc[row];
    if (args.bias != nullptr) value += args.bias[row_begin + row];
    out[row] = args.epilogue == Epilogue::kAdd ? out[row] + value : value;
  }
}

// One K-block of one activation row into acc[16].
void accumulate_q8(const LayoutShape& shape, const ScalarBlock& block, const int8_t* values, float a_scale,
                   float* acc) {
  const int part_cols = kActivationBlock / shape.scale_parts;
  for (int part = 0; part < shape.scale_parts; ++part) {
    int32_t sums[kPanelRows] = {};
    int32_t a_sum = 0;
    for (int k = part * part_cols; k < (part + 1) * part_cols; ++k) {
      const int32_t a = values[k];
      a_sum += a;
      for (int row = 0; row < kPanelRows; ++row) sums[row] += block.quants[k][row] * a;
    }
    const float scaled_sum = a_scale * static_cast<float>(a_sum);
    for (int row = 0; row < kPanelRows; ++row) {
      acc[row] = __builtin_fmaf(static_cast<float>(sums[row]), block.scales[part][row] * a_scale, acc[row]);
      if (shape.has_min) acc[row] = __builtin_fmaf(block.mins[part][row], scaled_sum, acc[row]);
    }
  }
}

void tile_q8(const MatmulArgs& args, int64_t panel, int64_t row_begin, int count) {
  const PackedMatrix& w = *args.weights;
  const QuantizedRows& a = *args.input_q8;
  const LayoutShape shape = layout_shape(w.layout);
  const uint8_t* data = w.data + panel * w.panel_bytes;
  const int64_t blocks = w.cols / kActivationBlock;
  float acc[kTileRows][kPanelRows] = {};
  ScalarBlock block;
  for (int64_t b = 0; b < blocks; ++b) {
    read_block(w.layout, data, b, &block);
    for (int i = 0; i < count; ++i) {
      const int64_t row = row_begin + i;
      accumulate_q8(shape, block, a.values + row * a.cols + b * kActivationBlock, a.scales[row * blocks + b], acc[i]);
    }
  }
  for (int i = 0; i < count; ++i) store_row(args, row_begin + i, panel, acc[i]);
}

void tile_f32(const MatmulArgs& args, int64_t panel, int64_t row_begin, int count) {
  const PackedMatrix& w = *args.weights;
  const uint8_t* data = w.data + panel * w.panel_bytes;
  double total[kTileRows][kPanelRows] = {};
  float values[kActivationBlock][kPanelRows];
  for (int64_t k0 = 0; k0 < w.cols; k0 += kActivationBlock) {
    const int64_t left = w.cols - k0;
    const int cols = static_cast<int>(left < kActivationBlock ? left : kActivationBlock);
    read_values(w.layout, data, k0 / kActivationBlock, cols, values);
    for (int i = 0; i < count; ++i) {
      const float* x = args.input + (row_begin + i) * args.input_stride + k0;
      float part[kPanelRows] = {};
      for (int k = 0; k < cols; ++k) {
        for (int row = 0; row < kPanelRows; ++row) part[row] += values[k][row] * x[k];
      }
      for (int row = 0; row < kPanelRows; ++row) total[i][row] += static_cast<double>(part[row]);
    }
  }
  for (int i = 0; i < count; ++i) {
    float acc[kPanelRows];
    for (int row = 0; row < kPanelRows; ++row) acc[row] = static_cast<float>(total[i][row]);
    store_row(args, row_begin + i, panel, acc);
  }
}

using TileFn = void (*)(const MatmulArgs&, int64_t, int64_t, int);

void for_tiles(const MatmulArgs& args, TileFn tile) {
  for (int64_t panel = args.panel_begin; panel < args.panel_end; ++panel) {
    for (int64_t row = 0; row < args.m; row += kTileRows) {
      const int64_t left = args.m - row;
      tile(args, panel, row, static_cast<int>(left < kTileRows ? left : kTileRows));
    }
  }
}

}  // namespace

void matmul_q8(const MatmulArgs* args) { for_tiles(*args, tile_q8); }

void matmul_f32(const MatmulArgs* args) { for_tiles(*args, tile_f32); }

}  // namespace fastserve::kernels::reference
