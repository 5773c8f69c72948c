// Activation rows regrouped for the int8 matrix kernels: the rows of a tile side by side, K-block by K-block, with what
// a layout subtracts or adds for them computed once. A tile lies on the stack; kernels reread it for every panel.
#pragma once
#include <cstdint>
#include <cstring>

#include "kernels/packed_layout.h"

namespace fastserve::kernels {

constexpr int kTileRowsMax = 16;
constexpr int kTileBlocks = 32;  // K-blocks of a tile (1024 columns); longer rows take several, in order

struct ActivationTile {
  alignas(64) int8_t values[kTileBlocks * kTileRowsMax * kActivationBlock];  // [block][row][32]
  float scales[kTileBlocks * kTileRowsMax];                                  // [block][row]
  int32_t corrections[kTileBlocks * kTileRowsMax * 2];  // [block][row][part]: -offset * a_sum, where isum starts
  float scaled_sums[kTileBlocks * kTileRowsMax * 2];    // [block][row][part]: a_scale * a_sum, for minimums
};

// Rows [row_begin, row_begin + rows), K-blocks [block_begin, block_begin + blocks) of `a`.
template <int kParts, bool kHasMin, int kOffset>
static void fill_tile(const QuantizedRows& a, int64_t row_begin, int rows, int64_t block_begin, int blocks,
                      ActivationTile* tile) {
  const int64_t row_blocks = a.cols / kActivationBlock;
  for (int i = 0; i < rows; ++i) {
    const int64_t first = (row_begin + i) * row_blocks + block_begin;
    const int8_t* values = a.values + first * kActivationBlock;
    for (int b = 0; b < blocks; ++b) {
      const int at = b * rows + i;
      memcpy(tile->values + at * kActivationBlock, values + b * kActivationBlock, kActivationBlock);
      const float scale = a.scales[first + b];
      tile->scales[at] = scale;
      int32_t sums[2] = {a.sums[first + b], 0};
      if constexpr (kParts == 2) {
        int32_t low = 0;
        for (int k = 0; k < kActivationBlock / 2; ++k) low += values[b * kActivationBlock + k];
        sums[1] = sums[0] - low;
        sums[0] = low;
      }
      for (int p = 0; p < kParts; ++p) {
        if constexpr (kOffset != 0) tile->corrections[at * kParts + p] = -kOffset * sums[p];
        if constexpr (kHasMin) tile->scaled_sums[at * kParts + p] = scale * static_cast<float>(sums[p]);
      }
    }
  }
}

}  // namespace fastserve::kernels
