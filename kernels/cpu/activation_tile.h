// Activation rows copied side by side for the int8 matrix kernels, with what a layout subtracts or adds for them
// computed once. A tile lies on the stack; kernels reread it for every panel. x86 only: include from kernels of avx2
// and up.
#pragma once
#include <immintrin.h>

#include <cstdint>
#include <cstring>

#include "kernels/packed_layout.h"

namespace fastserve::kernels {
namespace {

constexpr int kTileRowsMax = 16;
constexpr int kTileBlocks = 32;  // K-blocks of a tile (1024 columns); longer rows take several, in order
constexpr int kTileStride = kTileBlocks * kActivationBlock + 64;  // rows fall into different cache sets

struct ActivationTile {
  alignas(64) int8_t values[kTileRowsMax * kTileStride];
  float scales[kTileRowsMax * kTileBlocks];
  int32_t corrections[kTileRowsMax * kTileBlocks * 2];  // [row][block][part]: -offset * a_sum, where isum starts
  float scaled_sums[kTileRowsMax * kTileBlocks * 2];    // [row][block][part]: a_scale * a_sum, for minimums
};

// Sum of the first 16 values of a K-block.
inline int32_t half_block_sum(const int8_t* values) {
  const __m128i raised = _mm_xor_si128(_mm_loadu_si128(reinterpret_cast<const __m128i*>(values)), _mm_set1_epi8(-128));
  const __m128i sums = _mm_sad_epu8(raised, _mm_setzero_si128());
  return _mm_cvtsi128_si32(sums) + _mm_extract_epi16(sums, 4) - 16 * 128;
}

// Rows [row_begin, row_begin + rows), K-blocks [block_begin, block_begin + blocks) of `a`.
template <int kParts, bool kHasMin, int kOffset>
void fill_tile(const QuantizedRows& a, int64_t row_begin, int rows, int64_t block_begin, int blocks,
               ActivationTile* tile) {
  const int64_t row_blocks = a.cols / kActivationBlock;
  for (int i = 0; i < rows; ++i) {
    const int64_t first = (row_begin + i) * row_blocks + block_begin;
    const int8_t* values = a.values + first * kActivationBlock;
    const float* scales = a.scales + first;
    const int32_t* sums = a.sums + first;
    memcpy(tile->values + i * kTileStride, values, static_cast<size_t>(blocks) * kActivationBlock);
    memcpy(tile->scales + i * kTileBlocks, scales, static_cast<size_t>(blocks) * sizeof(float));
    int32_t* corrections = tile->corrections + i * kTileBlocks * kParts;
    float* scaled_sums = tile->scaled_sums + i * kTileBlocks * kParts;
    for (int b = 0; b < blocks; ++b) {
      if constexpr (kParts == 1) {
        if constexpr (kOffset != 0) corrections[b] = -kOffset * sums[b];
        if constexpr (kHasMin) scaled_sums[b] = scales[b] * static_cast<float>(sums[b]);
      } else {
        const int32_t low = half_block_sum(values + b * kActivationBlock);
        const int32_t high = sums[b] - low;
        if constexpr (kOffset != 0) corrections[2 * b] = -kOffset * low, corrections[2 * b + 1] = -kOffset * high;
        if constexpr (kHasMin) {
          scaled_sums[2 * b] = scales[b] * static_cast<float>(low);
          scaled_sums[2 * b + 1] = scales[b] * static_cast<float>(high);
        }
      }
    }
  }
}

}  // namespace
}  // namespace fastserve::kernels
