// What a product of packed panels is, for the kernels that compute it and for those who launch them.
#pragma once
#include "kernels/cuda/row_forms.cuh"
#include "kernels/device_kernels.h"
#include "kernels/packed_layout.h"

namespace fastserve::kernels::cuda {

// Activations as products read them, in global or shared memory.
struct ActivationRows {
  const uint8_t* data;  // int8 or bf16
  int64_t stride_bytes;
  const float* scales;  // [row][scales_stride]; int8 alone
  int64_t scales_stride;
  int32_t m;
};

// One weight. Panels [first_panel, first_panel + panel_count) are computed.
struct PanelOutput {
  const uint8_t* data;
  int64_t panel_bytes;
  int64_t rows;
  int64_t first_panel, panel_count;
  float* output;
  int64_t stride;
  const float* bias;
  int32_t adds;
};

// Rows [first, first + count) of the activations go through one expert of stacked weights.
struct ExpertTile {
  int32_t expert, first, count, reserved;
};

struct PanelProduct {
  PanelOutput outputs[kDeviceOutputsMax];
  int32_t output_count;
  int32_t gates;  // outputs[0] = activation(outputs[0]) * outputs[1]
  Activation activation;
  int32_t cols;
  ActivationRows rows;
  const float* float_rows;  // for products of floats: [m][float_stride]
  int64_t float_stride;
  // Not null: as many tiles as tile_count, in place of all rows. Each is at most what a kernel takes at once.
  const ExpertTile* tiles;
  int32_t tile_count;
  int32_t fuses;     // rows are made from `source` by every block, in shared memory
  RowSource source;  // of row 0
};

constexpr int kPanelReduceFloats = 2 * 128;  // of a warp
// Rows of activations in shared memory do not share banks.
__host__ __device__ constexpr int64_t fused_stride_bytes(PackedLayout layout, int64_t cols) {
  return (layout == PackedLayout::kBF16 ? (cols + 31) / 32 * 64 : cols) + 16;
}
constexpr int64_t fused_bytes(PackedLayout layout, int64_t cols, int64_t m) {
  return m * (fused_stride_bytes(layout, cols) + (layout == PackedLayout::kBF16 ? 0 : (cols / 32 + 3) / 4 * 16));
}
constexpr int kFewRows = 8;        // one tile of eight columns of B
constexpr int kPanelRowsMax = 64;  // more go through the tiled kernel, or in parts
constexpr int64_t kFusedBytesMax = 40 * 1024;

// Weights of one layout, int8 or bf16 activations; any number of rows, in one order of reduction.
template <PackedLayout layout>
DeviceResult launch_panels(DeviceQueue* queue, const PanelProduct& product, DeviceMessage* message);
// The same for many rows at once: faster, in another order.
template <PackedLayout layout>
DeviceResult launch_tiles(DeviceQueue* queue, const PanelProduct& product, DeviceMessage* message);
// Float activations, any layout.
DeviceResult launch_float_panels(DeviceQueue* queue, PackedLayout layout, const PanelProduct& product,
                                 DeviceMessage* message);

// The form of the input that a layout is multiplied with.
enum class Form { kFloats, kBytes, kRounded };
inline Form form_of(PackedLayout layout, uint32_t flags) {
  if ((flags & kDeviceExact) != 0) return Form::kFloats;
  if (layout == PackedLayout::kBF16) return Form::kRounded;
  return layout_shape(layout).group_blocks == 0 ? Form::kFloats : Form::kBytes;
}
constexpr int64_t rounded_stride(int64_t cols) { return (cols + 31) / 32 * 32; }

// The kernels for a product whose rows lie ready in the form that `layout` wants.
DeviceResult run_product(DeviceQueue* queue, PackedLayout layout, const PanelProduct& product, uint32_t flags,
                         DeviceMessage* message);

}  // namespace fastserve::kernels::cuda
