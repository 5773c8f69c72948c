// Products of many rows: 128 weight rows by 128 activation rows in a block, a warp has two panels by 64 rows. Weights
// go from memory into fragments as they lie; activations pass through shared memory, copied two stages ahead of their
// use. Bound: tensor cores, for int8 the float additions behind every K-block (12 instructions for 4096 products).
#pragma once
#include "kernels/cuda/panel_kernel.cuh"

namespace fastserve::kernels::cuda {

constexpr int kTileRows = 128;                                   // activations
constexpr int kTilePairs = 4;                                    // of panels
constexpr int kStageRowBytes = 128;                              // of a row's activations
constexpr int kStageStride = kStageRowBytes + 16;                // rows do not share banks
constexpr int kStageScales = kStageRowBytes / kActivationBlock;  // of a row, int8
constexpr int kStageBytes = kTileRows * (kStageStride + kStageScales * 4);
constexpr int kTilesOfWarp = 8;

template <PackedLayout layout>
__device__ __forceinline__ void copy_stage(const PanelProduct& product, int64_t row_begin, int chunk, uint8_t* stage) {
  const ActivationRows& rows = product.rows;
  constexpr bool kBytes = layout != PackedLayout::kBF16;
  const int64_t row_bytes = kBytes ? product.cols : (static_cast<int64_t>(product.cols) + 31) / 32 * 64;
  constexpr int kParts = kStageRowBytes / 16;
  for (int i = static_cast<int>(threadIdx.x); i < kTileRows * kParts; i += kThreads) {
    const int row = i / kParts;
    const int64_t offset = static_cast<int64_t>(chunk) * kStageRowBytes + i % kParts * 16;
    const bool valid = row_begin + row < rows.m && offset < row_bytes;
    const uint8_t* source = valid ? rows.data + (row_begin + row) * rows.stride_bytes + offset : rows.data;
    copy_async(stage + row * kStageStride + i % kParts * 16, source, valid);
  }
  if constexpr (kBytes) {
    auto* scales = reinterpret_cast<float*>(stage + kTileRows * kStageStride);
    for (int i = static_cast<int>(threadIdx.x); i < kTileRows * kStageScales; i += kThreads) {
      const int64_t row = row_begin + i / kStageScales;
      const int block = chunk * kStageScales + i % kStageScales;
      const bool valid = row < rows.m && block * kActivationBlock < product.cols;
      scales[i] = valid ? rows.scales[row * rows.scales_stride + block] : 0.0f;
    }
  }
  copy_async_commit();
}

__device__ __forceinline__ void store_tiles(const PanelProduct& product, const BlockPanels<2>& where, int64_t row,
                                            const float (&acc)[2][kTilesOfWarp][4]) {
  const int g = lane_index() / 4, t = lane_index() % 4;
  FSV_UNROLL for (int tile = 0; tile < kTilesOfWarp; ++tile) {
    FSV_UNROLL for (int i = 0; i < 4; ++i) {
      const int64_t target = row + 8 * tile + 2 * t + i % 2;
      if (target >= product.rows.m) continue;
      FSV_UNROLL for (int p = 0; p < 2; ++p) {
        const PanelOutput& output = *where.output[p];
        const int64_t column = where.index[p] * kPanelRows + 2 * g + i / 2;
        if (where.index[p] < 0 || column >= output.rows || (product.gates != 0 && p == 1)) continue;
        if (product.gates == 0) {
          store_value(output, column, target, acc[p][tile][i]);
          continue;
        }
        const float* biases[2] = {product.outputs[0].bias, product.outputs[1].bias};
        const float gate = acc[0][tile][i] + (biases[0] != nullptr ? biases[0][column] : 0.0f);
        const float up = acc[1][tile][i] + (biases[1] != nullptr ? biases[1][column] : 0.0f);
        output.output[target * output.stride + column] = activate(product.activation, gate) * up;
      }
    }
  }
}

template <PackedLayout layout>
__global__ void __launch_bounds__(kThreads) tile_kernel(FSV_GRID_CONSTANT PanelProduct product) {
  constexpr int kStageBlocks = layout == PackedLayout::kBF16 ? 2 : kStageScales;
  uint8_t* shared = shared_memory();
  const int pair = warp_index() % kTilePairs, half = warp_index() / kTilePairs;
  const int64_t row_begin = static_cast<int64_t>(blockIdx.y) * kTileRows;
  const BlockPanels<2> where = find_panels<2>(product, static_cast<int64_t>(blockIdx.x) * kTilePairs + pair);
  const bool works = where.index[0] >= 0;  // the last block may have fewer pairs
  const uint8_t* data[2];
  uint32_t tables[2][4];
  FSV_UNROLL for (int p = 0; p < 2; ++p) {
    const int64_t panel = where.index[p] >= 0 ? where.index[p] : where.index[0];
    data[p] = where.output[p]->data + (works ? panel : 0) * where.output[p]->panel_bytes;
    load_table<layout>(data[p], tables[p]);
  }
  const int blocks = (product.cols + kActivationBlock - 1) / kActivationBlock;
  const int chunks = (blocks + kStageBlocks - 1) / kStageBlocks;
  RawBlock<layout> raw[2], next[2];
  FSV_UNROLL for (int p = 0; p < 2; ++p) load_block(next[p], data[p], 0, product.cols);
  float acc[2][kTilesOfWarp][4] = {};
  copy_stage<layout>(product, row_begin, 0, shared);
  for (int chunk = 0; chunk < chunks; ++chunk) {
    uint8_t* stage = shared + chunk % 2 * kStageBytes;
    if (chunk + 1 < chunks) {
      copy_stage<layout>(product, row_begin, chunk + 1, shared + (chunk + 1) % 2 * kStageBytes);
      copy_async_wait<1>();
    } else {
      copy_async_wait<0>();
    }
    __syncthreads();
    const int64_t rows_left = product.rows.m - row_begin;
    const ActivationRows rows = {stage, kStageStride, reinterpret_cast<const float*>(stage + kTileRows * kStageStride),
                                 kStageScales, rows_left < kTileRows ? static_cast<int32_t>(rows_left) : kTileRows};
    for (int i = 0; i < kStageBlocks; ++i) {
      const int block = chunk * kStageBlocks + i;
      if (block >= blocks) break;
      FSV_UNROLL for (int p = 0; p < 2; ++p) {
        raw[p] = next[p];
        if (block + 1 < blocks) load_block(next[p], data[p], block + 1, product.cols);
      }
      if (works) multiply_block<layout, 2, kTilesOfWarp>(raw, tables, rows, half * 64, i, acc);
    }
    __syncthreads();
  }
  if (works) store_tiles(product, where, row_begin + half * 64, acc);
}

template <PackedLayout layout>
DeviceResult launch_tiles(DeviceQueue* queue, const PanelProduct& product, DeviceMessage* message) {
  int64_t pairs = 0;
  for (int o = 0; o < product.output_count; ++o) pairs += divide_up(product.outputs[o].panel_count, 2);
  if (product.gates != 0) pairs = product.outputs[0].panel_count;
  const Grid grid = {divide_up(pairs, kTilePairs), divide_up(product.rows.m, kTileRows)};
  return launch(queue, "matmul of tiles", tile_kernel<layout>, grid, 2 * kStageBytes, message, product);
}

#define FSV_INSTANTIATE_PANELS(layout)                                                                          \
  template DeviceResult launch_panels<PackedLayout::layout>(DeviceQueue*, const PanelProduct&, DeviceMessage*); \
  template DeviceResult launch_tiles<PackedLayout::layout>(DeviceQueue*, const PanelProduct&, DeviceMessage*);

}  // namespace fastserve::kernels::cuda
