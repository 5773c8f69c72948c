// int8 matrix kernels with AMX, for kTileRowsMin activation rows and more; fewer go to the VNNI kernels, whose bits are
// the same. A section of a panel's K-blocks is unpacked once to signed bytes, in the order in which tiles read them,
// and meets all activation rows. A tile product is the exact integer sum of one K-block, which then takes part in the
// float sum in the canonical order (kernel_api.h). Layouts with scales for half a K-block gain nothing here and stay
// with VNNI.
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
  TileConfig full_tiles, rest_tiles;
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

template <typename V, int kRows>
FASTSERVE_INLINE void add_products(const Section<V>& section, int block, const RowGroup& rows, const int32_t* products,
                                   Vec* acc) {
  const Vec scale = load(section.scales + block * kPanelRows);
  const float* row_scales = rows.scales + block * kTileRows;
  const float* row_sums = rows.sums + block * kTileRows;
  Vec min{};
  if constexpr (V::kHasMin) min = load(section.mins + block * kPanelRows);
  FASTSERVE_UNROLL
  for (int i = 0; i < kRows; ++i) {
    const Vec product = {_mm512_cvtepi32_ps(_mm512_load_si512(products + i * kPanelRows))};
    acc[i] = fma(product, scale * splat(row_scales[i]), acc[i]);
    if constexpr (V::kHasMin) acc[i] = fma(min, splat(row_sums[i]), acc[i]);
  }
}

// K-block `block`, which lies in buffer kBuffer, while the one kAhead further on is multiplied.
template <typename V, int kRows, int kBuffer>
FASTSERVE_INLINE void step(const RowGroup& rows, int block, int blocks, AmxWorkspace<V>* space, Vec* acc) {
  const int next = block + kAhead;
  if (next < blocks) {
    multiply_tile<kBuffer % 2>(rows.values + next * kActivationBlock, rows.value_stride,
                               space->section.quants + next * 8 * kTileRowBytes,
                               space->products[(kBuffer + kAhead) % kInFlight]);
  }
  space->ahead.go_on();
  add_products<V, kRows>(space->section, block, rows, space->products[kBuffer], acc);
}

// Up to kRows rows, as many as tiles are configured for, against a section; acc_memory [row][16 lanes] is read unless
// `fresh`, and written: what is behind the rows means nothing.
template <typename V, int kRows>
FASTSERVE_APART void multiply_rows(const RowGroup& rows, int blocks, bool fresh, AmxWorkspace<V>* space,
                                   float* acc_memory) {
  Vec acc[kRows];
  FASTSERVE_UNROLL
  for (int i = 0; i < kRows; ++i) acc[i] = fresh ? zero() : load(acc_memory + i * kPanelRows);
  multiply_tile<0>(rows.values, rows.value_stride, space->section.quants, space->products[0]);
  if (blocks > 1) {
    multiply_tile<1>(rows.values + kActivationBlock, rows.value_stride, space->section.quants + 8 * kTileRowBytes,
                     space->products[1]);
  }
  int b = 0;
  for (; b + kInFlight <= blocks; b += kInFlight) {
    step<V, kRows, 0>(rows, b, blocks, space, acc);
    step<V, kRows, 1>(rows, b + 1, blocks, space, acc);
    step<V, kRows, 2>(rows, b + 2, blocks, space, acc);
    step<V, kRows, 3>(rows, b + 3, blocks, space, acc);
  }
  if (b < blocks) step<V, kRows, 0>(rows, b, blocks, space, acc);
  if (b + 1 < blocks) step<V, kRows, 1>(rows, b + 1, blocks, space, acc);
  if (b + 2 < blocks) step<V, kRows, 2>(rows, b + 2, blocks, space, acc);
  FASTSERVE_UNROLL
  for (int i = 0; i < kRows; ++i) store(acc_memory + i * kPanelRows, acc[i]);
}

RowGroup rows_at(const QuantizedRows& input, int64_t row, int64_t block) {
  const int64_t tile = quantized_tile_index(row, block, input.cols / kActivationBlock);
  return {input.values + row * input.cols + block * kActivationBlock, input.cols, input.tile_scales + tile,
          input.tile_sums + tile};
}

// Lines of outputs lie a row apart: they are on their way while the sums are computed.
FASTSERVE_INLINE void prefetch_output(const MatmulArgs& args, int64_t panel, int64_t row_begin, int rows) {
  const float* out = args.output + row_begin * args.output_stride + panel * kPanelRows;
  for (int i = 0; i < rows; ++i) __builtin_prefetch(out + i * args.output_stride, 1);
}

// Tiles of so many activation rows.
TileConfig tile_config(int rows) {
  TileConfig config;
  for (int tile = 0; tile < 2; ++tile) config.set(tile, rows, kTileRowBytes);
  for (int tile = 4; tile < 6; ++tile) config.set(tile, rows, kActivationBlock);
  for (int tile = 6; tile < 8; ++tile) config.set(tile, kActivationBlock / 4, kTileRowBytes);
  return config;
}

// Rows [begin, begin + count) of the activations, at most kChunkRows.
struct RowRange {
  int64_t begin;
  int count;
  int full() const { return count / kTileRows * kTileRows; }
  int rest() const { return count % kTileRows; }
};

// K-blocks [begin, begin + count) of a panel.
struct Stretch {
  int64_t panel, begin;
  int count;
  bool is_last;
};

// Rows [row, row + count) of the chunk, at most kRows, against the unpacked stretch.
template <typename V, int kRows>
FASTSERVE_INLINE void run_rows(const MatmulArgs& args, const Stretch& stretch, const RowRange& rows, int row, int count,
                               AmxWorkspace<V>* space) {
  float* acc = space->acc + row * kPanelRows;
  const RowGroup group = rows_at(*args.input_q8, rows.begin + row, stretch.begin);
  if (stretch.is_last) prefetch_output(args, stretch.panel, rows.begin + row, count);
  multiply_rows<V, kRows>(group, stretch.count, stretch.begin == 0, space, acc);
  if (stretch.is_last) store_tile(args, stretch.panel, rows.begin + row, count, acc);
}

// One panel. Tiles are configured for full ones, or for the rest where there are no others.
template <typename V>
void run_chunk(const MatmulArgs& args, int64_t panel, const RowRange& rows, AmxWorkspace<V>* space) {
  const PackedMatrix& w = *args.weights;
  const int64_t blocks = w.cols / kActivationBlock;
  const int64_t sections = (blocks + kSectionBlocks - 1) / kSectionBlocks;
  const int64_t step = (blocks + sections - 1) / sections;
  const int groups = (rows.count + kTileRows - 1) / kTileRows;
  for (int64_t b = 0; b < blocks; b += step) {
    const int count = static_cast<int>(blocks - b < step ? blocks - b : step);
    unpack_section<V>(w.data + panel * w.panel_bytes, b, count, &space->section);
    const Stretch stretch = {panel, b, count, b + step >= blocks};
    const int64_t section_bytes = w.panel_bytes * count / blocks, read_bytes = w.panel_bytes * (b + count) / blocks;
    const int64_t left_bytes = (args.panel_end - panel) * w.panel_bytes - read_bytes;
    space->ahead.begin(w.data + panel * w.panel_bytes + read_bytes, section_bytes, left_bytes, groups * count);
    for (int row = 0; row < rows.full(); row += kTileRows) {
      run_rows<V, kTileRows>(args, stretch, rows, row, kTileRows, space);
    }
    if (rows.rest() == 0) continue;
    if (rows.full() != 0) configure_tiles(space->rest_tiles);
    if (rows.rest() <= kTileRows / 2) {
      run_rows<V, kTileRows / 2>(args, stretch, rows, rows.full(), rows.rest(), space);
    } else {
      run_rows<V, kTileRows>(args, stretch, rows, rows.full(), rows.rest(), space);
    }
    if (rows.full() != 0) configure_tiles(space->full_tiles);
  }
}

template <PackedLayout kLayout>
void matmul_q8_tiles(const MatmulArgs* args) {
  using V = Vectors<kLayout>;
  if (args->input_q8->tile_scales == nullptr || args->m < kTileRowsMin) {
    return avx512::matmul_q8_vnni(kLayout)(args);
  }
  AmxWorkspace<V> space;
  space.full_tiles = tile_config(kTileRows);
  space.rest_tiles = tile_config(static_cast<int>(args->m % kTileRows));
  const TileScope scope(args->m < kTileRows ? space.rest_tiles : space.full_tiles);
  for (int64_t row = 0; row < args->m; row += kChunkRows) {
    const RowRange rows = {row, static_cast<int>(args->m - row < kChunkRows ? args->m - row : kChunkRows)};
    if (rows.full() == 0) configure_tiles(space.rest_tiles);
    for (int64_t p = args->panel_begin; p < args->panel_end; ++p) run_chunk<V>(*args, p, rows, &space);
  }
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
