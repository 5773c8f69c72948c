// int8 matrix kernels with AMX, for sixteen activation rows and more; fewer go to the VNNI kernels, whose bits are the
// same. A section of a panel's K-blocks is unpacked once to signed bytes, in the order in which tiles read them, and
// meets all activation rows. A tile product is the exact integer sum of one K-block, which then takes part in the float
// sum in the canonical order (kernel_api.h). Layouts with scales for half a K-block gain nothing here and stay with
// VNNI.
#include "kernels/cpu/amx/tiles.h"
#include "kernels/cpu/avx512/bytes64.h"
#include "kernels/cpu/cpu_kernels.h"
#include "kernels/cpu/inlining.h"
#include "kernels/cpu/simd/quant_vectors.h"
#include "kernels/cpu/simd/store_tile.h"

namespace fastserve::kernels {
namespace {

constexpr int kSectionBlocks = 20;  // K-blocks unpacked at once, at most
constexpr int kChunkRows = 256;     // activation rows that meet an unpacked section
constexpr int kSums = kTileRows * kPanelRows;
constexpr int kAhead = 2;     // K-blocks between multiplying and reading: stores of tiles reach loads slowly
constexpr int kInFlight = 4;  // buffers

// Part of a panel, unpacked.
template <typename V>
struct Section {
  alignas(64) uint8_t quants[kSectionBlocks * 8 * 64];  // signed
  alignas(64) float scales[kSectionBlocks * kPanelRows];
  alignas(64) float mins[V::kHasMin ? kSectionBlocks * kPanelRows : 16];
};

// The weights of the next section, which lie behind those of this one, on their way from memory while this one is
// multiplied: a few lines with every product.
struct Ahead {
  const uint8_t* next = nullptr;
  const uint8_t* end = nullptr;
  int lines = 0;  // for each product

  void begin(const uint8_t* first, int64_t size_bytes, int64_t limit_bytes, int64_t products) {
    const int64_t size = size_bytes < limit_bytes ? size_bytes : limit_bytes;
    next = first;
    end = first + size;
    lines = static_cast<int>((size / 64 + products - 1) / products);
  }
  void go_on() {
    for (int line = 0; line < lines && next < end; ++line, next += 64) {
      _mm_prefetch(reinterpret_cast<const char*>(next), _MM_HINT_T1);
    }
  }
};

template <typename V>
struct AmxWorkspace {
  Section<V> section;
  Ahead ahead;
  alignas(64) float acc[kChunkRows * kPanelRows];
  alignas(64) int32_t products[kInFlight][kSums];  // of this K-block and of those under way
};

template <typename V>
FASTSERVE_APART void unpack_section(const uint8_t* panel, int64_t block_begin, int blocks, Section<V>* out) {
  const __m512i offset = _mm512_set1_epi8(static_cast<char>(V::kOffset));
  for (int b = 0; b < blocks; ++b) {
    typename V::Block w;
    V::read(panel, block_begin + b, &w);
    for (int t = 0; t < 8; ++t) _mm512_store_si512(out->quants + (b * 8 + t) * 64, _mm512_sub_epi8(w.q[t].v, offset));
    store(out->scales + b * kPanelRows, w.scale[0]);
    if constexpr (V::kHasMin) store(out->mins + b * kPanelRows, w.min[0]);
  }
}

// Where sixteen activation rows begin in a section.
struct RowGroup {
  const int8_t* values;
  int64_t value_stride;
  const float* scales;  // [block][16 rows]
  const float* sums;    // as scales
};

// products = a (sixteen rows) times quants. The two lanes have tiles of their own, so that neighbouring products
// overlap. Tiles are named by literals: the instructions hold their numbers.
template <int kLane>
FASTSERVE_INLINE void multiply_tile(const int8_t* a, int64_t stride, const uint8_t* quants, int32_t* products) {
  if constexpr (kLane == 0) {
    _tile_zero(0);
    _tile_loadd(4, a, stride);
    _tile_loadd(6, quants, kTileRowBytes);
    _tile_dpbssd(0, 4, 6);
    _tile_stored(0, products, kTileRowBytes);
  } else {
    _tile_zero(1);
    _tile_loadd(5, a, stride);
    _tile_loadd(7, quants, kTileRowBytes);
    _tile_dpbssd(1, 5, 7);
    _tile_stored(1, products, kTileRowBytes);
  }
}

template <typename V>
FASTSERVE_INLINE void add_products(const Section<V>& section, int block, const RowGroup& rows, const int32_t* products,
                                   Vec* acc) {
  const Vec scale = load(section.scales + block * kPanelRows);
  const float* row_scales = rows.scales + block * kTileRows;
  const float* row_sums = rows.sums + block * kTileRows;
  Vec min{};
  if constexpr (V::kHasMin) min = load(section.mins + block * kPanelRows);
  FASTSERVE_UNROLL
  for (int i = 0; i < kTileRows; ++i) {
    const Vec product = {_mm512_cvtepi32_ps(_mm512_load_si512(products + i * kPanelRows))};
    acc[i] = fma(product, scale * splat(row_scales[i]), acc[i]);
    if constexpr (V::kHasMin) acc[i] = fma(min, splat(row_sums[i]), acc[i]);
  }
}

// K-block `block`, which lies in buffer kBuffer, while the one kAhead further on is multiplied.
template <typename V, int kBuffer>
FASTSERVE_INLINE void step(const RowGroup& rows, int block, int blocks, AmxWorkspace<V>* space, Vec* acc) {
  const int next = block + kAhead;
  if (next < blocks) {
    multiply_tile<kBuffer % 2>(rows.values + next * kActivationBlock, rows.value_stride,
                               space->section.quants + next * 8 * kTileRowBytes,
                               space->products[(kBuffer + kAhead) % kInFlight]);
  }
  space->ahead.go_on();
  add_products<V>(space->section, block, rows, space->products[kBuffer], acc);
}

// Sixteen rows against a section; acc_memory [row][16 lanes] is read unless `fresh`, and written.
template <typename V>
FASTSERVE_APART void multiply_rows(const RowGroup& rows, int blocks, bool fresh, AmxWorkspace<V>* space,
                                   float* acc_memory) {
  Vec acc[kTileRows];
  FASTSERVE_UNROLL
  for (int i = 0; i < kTileRows; ++i) acc[i] = fresh ? zero() : load(acc_memory + i * kPanelRows);
  multiply_tile<0>(rows.values, rows.value_stride, space->section.quants, space->products[0]);
  if (blocks > 1) {
    multiply_tile<1>(rows.values + kActivationBlock, rows.value_stride, space->section.quants + 8 * kTileRowBytes,
                     space->products[1]);
  }
  int b = 0;
  for (; b + kInFlight <= blocks; b += kInFlight) {
    step<V, 0>(rows, b, blocks, space, acc);
    step<V, 1>(rows, b + 1, blocks, space, acc);
    step<V, 2>(rows, b + 2, blocks, space, acc);
    step<V, 3>(rows, b + 3, blocks, space, acc);
  }
  if (b < blocks) step<V, 0>(rows, b, blocks, space, acc);
  if (b + 1 < blocks) step<V, 1>(rows, b + 1, blocks, space, acc);
  if (b + 2 < blocks) step<V, 2>(rows, b + 2, blocks, space, acc);
  FASTSERVE_UNROLL
  for (int i = 0; i < kTileRows; ++i) store(acc_memory + i * kPanelRows, acc[i]);
}

RowGroup rows_at(const QuantizedRows& input, int64_t row, int64_t block) {
  const int64_t tile = quantized_tile_index(row, block, input.cols / kActivationBlock);
  return {input.values + row * input.cols + block * kActivationBlock, input.cols, input.tile_scales + tile,
          input.tile_sums + tile};
}

// Lines of outputs lie a row apart: they are on their way while the sums are computed.
FASTSERVE_INLINE void prefetch_output(const MatmulArgs& args, int64_t panel, int64_t row_begin) {
  const float* out = args.output + row_begin * args.output_stride + panel * kPanelRows;
  for (int i = 0; i < kTileRows; ++i) __builtin_prefetch(out + i * args.output_stride, 1);
}

// One panel, rows [row_begin, row_begin + rows), a multiple of 16 and at most kChunkRows.
template <typename V>
void run_chunk(const MatmulArgs& args, int64_t panel, int64_t row_begin, int rows, AmxWorkspace<V>* space) {
  const PackedMatrix& w = *args.weights;
  const int64_t blocks = w.cols / kActivationBlock;
  const int64_t sections = (blocks + kSectionBlocks - 1) / kSectionBlocks;
  const int64_t step = (blocks + sections - 1) / sections;
  for (int64_t b = 0; b < blocks; b += step) {
    const int count = static_cast<int>(blocks - b < step ? blocks - b : step);
    unpack_section<V>(w.data + panel * w.panel_bytes, b, count, &space->section);
    const bool is_last = b + step >= blocks;
    const int64_t section_bytes = w.panel_bytes * count / blocks, read_bytes = w.panel_bytes * (b + count) / blocks;
    const int64_t left_bytes = (args.panel_end - panel) * w.panel_bytes - read_bytes;
    space->ahead.begin(w.data + panel * w.panel_bytes + read_bytes, section_bytes, left_bytes,
                       rows / kTileRows * count);
    for (int i = 0; i < rows; i += kTileRows) {
      float* acc = space->acc + i * kPanelRows;
      if (is_last) prefetch_output(args, panel, row_begin + i);
      multiply_rows<V>(rows_at(*args.input_q8, row_begin + i, b), count, b == 0, space, acc);
      if (is_last) store_tile(args, panel, row_begin + i, kTileRows, acc);
    }
  }
}

TileConfig tile_config() {
  TileConfig config;
  for (int tile = 0; tile < 2; ++tile) config.set(tile, kTileRows, kTileRowBytes);
  for (int tile = 4; tile < 6; ++tile) config.set(tile, kTileRows, kActivationBlock);
  for (int tile = 6; tile < 8; ++tile) config.set(tile, kActivationBlock / 4, kTileRowBytes);
  return config;
}

// The rows that fill no tile.
void run_rest(const MatmulArgs& args, int64_t row_begin) {
  const QuantizedRows& input = *args.input_q8;
  const int64_t first = row_begin * (input.cols / kActivationBlock);
  const QuantizedRows rest_input = {input.values + row_begin * input.cols, input.scales + first, input.sums + first,
                                    input.cols};
  MatmulArgs rest = args;
  rest.input_q8 = &rest_input;
  rest.m = args.m - row_begin;
  rest.output = args.output + row_begin * args.output_stride;
  avx512::matmul_q8_vnni(args.weights->layout)(&rest);
}

template <PackedLayout kLayout>
void matmul_q8_tiles(const MatmulArgs* args) {
  using V = Vectors<kLayout>;
  const int64_t tiled = args->input_q8->tile_scales != nullptr ? args->m / kTileRows * kTileRows : 0;
  if (tiled > 0) {
    AmxWorkspace<V> space;
    const TileConfig config = tile_config();
    const TileScope scope(config);
    for (int64_t row = 0; row < tiled; row += kChunkRows) {
      const int rows = static_cast<int>(tiled - row < kChunkRows ? tiled - row : kChunkRows);
      for (int64_t p = args->panel_begin; p < args->panel_end; ++p) run_chunk<V>(*args, p, row, rows, &space);
    }
  }
  if (tiled < args->m) run_rest(*args, tiled);
}

}  // namespace

namespace amx {

MatmulFn matmul_q8(PackedLayout layout) {
  switch (layout) {
    case PackedLayout::kQ8:
      return matmul_q8_tiles<PackedLayout::kQ8>;
    case PackedLayout::kQ4:
      return matmul_q8_tiles<PackedLayout::kQ4>;
    case PackedLayout::kQ4Min:
      return matmul_q8_tiles<PackedLayout::kQ4Min>;
    case PackedLayout::kQ5:
      return matmul_q8_tiles<PackedLayout::kQ5>;
    case PackedLayout::kQ5Min:
      return matmul_q8_tiles<PackedLayout::kQ5Min>;
    case PackedLayout::kQ4K:
      return matmul_q8_tiles<PackedLayout::kQ4K>;
    case PackedLayout::kQ5K:
      return matmul_q8_tiles<PackedLayout::kQ5K>;
    case PackedLayout::kQ4Table:
      return matmul_q8_tiles<PackedLayout::kQ4Table>;
    default:
      return nullptr;
  }
}

}  // namespace amx
}  // namespace fastserve::kernels
