// int8 matrix kernels with AVX-512 VNNI, every quantised layout. A K-block of 16 rows is eight registers of weights;
// each activation row meets them as broadcast memory operands, and its float sums stay in a register along K. So
// weights are unpacked once for up to 16 activation rows, straight from the packed bytes, and m only changes how many
// rows share it.
#include <immintrin.h>

#include "kernels/cpu/activation_tile.h"
#include "kernels/cpu/avx512/quant_vectors.h"
#include "kernels/cpu/cpu_kernels.h"

namespace fastserve::kernels::avx512 {
namespace {

constexpr int kPanelsPerGroup = 16;  // panels that meet one tile before the next tile: they stay in the second cache

static inline __m512i dot_step(__m512i sum, __m512i q, const int8_t* a) {
  int32_t four;
  memcpy(&four, a, sizeof four);
  return _mm512_dpbusd_epi32(sum, q, _mm512_set1_epi32(four));
}

// One K-block of one activation row: canonical arithmetic of kernel_api.h.
template <typename V>
static inline __m512 dot_block(const BlockVectors<V::kParts>& w, const ActivationTile& tile, int at, __m512 acc) {
  const int8_t* a = tile.values + at * kActivationBlock;
  const __m512 a_scale = _mm512_set1_ps(tile.scales[at]);
  __m512i sum[2];
  for (int half = 0; half < 2; ++half) {
    const bool starts_part = V::kParts == 2 || half == 0;
    sum[half] = V::kOffset != 0 && starts_part ? _mm512_set1_epi32(tile.corrections[at * V::kParts + half])
                                               : _mm512_setzero_si512();
    for (int t = 4 * half; t < 4 * half + 4; ++t) sum[half] = dot_step(sum[half], w.q[t], a + 4 * t);
  }
  if constexpr (V::kParts == 1) sum[0] = _mm512_add_epi32(sum[0], sum[1]);
  for (int p = 0; p < V::kParts; ++p) {
    acc = _mm512_fmadd_ps(_mm512_cvtepi32_ps(sum[p]), _mm512_mul_ps(w.scale[p], a_scale), acc);
    if constexpr (V::kHasMin) {
      acc = _mm512_fmadd_ps(w.min[p], _mm512_set1_ps(tile.scaled_sums[at * V::kParts + p]), acc);
    }
  }
  return acc;
}

// kRows activation rows against kPanels neighbouring panels, K-blocks [block_begin, block_begin + blocks).
// acc: [panel][row][16 lanes], read unless block_begin is 0, and written.
template <typename V, int kRows, int kPanels>
void dot_tile(const uint8_t* panel, int64_t panel_bytes, int64_t block_begin, int blocks, const ActivationTile& tile,
              float* acc_memory) {
  __m512 acc[kPanels][kRows];
  for (int p = 0; p < kPanels; ++p) {
    for (int i = 0; i < kRows; ++i) {
      acc[p][i] = block_begin == 0 ? _mm512_setzero_ps() : _mm512_load_ps(acc_memory + (p * kRows + i) * kPanelRows);
    }
  }
  for (int b = 0; b < blocks; ++b) {
    for (int p = 0; p < kPanels; ++p) {
      BlockVectors<V::kParts> w;
      V::read(panel + p * panel_bytes, block_begin + b, &w);
      for (int i = 0; i < kRows; ++i) acc[p][i] = dot_block<V>(w, tile, b * kRows + i, acc[p][i]);
    }
  }
  for (int p = 0; p < kPanels; ++p) {
    for (int i = 0; i < kRows; ++i) _mm512_store_ps(acc_memory + (p * kRows + i) * kPanelRows, acc[p][i]);
  }
}

void store_tile(const MatmulArgs& args, int64_t panel, int64_t row_begin, int rows, const float* acc) {
  const int64_t first = panel * kPanelRows;
  const int64_t left = args.weights->rows - first;
  const auto mask = static_cast<__mmask16>(left >= kPanelRows ? 0xffff : (1U << left) - 1);
  const __m512 bias = args.bias != nullptr ? _mm512_maskz_loadu_ps(mask, args.bias + first) : _mm512_setzero_ps();
  for (int i = 0; i < rows; ++i) {
    float* out = args.output + (row_begin + i) * args.output_stride + first;
    __m512 value = _mm512_load_ps(acc + i * kPanelRows);
    if (args.bias != nullptr) value = _mm512_add_ps(value, bias);
    if (args.epilogue == Epilogue::kAdd) value = _mm512_add_ps(_mm512_maskz_loadu_ps(mask, out), value);
    _mm512_mask_storeu_ps(out, mask, value);
  }
}

// What a call keeps on the stack, and which part of the input its tile holds at the moment.
struct Workspace {
  ActivationTile tile;
  alignas(64) float acc[kPanelsPerGroup * kTileRowsMax * kPanelRows];
  int64_t tile_row = -1, tile_block = -1;
};

template <typename V, int kRows>
void run_rows(const MatmulArgs& args, int64_t row, int64_t panel_begin, int64_t panel_end, Workspace& space) {
  // Few rows leave registers free: several panels at once hide latency and give memory more streams.
  constexpr int kPanels = kRows == 1 ? 4 : kRows <= 4 ? 2 : 1;
  const PackedMatrix& w = *args.weights;
  const int64_t blocks = w.cols / kActivationBlock;
  for (int64_t b = 0; b < blocks; b += kTileBlocks) {
    const int count = static_cast<int>(blocks - b < kTileBlocks ? blocks - b : kTileBlocks);
    if (space.tile_row != row || space.tile_block != b) {
      fill_tile<V::kParts, V::kHasMin, V::kOffset>(*args.input_q8, row, kRows, b, count, &space.tile);
      space.tile_row = row;
      space.tile_block = b;
    }
    int64_t p = panel_begin;
    for (; p + kPanels <= panel_end; p += kPanels) {
      dot_tile<V, kRows, kPanels>(w.data + p * w.panel_bytes, w.panel_bytes, b, count, space.tile,
                                  space.acc + (p - panel_begin) * kRows * kPanelRows);
    }
    for (; p < panel_end; ++p) {
      dot_tile<V, kRows, 1>(w.data + p * w.panel_bytes, w.panel_bytes, b, count, space.tile,
                            space.acc + (p - panel_begin) * kRows * kPanelRows);
    }
  }
  for (int64_t p = panel_begin; p < panel_end; ++p) {
    store_tile(args, p, row, kRows, space.acc + (p - panel_begin) * kRows * kPanelRows);
  }
}

template <PackedLayout kLayout>
void matmul(const MatmulArgs* args) {
  using V = Vectors<kLayout>;
  Workspace space;
  for (int64_t p = args->panel_begin; p < args->panel_end; p += kPanelsPerGroup) {
    const int64_t end = p + kPanelsPerGroup < args->panel_end ? p + kPanelsPerGroup : args->panel_end;
    int64_t row = 0;
    for (; row + 16 <= args->m; row += 16) run_rows<V, 16>(*args, row, p, end, space);
    if (row + 12 <= args->m) run_rows<V, 12>(*args, row, p, end, space), row += 12;
    if (row + 8 <= args->m) run_rows<V, 8>(*args, row, p, end, space), row += 8;
    if (row + 6 <= args->m) run_rows<V, 6>(*args, row, p, end, space), row += 6;
    if (row + 4 <= args->m) run_rows<V, 4>(*args, row, p, end, space), row += 4;
    if (row + 3 <= args->m) run_rows<V, 3>(*args, row, p, end, space), row += 3;
    if (row + 2 <= args->m) run_rows<V, 2>(*args, row, p, end, space), row += 2;
    if (row + 1 <= args->m) run_rows<V, 1>(*args, row, p, end, space), row += 1;
  }
}

}  // namespace

MatmulFn matmul_q8_vnni(PackedLayout layout) {
  switch (layout) {
    case PackedLayout::kQ8:
      return matmul<PackedLayout::kQ8>;
    case PackedLayout::kQ4:
      return matmul<PackedLayout::kQ4>;
    case PackedLayout::kQ4Min:
      return matmul<PackedLayout::kQ4Min>;
    case PackedLayout::kQ5:
      return matmul<PackedLayout::kQ5>;
    case PackedLayout::kQ5Min:
      return matmul<PackedLayout::kQ5Min>;
    case PackedLayout::kQ4K:
      return matmul<PackedLayout::kQ4K>;
    case PackedLayout::kQ5K:
      return matmul<PackedLayout::kQ5K>;
    case PackedLayout::kQ6K:
      return matmul<PackedLayout::kQ6K>;
    case PackedLayout::kQ3K:
      return matmul<PackedLayout::kQ3K>;
    case PackedLayout::kQ2K:
      return matmul<PackedLayout::kQ2K>;
    case PackedLayout::kQ4Table:
      return matmul<PackedLayout::kQ4Table>;
    default:
      return nullptr;
  }
}

}  // namespace fastserve::kernels::avx512
