// Products of few rows. A block computes one or two panels of sixteen weight rows; its eight warps take every eighth
// K-block and their sums are added in the order of the warps, whatever the number of rows: bits never depend on it.
// Weights are read once for up to 64 rows. Bound: bytes of the weights (about 4.5 bit to 16 bit for each), with
// activations from the second cache; a warp keeps kAhead K-blocks of loads in flight.
#pragma once
#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/panel_tiles.cuh"

namespace fastserve::kernels::cuda {

// The panels of a block.
template <int panels>
struct BlockPanels {
  const PanelOutput* output[panels];
  int64_t index[panels];  // panel of the output; < 0: none
};

template <int panels>
__device__ __forceinline__ BlockPanels<panels> find_panels(const PanelProduct& product, int64_t unit) {
  BlockPanels<panels> found;
  if (product.gates != 0) {
    for (int p = 0; p < panels; ++p) {
      found.output[p] = &product.outputs[p];
      found.index[p] = unit < product.outputs[0].panel_count ? product.outputs[0].first_panel + unit : -1;
    }
    return found;
  }
  int o = 0;
  for (; o + 1 < product.output_count; ++o) {
    const int64_t units = (product.outputs[o].panel_count + panels - 1) / panels;
    if (unit < units) break;
    unit -= units;
  }
  const PanelOutput& output = product.outputs[o];
  for (int p = 0; p < panels; ++p) {
    const int64_t panel = unit * panels + p;
    found.output[p] = &output;
    found.index[p] = panel < output.panel_count ? output.first_panel + panel : -1;
  }
  return found;
}

__device__ __forceinline__ void store_value(const PanelOutput& output, int64_t column, int64_t row, float value) {
  if (output.bias != nullptr) value += output.bias[column];
  float& target = output.output[row * output.stride + column];
  target = output.adds != 0 ? target + value : value;
}

// Adds the warps' sums of a tile in order and writes them: thread t has weight row t % 16, activation t / 16 % 8.
template <int panels>
__device__ __forceinline__ void finish_tile(const PanelProduct& product, const BlockPanels<panels>& where,
                                            const float* sums, int64_t row, int64_t row_end) {
  const int thread = static_cast<int>(threadIdx.x);
  const int p = thread / 128;
  if (p >= panels || row + thread / 16 % 8 >= row_end) return;
  row += thread / 16 % 8;
  float values[2] = {0.0f, 0.0f};
  for (int warp = 0; warp < kWarps; ++warp) values[0] += sums[warp * kPanelReduceFloats + thread];
  if (where.index[p] < 0) return;
  const PanelOutput& output = *where.output[p];
  const int64_t column = where.index[p] * kPanelRows + thread % 16;
  if (column >= output.rows) return;
  if (product.gates == 0) {
    store_value(output, column, row, values[0]);
    return;
  }
  if (p != 0) return;
  for (int warp = 0; warp < kWarps; ++warp) values[1] += sums[warp * kPanelReduceFloats + 128 + thread];
  for (int i = 0; i < 2; ++i) {
    if (product.outputs[i].bias != nullptr) values[i] += product.outputs[i].bias[column];
  }
  output.output[row * output.stride + column] = activate(product.activation, values[0]) * values[1];
}

// Activations of all rows into shared memory, made as prepare_rows makes them.
template <PackedLayout layout>
__device__ __forceinline__ ActivationRows fuse_rows(const PanelProduct& product, uint8_t* shared, float* room) {
  ActivationRows rows = product.rows;
  const int64_t cols = product.cols;
  rows.data = shared;
  rows.stride_bytes = fused_stride_bytes(layout, cols);
  RowSink sink;
  if constexpr (layout == PackedLayout::kBF16) {
    sink.rounded = reinterpret_cast<uint16_t*>(shared);
    sink.rounded_stride = rows.stride_bytes / 2;
  } else {
    sink.values = reinterpret_cast<int8_t*>(shared);
    sink.values_stride = rows.stride_bytes;
    sink.scales = reinterpret_cast<float*>(shared + rows.m * rows.stride_bytes);
    sink.scales_stride = (cols / kActivationBlock + 3) / 4 * 4;
    rows.scales = sink.scales;
    rows.scales_stride = sink.scales_stride;
  }
  const int64_t end = layout == PackedLayout::kBF16 ? (cols + 31) / 32 * 32 : cols;
  for (int64_t row = 0; row < rows.m; ++row) prepare_columns(product.source, sink, row, 0, row, 0, end, room);
  __syncthreads();
  return rows;
}

template <PackedLayout layout, int panels, int tiles>
__global__ void __launch_bounds__(kThreads) panel_kernel(FSV_GRID_CONSTANT PanelProduct product) {
  constexpr int kAhead = 4 / panels;
  auto* reduce = reinterpret_cast<float*>(shared_memory());
  float* room = reduce + kWarps * kPanelReduceFloats;
  BlockPanels<panels> where = find_panels<panels>(product, blockIdx.x);
  ActivationRows rows = product.rows;
  int64_t row_begin = static_cast<int64_t>(blockIdx.y) * 8 * tiles, expert = 0, output_row = row_begin;
  if (product.tiles != nullptr) {
    const ExpertTile tile = product.tiles[blockIdx.y];
    if (tile.count == 0) return;
    rows.data += tile.first * rows.stride_bytes;
    if (rows.scales != nullptr) rows.scales += tile.first * rows.scales_stride;
    rows.m = tile.count;
    expert = tile.expert;
    row_begin = 0;
    output_row = tile.first;
  }
  const int64_t row_end = output_row + (rows.m - row_begin);

  const uint8_t* data[panels];
  uint32_t tables[panels][4];
  FSV_UNROLL for (int p = 0; p < panels; ++p) {
    const PanelOutput& output = *where.output[p];
    const int64_t panel = where.index[p] < 0 ? where.index[0] : where.index[p];  // what is not wanted is not stored
    data[p] = output.data + (expert * ((output.rows + kPanelRows - 1) / kPanelRows) + panel) * output.panel_bytes;
    load_table<layout>(data[p], tables[p]);
  }

  const int blocks = (product.cols + kActivationBlock - 1) / kActivationBlock, warp = warp_index();
  RawBlock<layout> raw[kAhead][panels];
  FSV_UNROLL for (int i = 0; i < kAhead; ++i) {
    const int block = warp + i * kWarps;
    FSV_UNROLL for (int p = 0; p < panels; ++p) {
      if (block < blocks) load_block(raw[i][p], data[p], block, product.cols);
    }
  }
  if (product.fuses != 0) rows = fuse_rows<layout>(product, reinterpret_cast<uint8_t*>(room + kWarps), room);

  float acc[panels][tiles][4] = {};
  for (int base = warp; base < blocks; base += kWarps * kAhead) {
    FSV_UNROLL for (int i = 0; i < kAhead; ++i) {
      const int block = base + i * kWarps, next = block + kAhead * kWarps;
      if (block < blocks) {
        multiply_block<layout, panels, tiles>(raw[i], tables, rows, static_cast<int>(row_begin), block, acc);
      }
      FSV_UNROLL for (int p = 0; p < panels; ++p) {
        if (next < blocks) load_block(raw[i][p], data[p], next, product.cols);
      }
    }
  }

  const int g = lane_index() / 4, t = lane_index() % 4;
  FSV_UNROLL for (int tile = 0; tile < tiles; ++tile) {
    if (row_begin + 8 * tile >= rows.m) continue;
    float* mine = reduce + warp * kPanelReduceFloats;
    FSV_UNROLL for (int p = 0; p < panels; ++p) {
      FSV_UNROLL for (int i = 0; i < 4; ++i) { mine[p * 128 + (2 * t + i % 2) * 16 + 2 * g + i / 2] = acc[p][tile][i]; }
    }
    __syncthreads();
    finish_tile<panels>(product, where, reduce, output_row + 8 * tile, row_end);
    __syncthreads();
  }
}

template <PackedLayout layout, int panels, int tiles>
DeviceResult launch_panel_kernel(DeviceQueue* queue, const PanelProduct& product, DeviceMessage* message) {
  int64_t units = 0;
  for (int o = 0; o < product.output_count; ++o) units += divide_up(product.outputs[o].panel_count, panels);
  if (product.gates != 0) units = product.outputs[0].panel_count;
  size_t shared_bytes = (kWarps * kPanelReduceFloats + kWarps) * sizeof(float);
  if (product.fuses != 0) shared_bytes += static_cast<size_t>(fused_bytes(layout, product.cols, product.rows.m));
  const int64_t parts = product.tiles != nullptr ? product.tile_count : divide_up(product.rows.m, 8 * tiles);
  return launch(queue, "matmul of panels", panel_kernel<layout, panels, tiles>, Grid{units, parts}, shared_bytes,
                message, product);
}

template <PackedLayout layout>
DeviceResult launch_panels(DeviceQueue* queue, const PanelProduct& product, DeviceMessage* message) {
  const bool is_gated = product.gates != 0;
  const int64_t m = product.tiles != nullptr ? kFewRows : product.rows.m;
  if (m <= kFewRows) {
    return is_gated ? launch_panel_kernel<layout, 2, 1>(queue, product, message)
                    : launch_panel_kernel<layout, 1, 1>(queue, product, message);
  }
  return m <= 2 * kFewRows ? launch_panel_kernel<layout, 2, 2>(queue, product, message)
                           : launch_panel_kernel<layout, 2, 8>(queue, product, message);
}

}  // namespace fastserve::kernels::cuda
