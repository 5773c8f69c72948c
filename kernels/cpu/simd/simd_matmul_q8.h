// The int8 matrix kernels' walk over rows, panels and K-blocks, for every quantised layout. Include after bytes64.h and
// a definition of dot_block<V>(weights, tile, row, block, acc): one K-block of 16 weight rows with one activation row.
//
// The weights of a K-block are unpacked to registers straight from the packed bytes and meet up to kRowsMax activation
// rows, whose float sums stay in registers along K. m only decides how many rows share an unpacking: bits never change.
#pragma once
#include "kernels/cpu/activation_tile.h"
#include "kernels/cpu/inlining.h"
#include "kernels/cpu/simd/quant_vectors.h"
#include "kernels/cpu/simd/store_tile.h"

namespace fastserve::kernels {
namespace {

constexpr int kPanelsPerGroup = 16;         // panels that meet one tile before the next tile takes its place
constexpr int64_t kGroupBytes = 384 << 10;  // of weights, more panels at once: they stay in the second cache

// kRows activation rows against kPanels neighbouring panels, K-blocks [block_begin, block_begin + blocks).
// acc_memory: [panel][row][16 lanes], read unless block_begin is 0, and written.
template <typename V, int kRows, int kPanels>
FASTSERVE_APART void dot_tile(const uint8_t* panel, int64_t panel_bytes, int64_t block_begin, int blocks,
                              const ActivationTile& tile, float* acc_memory) {
  Vec acc[kPanels][kRows];
  FASTSERVE_UNROLL
  for (int p = 0; p < kPanels; ++p) {
    FASTSERVE_UNROLL
    for (int i = 0; i < kRows; ++i) {
      acc[p][i] = block_begin == 0 ? zero() : load(acc_memory + (p * kRows + i) * kPanelRows);
    }
  }
  for (int b = 0; b < blocks; ++b) {
    FASTSERVE_UNROLL
    for (int p = 0; p < kPanels; ++p) {
      typename V::Block w;
      V::read(panel + p * panel_bytes, block_begin + b, &w);
      if constexpr (kRows <= 8) V::prefetch(panel + (p + kPanels) * panel_bytes, block_begin + b);
      FASTSERVE_UNROLL
      for (int i = 0; i < kRows; ++i) acc[p][i] = dot_block<V>(w, tile, i, b, acc[p][i]);
    }
  }
  FASTSERVE_UNROLL
  for (int p = 0; p < kPanels; ++p) {
    FASTSERVE_UNROLL
    for (int i = 0; i < kRows; ++i) store(acc_memory + (p * kRows + i) * kPanelRows, acc[p][i]);
  }
}

// What a call keeps on the stack, and which part of the input its tile holds at the moment.
struct Workspace {
  ActivationTile tile;
  alignas(64) float acc[kPanelsPerGroup * kTileRowsMax * kPanelRows];
  int64_t tile_row = -1, tile_block = -1;
};

// The rows of the tile against panels [panel_begin, panel_end), at most kPanelsPerGroup.
template <typename V, int kRows>
void run_panels(const PackedMatrix& w, int64_t panel_begin, int64_t panel_end, int64_t block, int blocks,
                Workspace& space) {
  // Few rows leave registers free: several panels at once hide latency and give memory more streams.
  constexpr int kPanels = kRows == 1 ? 4 : kRows <= 4 ? 2 : 1;
  float* acc = space.acc;
  int64_t p = panel_begin;
  for (; p + kPanels <= panel_end; p += kPanels, acc += kPanels * kRows * kPanelRows) {
    dot_tile<V, kRows, kPanels>(w.data + p * w.panel_bytes, w.panel_bytes, block, blocks, space.tile, acc);
  }
  for (; p < panel_end; ++p, acc += kRows * kPanelRows) {
    dot_tile<V, kRows, 1>(w.data + p * w.panel_bytes, w.panel_bytes, block, blocks, space.tile, acc);
  }
}

template <typename V, int kRows>
void run_rows(const MatmulArgs& args, int64_t row, int64_t panel_begin, int64_t panel_end, Workspace& space) {
  const int64_t blocks = args.weights->cols / kActivationBlock;
  for (int64_t p = panel_begin; p < panel_end; p += kPanelsPerGroup) {
    const int64_t end = p + kPanelsPerGroup < panel_end ? p + kPanelsPerGroup : panel_end;
    for (int64_t b = 0; b < blocks; b += kTileBlocks) {
      const int count = static_cast<int>(blocks - b < kTileBlocks ? blocks - b : kTileBlocks);
      if (space.tile_row != row || space.tile_block != b) {
        fill_tile<V::kParts, V::kHasMin, V::kOffset>(*args.input_q8, row, kRows, b, count, &space.tile);
        space.tile_row = row;
        space.tile_block = b;
      }
      run_panels<V, kRows>(*args.weights, p, end, b, count, space);
    }
    for (int64_t q = p; q < end; ++q) {
      store_tile(args, q, row, kRows, space.acc + (q - p) * kRows * kPanelRows);
    }
  }
}

template <typename V>
void run_group(const MatmulArgs& args, int64_t begin, int64_t end, Workspace& space) {
  int64_t row = 0;
  for (; row + 16 <= args.m; row += 16) run_rows<V, 16>(args, row, begin, end, space);
  if (row + 12 <= args.m) run_rows<V, 12>(args, row, begin, end, space), row += 12;
  if (row + 8 <= args.m) run_rows<V, 8>(args, row, begin, end, space), row += 8;
  if (row + 6 <= args.m) run_rows<V, 6>(args, row, begin, end, space), row += 6;
  if (row + 4 <= args.m) run_rows<V, 4>(args, row, begin, end, space), row += 4;
  if (row + 3 <= args.m) run_rows<V, 3>(args, row, begin, end, space), row += 3;
  if (row + 2 <= args.m) run_rows<V, 2>(args, row, begin, end, space), row += 2;
  if (row + 1 <= args.m) run_rows<V, 1>(args, row, begin, end, space), row += 1;
}

template <PackedLayout kLayout>
void matmul_q8_layout(const MatmulArgs* args) {
  Workspace space;
  const int64_t fitting = kGroupBytes / args->weights->panel_bytes;
  const int64_t step = fitting > kPanelsPerGroup ? fitting : kPanelsPerGroup;
  for (int64_t p = args->panel_begin; p < args->panel_end; p += step) {
    run_group<Vectors<kLayout>>(*args, p, p + step < args->panel_end ? p + step : args->panel_end, space);
  }
}

inline MatmulFn matmul_q8_of(PackedLayout layout) {
  switch (layout) {
    case PackedLayout::kQ8:
      return matmul_q8_layout<PackedLayout::kQ8>;
    case PackedLayout::kQ4:
      return matmul_q8_layout<PackedLayout::kQ4>;
    case PackedLayout::kQ4Min:
      return matmul_q8_layout<PackedLayout::kQ4Min>;
    case PackedLayout::kQ5:
      return matmul_q8_layout<PackedLayout::kQ5>;
    case PackedLayout::kQ5Min:
      return matmul_q8_layout<PackedLayout::kQ5Min>;
    case PackedLayout::kQ4K:
      return matmul_q8_layout<PackedLayout::kQ4K>;
    case PackedLayout::kQ5K:
      return matmul_q8_layout<PackedLayout::kQ5K>;
    case PackedLayout::kQ6K:
      return matmul_q8_layout<PackedLayout::kQ6K>;
    case PackedLayout::kQ3K:
      return matmul_q8_layout<PackedLayout::kQ3K>;
    case PackedLayout::kQ2K:
      return matmul_q8_layout<PackedLayout::kQ2K>;
    case PackedLayout::kQ4Table:
      return matmul_q8_layout<PackedLayout::kQ4Table>;
    default:
      return nullptr;
  }
}

}  // namespace
}  // namespace fastserve::kernels
