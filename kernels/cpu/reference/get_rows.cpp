// Rows of a packed matrix back to float, any layout: bit for bit what dequantize_row gives, times scale.
#include "kernels/cpu/cpu_kernels.h"
#include "kernels/cpu/reference/panel_reader.h"

namespace fastserve::kernels::reference {
namespace {

void quantized_row(const PackedMatrix& w, const uint8_t* panel, int row, float multiplier, float* out) {
  const LayoutShape shape = layout_shape(w.layout);
  const int part_cols = kActivationBlock / shape.scale_parts;
  for (int64_t block = 0; block < w.cols / kActivationBlock; ++block) {
    const uint8_t* group = group_of(shape, panel, block);
    const int sub = static_cast<int>(block % shape.group_blocks);
    const uint8_t* quants = group + shape.quants_offset + sub * shape.block_bytes;
    for (int part = 0; part < shape.scale_parts; ++part) {
      float scale, min;
      read_scale(w.layout, group, sub, part, row, &scale, &min);
      for (int k = part * part_cols; k < (part + 1) * part_cols; ++k) {
        const float q = static_cast<float>(read_quant(shape, w.layout, panel, quants, k, row));
        const float value = shape.has_min ? scale * q + min : scale * q;
        out[block * kActivationBlock + k] = value * multiplier;
      }
    }
  }
}

}  // namespace

void get_rows(const GetRowsArgs* args) {
  const PackedMatrix& w = *args->weights;
  for (int64_t i = 0; i < args->count; ++i) {
    const int64_t id = args->row_ids[i];
    const uint8_t* panel = w.data + id / kPanelRows * w.panel_bytes;
    const int row = static_cast<int>(id % kPanelRows);
    float* out = args->output + i * args->output_stride;
    if (layout_shape(w.layout).group_blocks == 0) {
      for (int64_t k = 0; k < w.cols; ++k) out[k] = read_float(w.layout, panel, k, row) * args->scale;
    } else {
      quantized_row(w, panel, row, args->scale, out);
    }
  }
}

}  // namespace fastserve::kernels::reference
