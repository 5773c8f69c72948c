// Float matrix kernels: acc = fma(w[k], a[k], acc) for k in order, any layout. Include after bytes64.h.
//
// Activation rows are copied side by side into a tile on the stack, in steps: a step is one 32-bit word of a row (one
// float; or two bfloat16, see matmul_bf16). A policy knows how to fill a row of the tile and how to multiply it:
//   kColsPerStep, fill(source, cols, words), dot<kRows, kPanels>(panels, panel_bytes, step_begin, steps, tile, acc)
#pragma once
#include <cstring>

#include "kernels/cpu/inlining.h"
#include "kernels/cpu/simd/quant_vectors.h"
#include "kernels/cpu/simd/store_tile.h"

namespace fastserve::kernels {
namespace {

constexpr int kFloatRows = kVecRegisters == 1 ? 8 : 6;
constexpr int kFloatPanels = kVecRegisters == 1 ? 3 : 1;  // with kFloatRows: as many sums as registers hold
constexpr int kFloatSteps = 1024;                         // of a tile; a multiple of 32
constexpr int kFloatStride = kFloatSteps + 16;            // rows of a tile fall into different cache sets
constexpr int kFloatGroup = 12;                           // panels that meet one tile before the next

struct FloatWorkspace {
  alignas(64) uint32_t tile[kFloatRows * kFloatStride];
  alignas(64) float acc[kFloatGroup * kFloatRows * kPanelRows];
  int64_t tile_row = -1, tile_step = -1;
};

FASTSERVE_INLINE float word_as_float(const uint32_t* word) {
  float value;
  memcpy(&value, word, sizeof value);
  return value;
}

template <int kRows, int kPanels>
struct Sums {
  Vec v[kPanels][kRows];
  FASTSERVE_INLINE void load_from(const float* memory, bool fresh) {
    for (int p = 0; p < kPanels; ++p) {
      for (int i = 0; i < kRows; ++i) v[p][i] = fresh ? zero() : load(memory + (p * kRows + i) * kPanelRows);
    }
  }
  FASTSERVE_INLINE void store_to(float* memory) const {
    for (int p = 0; p < kPanels; ++p) {
      for (int i = 0; i < kRows; ++i) store(memory + (p * kRows + i) * kPanelRows, v[p][i]);
    }
  }
};

// Float activations; the weights of column k come from W::column(panel, k).
template <typename W>
struct FloatColumns {
  static constexpr int kColsPerStep = 1;
  static void fill(const float* source, int64_t cols, uint32_t* words) {
    memcpy(words, source, static_cast<size_t>(cols) * sizeof(float));
  }
  template <int kRows, int kPanels>
  static FASTSERVE_APART void dot(const uint8_t* panels, int64_t panel_bytes, int64_t step_begin, int steps,
                                  const uint32_t* tile, float* acc) {
    Sums<kRows, kPanels> sums;
    sums.load_from(acc, step_begin == 0);
    for (int k = 0; k < steps; ++k) {
      Vec w[kPanels];
      for (int p = 0; p < kPanels; ++p) w[p] = W::column(panels + p * panel_bytes, step_begin + k);
      for (int i = 0; i < kRows; ++i) {
        const Vec a = splat(word_as_float(tile + i * kFloatStride + k));
        for (int p = 0; p < kPanels; ++p) sums.v[p][i] = fma(w[p], a, sums.v[p][i]);
      }
    }
    sums.store_to(acc);
  }
};

struct ColumnF32 {
  static FASTSERVE_INLINE Vec column(const uint8_t* panel, int64_t k) {
    return load(reinterpret_cast<const float*>(panel) + k * kPanelRows);
  }
};
struct ColumnF16 {
  static FASTSERVE_INLINE Vec column(const uint8_t* panel, int64_t k) {
    return halves_to_floats(panel + k * kPanelRows * 2);
  }
};
struct ColumnBF16 {
  static FASTSERVE_INLINE Vec column(const uint8_t* panel, int64_t k) {
    const uint8_t* pair = panel + k / 2 * kPanelRows * 4;
    return k % 2 == 0 ? low_bf16(pair) : high_bf16(pair);
  }
};

// Quantised weights as floats, exactly as dequantize_row gives them: one K-block, columns[32][16].
template <typename V>
FASTSERVE_APART void dequantize_block(const uint8_t* panel, int64_t block, float* columns) {
  typename V::Block b;
  V::read(panel, block, &b);
  for (int t = 0; t < 8; ++t) {
    const int part = V::kParts == 2 ? t / 4 : 0;
    Vec x[4] = {column_to_floats<0>(b.q[t], V::kOffset), column_to_floats<1>(b.q[t], V::kOffset),
                column_to_floats<2>(b.q[t], V::kOffset), column_to_floats<3>(b.q[t], V::kOffset)};
    for (int j = 0; j < 4; ++j) {
      x[j] = b.scale[part] * x[j];
      if constexpr (V::kHasMin) x[j] = x[j] + b.min[part];
      store(columns + (t * 4 + j) * kPanelRows, x[j]);
    }
  }
}

template <typename V>
struct QuantisedColumns {
  static constexpr int kColsPerStep = 1;
  static void fill(const float* source, int64_t cols, uint32_t* words) {
    memcpy(words, source, static_cast<size_t>(cols) * sizeof(float));
  }
  template <int kRows, int kPanels>
  static FASTSERVE_APART void dot(const uint8_t* panels, int64_t panel_bytes, int64_t step_begin, int steps,
                                  const uint32_t* tile, float* acc) {
    Sums<kRows, kPanels> sums;
    sums.load_from(acc, step_begin == 0);
    alignas(64) float columns[kPanels][kActivationBlock * kPanelRows];
    for (int k0 = 0; k0 < steps; k0 += kActivationBlock) {
      for (int p = 0; p < kPanels; ++p) {
        dequantize_block<V>(panels + p * panel_bytes, (step_begin + k0) / kActivationBlock, columns[p]);
      }
      for (int k = 0; k < kActivationBlock; ++k) {
        Vec w[kPanels];
        for (int p = 0; p < kPanels; ++p) w[p] = load(columns[p] + k * kPanelRows);
        for (int i = 0; i < kRows; ++i) {
          const Vec a = splat(word_as_float(tile + i * kFloatStride + k0 + k));
          for (int p = 0; p < kPanels; ++p) sums.v[p][i] = fma(w[p], a, sums.v[p][i]);
        }
      }
    }
    sums.store_to(acc);
  }
};

template <typename Policy, int kRows>
void run_float_rows(const MatmulArgs& args, int64_t row, int64_t panel_begin, int64_t panel_end,
                    FloatWorkspace& space) {
  constexpr int kPanels = kRows <= 4 / kVecRegisters ? 4 : kFloatPanels;
  const PackedMatrix& w = *args.weights;
  const int64_t steps = (w.cols + Policy::kColsPerStep - 1) / Policy::kColsPerStep;
  for (int64_t s = 0; s < steps; s += kFloatSteps) {
    const int count = static_cast<int>(steps - s < kFloatSteps ? steps - s : kFloatSteps);
    if (space.tile_row != row || space.tile_step != s) {
      const int64_t col = s * Policy::kColsPerStep;
      const int64_t left = w.cols - col;
      const int64_t cols =
          left < int64_t{kFloatSteps} * Policy::kColsPerStep ? left : kFloatSteps * Policy::kColsPerStep;
      for (int i = 0; i < kRows; ++i) {
        Policy::fill(args.input + (row + i) * args.input_stride + col, cols, space.tile + i * kFloatStride);
      }
      space.tile_row = row;
      space.tile_step = s;
    }
    int64_t p = panel_begin;
    for (; p + kPanels <= panel_end; p += kPanels) {
      Policy::template dot<kRows, kPanels>(w.data + p * w.panel_bytes, w.panel_bytes, s, count, space.tile,
                                           space.acc + (p - panel_begin) * kRows * kPanelRows);
    }
    for (; p < panel_end; ++p) {
      Policy::template dot<kRows, 1>(w.data + p * w.panel_bytes, w.panel_bytes, s, count, space.tile,
                                     space.acc + (p - panel_begin) * kRows * kPanelRows);
    }
  }
  for (int64_t p = panel_begin; p < panel_end; ++p) {
    store_tile(args, p, row, kRows, space.acc + (p - panel_begin) * kRows * kPanelRows);
  }
}

template <typename Policy>
void matmul_float(const MatmulArgs* args) {
  FloatWorkspace space;
  for (int64_t p = args->panel_begin; p < args->panel_end; p += kFloatGroup) {
    const int64_t end = p + kFloatGroup < args->panel_end ? p + kFloatGroup : args->panel_end;
    int64_t row = 0;
    for (; row + kFloatRows <= args->m; row += kFloatRows) {
      run_float_rows<Policy, kFloatRows>(*args, row, p, end, space);
    }
    if (row + 4 <= args->m) run_float_rows<Policy, 4>(*args, row, p, end, space), row += 4;
    if (row + 2 <= args->m) run_float_rows<Policy, 2>(*args, row, p, end, space), row += 2;
    if (row + 1 <= args->m) run_float_rows<Policy, 1>(*args, row, p, end, space), row += 1;
  }
}

template <PackedLayout kLayout>
constexpr MatmulFn kMatmulQuantised = matmul_float<QuantisedColumns<Vectors<kLayout>>>;

inline MatmulFn matmul_float_of(PackedLayout layout) {
  switch (layout) {
    case PackedLayout::kF32:
      return matmul_float<FloatColumns<ColumnF32>>;
    case PackedLayout::kF16:
      return matmul_float<FloatColumns<ColumnF16>>;
    case PackedLayout::kBF16:
      return matmul_float<FloatColumns<ColumnBF16>>;
    case PackedLayout::kQ8:
      return kMatmulQuantised<PackedLayout::kQ8>;
    case PackedLayout::kQ4:
      return kMatmulQuantised<PackedLayout::kQ4>;
    case PackedLayout::kQ4Min:
      return kMatmulQuantised<PackedLayout::kQ4Min>;
    case PackedLayout::kQ5:
      return kMatmulQuantised<PackedLayout::kQ5>;
    case PackedLayout::kQ5Min:
      return kMatmulQuantised<PackedLayout::kQ5Min>;
    case PackedLayout::kQ4K:
      return kMatmulQuantised<PackedLayout::kQ4K>;
    case PackedLayout::kQ5K:
      return kMatmulQuantised<PackedLayout::kQ5K>;
    case PackedLayout::kQ6K:
      return kMatmulQuantised<PackedLayout::kQ6K>;
    case PackedLayout::kQ3K:
      return kMatmulQuantised<PackedLayout::kQ3K>;
    case PackedLayout::kQ2K:
      return kMatmulQuantised<PackedLayout::kQ2K>;
    case PackedLayout::kQ4Table:
      return kMatmulQuantised<PackedLayout::kQ4Table>;
    default:
      return nullptr;
  }
}

}  // namespace
}  // namespace fastserve::kernels
