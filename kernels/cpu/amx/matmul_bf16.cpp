// bf16 matrix kernel with AMX. Sums stay in tiles along the whole of K, so that nothing but the end of a row is ever
// rescaled or stored. One order of sums for every number of rows: tiles add 32 columns at a time, in order.
#include <cstring>

#include "kernels/cpu/amx/tiles.h"
#include "kernels/cpu/avx512/vec16.h"
#include "kernels/cpu/cpu_kernels.h"
#include "kernels/cpu/inlining.h"
#include "kernels/cpu/simd/store_tile.h"

namespace fastserve::kernels {
namespace {

constexpr int kStepCols = 32;                           // of K in a tile
constexpr int kStepBytes = kStepCols * kPanelRows * 2;  // of a panel
constexpr int64_t kChunkRows = 256;                     // activation rows that stay in the second cache
constexpr int kPrefetchBytes = 4 * kStepBytes;          // ahead, where a panel is read once

// Columns [begin, begin + 32) of a panel that ends before: zeros behind.
struct Tail {
  alignas(64) uint8_t bytes[4][kStepBytes];
};

struct Sums {
  alignas(64) float v[4][kTileRows * kPanelRows];
};

// Two groups of up to sixteen rows against two panels.
FASTSERVE_APART void multiply_square(const uint16_t* a, int64_t stride, const uint8_t* const* panels, int64_t steps,
                                     const Tail* tail, Sums* sums) {
  const int64_t stride_bytes = stride * 2;
  const uint16_t* below = a + kTileRows * stride;
  _tile_zero(0);
  _tile_zero(1);
  _tile_zero(2);
  _tile_zero(3);
  for (int64_t s = 0; s < steps; ++s) {
    _tile_loadd(4, a + s * kStepCols, stride_bytes);
    _tile_loadd(6, panels[0] + s * kStepBytes, kTileRowBytes);
    _tile_dpbf16ps(0, 4, 6);
    _tile_loadd(7, panels[1] + s * kStepBytes, kTileRowBytes);
    _tile_dpbf16ps(1, 4, 7);
    _tile_loadd(5, below + s * kStepCols, stride_bytes);
    _tile_dpbf16ps(2, 5, 6);
    _tile_dpbf16ps(3, 5, 7);
  }
  if (tail != nullptr) {
    _tile_loadd(4, a + steps * kStepCols, stride_bytes);
    _tile_loadd(5, below + steps * kStepCols, stride_bytes);
    _tile_loadd(6, tail->bytes[0], kTileRowBytes);
    _tile_loadd(7, tail->bytes[1], kTileRowBytes);
    _tile_dpbf16ps(0, 4, 6);
    _tile_dpbf16ps(1, 4, 7);
    _tile_dpbf16ps(2, 5, 6);
    _tile_dpbf16ps(3, 5, 7);
  }
  _tile_stored(0, sums->v[0], kTileRowBytes);
  _tile_stored(1, sums->v[1], kTileRowBytes);
  _tile_stored(2, sums->v[2], kTileRowBytes);
  _tile_stored(3, sums->v[3], kTileRowBytes);
}

FASTSERVE_INLINE void prefetch_step(const uint8_t* panel) {
  FASTSERVE_UNROLL
  for (int line = 0; line < kStepBytes; line += 64) {
    _mm_prefetch(reinterpret_cast<const char*>(panel + kPrefetchBytes + line), _MM_HINT_T0);
  }
}

// Up to sixteen rows against four panels, each read once: as fast as memory gives them.
FASTSERVE_APART void multiply_wide(const uint16_t* a, int64_t stride, const uint8_t* const* panels, int64_t steps,
                                   const Tail* tail, Sums* sums) {
  const int64_t stride_bytes = stride * 2;
  _tile_zero(0);
  _tile_zero(1);
  _tile_zero(2);
  _tile_zero(3);
  for (int64_t s = 0; s < steps; ++s) {
    for (int p = 0; p < 4; ++p) prefetch_step(panels[p] + s * kStepBytes);
    _tile_loadd(4, a + s * kStepCols, stride_bytes);
    _tile_loadd(5, panels[0] + s * kStepBytes, kTileRowBytes);
    _tile_dpbf16ps(0, 4, 5);
    _tile_loadd(6, panels[1] + s * kStepBytes, kTileRowBytes);
    _tile_dpbf16ps(1, 4, 6);
    _tile_loadd(7, panels[2] + s * kStepBytes, kTileRowBytes);
    _tile_dpbf16ps(2, 4, 7);
    _tile_loadd(5, panels[3] + s * kStepBytes, kTileRowBytes);
    _tile_dpbf16ps(3, 4, 5);
  }
  if (tail != nullptr) {
    _tile_loadd(4, a + steps * kStepCols, stride_bytes);
    _tile_loadd(5, tail->bytes[0], kTileRowBytes);
    _tile_dpbf16ps(0, 4, 5);
    _tile_loadd(6, tail->bytes[1], kTileRowBytes);
    _tile_dpbf16ps(1, 4, 6);
    _tile_loadd(7, tail->bytes[2], kTileRowBytes);
    _tile_dpbf16ps(2, 4, 7);
    _tile_loadd(5, tail->bytes[3], kTileRowBytes);
    _tile_dpbf16ps(3, 4, 5);
  }
  _tile_stored(0, sums->v[0], kTileRowBytes);
  _tile_stored(1, sums->v[1], kTileRowBytes);
  _tile_stored(2, sums->v[2], kTileRowBytes);
  _tile_stored(3, sums->v[3], kTileRowBytes);
}

// Tiles 0 to 3 are sums; 4 (and 5 in squares) activations; the rest weights.
TileConfig square_config(int rows_below) {
  TileConfig config;
  for (int tile = 0; tile < 8; ++tile) config.set(tile, kTileRows, kTileRowBytes);
  config.set(2, rows_below, kTileRowBytes);
  config.set(3, rows_below, kTileRowBytes);
  config.set(5, rows_below, kTileRowBytes);
  return config;
}
TileConfig wide_config(int rows) {
  TileConfig config;
  for (int tile = 0; tile < 4; ++tile) config.set(tile, rows, kTileRowBytes);
  config.set(4, rows, kTileRowBytes);
  for (int tile = 5; tile < 8; ++tile) config.set(tile, kTileRows, kTileRowBytes);
  return config;
}

class Bf16Matmul {
 public:
  explicit Bf16Matmul(const MatmulArgs& args)
      : args_(args), steps_(args.weights->cols / kStepCols), has_tail_(args.weights->cols % kStepCols != 0) {}

  void run() {
    for (int64_t row = 0; row < args_.m; row += kChunkRows) {
      const int64_t end = row + kChunkRows < args_.m ? row + kChunkRows : args_.m;
      run_squares(row, end - (end - row) % 32);
      const int64_t rest = (end - row) % 32;
      if (rest > kTileRows) run_square_rows(end - rest, end, square_config(static_cast<int>(rest) - kTileRows));
      if (rest > 0 && rest <= kTileRows) run_wide(end - rest, static_cast<int>(rest));
    }
  }

 private:
  void run_squares(int64_t begin, int64_t end) {
    if (begin < end) run_square_rows(begin, end, square_config(kTileRows));
  }

  void run_square_rows(int64_t begin, int64_t end, const TileConfig& config) {
    const TileScope scope(config);
    for (int64_t p = args_.panel_begin; p < args_.panel_end; p += 2) {
      choose_panels(p, 2);
      for (int64_t row = begin; row < end; row += 32) {
        multiply_square(input(row), args_.input_bf16_stride, panels_, steps_, tail(), &sums_);
        const int rows = static_cast<int>(end - row < 32 ? end - row : 32);
        for (int i = 0; i < 2 && p + i < args_.panel_end; ++i) {
          store_tile(args_, p + i, row, kTileRows, sums_.v[i]);
          store_tile(args_, p + i, row + kTileRows, rows - kTileRows, sums_.v[2 + i]);
        }
      }
    }
  }

  void run_wide(int64_t row, int rows) {
    const TileConfig config = wide_config(rows);
    const TileScope scope(config);
    for (int64_t p = args_.panel_begin; p < args_.panel_end; p += 4) {
      choose_panels(p, 4);
      multiply_wide(input(row), args_.input_bf16_stride, panels_, steps_, tail(), &sums_);
      for (int i = 0; i < 4 && p + i < args_.panel_end; ++i) store_tile(args_, p + i, row, rows, sums_.v[i]);
    }
  }

  const uint16_t* input(int64_t row) const { return args_.input_bf16 + row * args_.input_bf16_stride; }
  const Tail* tail() const { return has_tail_ ? &tail_ : nullptr; }

  // Panels past the end repeat the last one; their sums are dropped.
  void choose_panels(int64_t first, int count) {
    const PackedMatrix& w = *args_.weights;
    for (int i = 0; i < count; ++i) {
      const int64_t panel = first + i < args_.panel_end ? first + i : args_.panel_end - 1;
      panels_[i] = w.data + panel * w.panel_bytes;
      if (!has_tail_) continue;
      const int64_t done = steps_ * kStepBytes;
      memset(tail_.bytes[i], 0, kStepBytes);
      memcpy(tail_.bytes[i], panels_[i] + done, static_cast<size_t>(w.panel_bytes - done));
    }
  }

  const MatmulArgs& args_;
  const int64_t steps_;
  const bool has_tail_;
  const uint8_t* panels_[4] = {};
  Sums sums_;
  Tail tail_;
};

}  // namespace

namespace amx {

void round_bf16(const RoundBf16Args* args) {
  for (int64_t i = args->row_begin; i < args->row_end; ++i) {
    const float* in = args->input + i * args->input_stride;
    uint16_t* out = args->output + i * args->output_stride;
    for (int64_t k = 0; k < args->output_stride; k += kStepCols) {
      const int64_t left = args->cols - k;
      const int low = static_cast<int>(left < 0 ? 0 : left < 16 ? left : 16);
      const int high = static_cast<int>(left < 16 ? 0 : left < 32 ? left - 16 : 16);
      const __m512bh both = _mm512_cvtne2ps_pbh(load_first(in + k + 16, high).v, load_first(in + k, low).v);
      memcpy(out + k, &both, sizeof both);
    }
  }
}

void matmul_bf16(const MatmulArgs* args) { Bf16Matmul(*args).run(); }

}  // namespace amx
}  // namespace fastserve::kernels
