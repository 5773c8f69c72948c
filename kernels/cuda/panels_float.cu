// Products of float activations with weights of any layout: f32 and f16 at the speed of memory, quantised ones as an
// oracle. A lane has four weight rows at one of eight columns; warps take every eighth run of eight columns.
#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/panel_kernel.cuh"

namespace fastserve::kernels::cuda {
namespace {

template <PackedLayout layout>
__device__ __forceinline__ float4 four_rows(const uint8_t* panel, int64_t k, int quad) {
  if constexpr (layout == PackedLayout::kF32) {
    return *reinterpret_cast<const float4*>(panel + (k * kPanelRows + 4 * quad) * 4);
  } else if constexpr (layout == PackedLayout::kF16) {
    const uint2 words = load_weights(reinterpret_cast<const uint2*>(panel + (k * kPanelRows + 4 * quad) * 2));
    return make_float4(
        half_bits_to_float(static_cast<uint16_t>(words.x)), half_bits_to_float(static_cast<uint16_t>(words.x >> 16)),
        half_bits_to_float(static_cast<uint16_t>(words.y)), half_bits_to_float(static_cast<uint16_t>(words.y >> 16)));
  } else {
    return make_float4(panel_value<layout>(panel, k, 4 * quad), panel_value<layout>(panel, k, 4 * quad + 1),
                       panel_value<layout>(panel, k, 4 * quad + 2), panel_value<layout>(panel, k, 4 * quad + 3));
  }
}

template <PackedLayout layout, int rows_max>
__global__ void __launch_bounds__(kThreads) float_kernel(FSV_GRID_CONSTANT PanelProduct product) {
  auto* reduce = reinterpret_cast<float*>(shared_memory());  // [warp][row][16]
  const BlockPanels<1> where = find_panels<1>(product, blockIdx.x);
  const PanelOutput& output = *where.output[0];
  int64_t row_begin = static_cast<int64_t>(blockIdx.y) * rows_max, row_end = product.rows.m, expert = 0;
  if (product.tiles != nullptr) {
    const ExpertTile tile = product.tiles[blockIdx.y];
    if (tile.count == 0) return;
    row_begin = tile.first;
    row_end = tile.first + tile.count;
    expert = tile.expert;
  }
  const uint8_t* panel =
      output.data + (expert * ((output.rows + kPanelRows - 1) / kPanelRows) + where.index[0]) * output.panel_bytes;
  const int column = lane_index() / 4, quad = lane_index() % 4;
  float acc[rows_max][4] = {};
  for (int64_t k = warp_index() * 8 + column; k < product.cols; k += 8 * kWarps) {
    const float4 w = four_rows<layout>(panel, k, quad);
    FSV_UNROLL for (int i = 0; i < rows_max; ++i) {
      const float x = row_begin + i < row_end ? product.float_rows[(row_begin + i) * product.float_stride + k] : 0.0f;
      acc[i][0] = fmaf(w.x, x, acc[i][0]);
      acc[i][1] = fmaf(w.y, x, acc[i][1]);
      acc[i][2] = fmaf(w.z, x, acc[i][2]);
      acc[i][3] = fmaf(w.w, x, acc[i][3]);
    }
  }
  FSV_UNROLL for (int i = 0; i < rows_max; ++i) {
    FSV_UNROLL for (int r = 0; r < 4; ++r) {
      float sum = acc[i][r];
      for (int step = 4; step < kWarp; step *= 2) sum += __shfl_xor_sync(kAllLanes, sum, step);
      if (column == 0) reduce[(warp_index() * rows_max + i) * 16 + 4 * quad + r] = sum;
    }
  }
  __syncthreads();
  const int thread = static_cast<int>(threadIdx.x);
  const int64_t row = row_begin + thread / 16, target = where.index[0] * kPanelRows + thread % 16;
  if (thread >= 16 * rows_max || row >= row_end || target >= output.rows) return;
  float value = 0.0f;
  for (int warp = 0; warp < kWarps; ++warp) value += reduce[warp * rows_max * 16 + thread];
  store_value(output, target, row, value);
}

}  // namespace

DeviceResult launch_float_panels(DeviceQueue* queue, PackedLayout layout, const PanelProduct& product,
                                 DeviceMessage* message) {
  int64_t units = 0;
  for (int o = 0; o < product.output_count; ++o) units += product.outputs[o].panel_count;
  const bool has_one = product.tiles == nullptr && product.rows.m == 1;
  const int rows_max = has_one ? 1 : kFewRows;
  const Grid grid = {units, product.tiles != nullptr ? product.tile_count : divide_up(product.rows.m, rows_max)};
  const size_t shared_bytes = static_cast<size_t>(kWarps * rows_max * 16) * sizeof(float);
  return with_layout(
      layout,
      [&](auto tag) {
        constexpr PackedLayout kLayout = decltype(tag)::layout;
        return has_one
                   ? launch(queue, "matmul of floats", float_kernel<kLayout, 1>, grid, shared_bytes, message, product)
                   : launch(queue, "matmul of floats", float_kernel<kLayout, kFewRows>, grid, shared_bytes, message,
                            product);
      },
      DeviceResult::kInvalid);
}

}  // namespace fastserve::kernels::cuda
