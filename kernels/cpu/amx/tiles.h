// AMX tiles: configuration and the handful of instructions used. A kernel configures its tiles, computes and releases
// them, so that the operating system saves no tile state between kernels.
#pragma once
#include <immintrin.h>

#include <cstdint>

namespace fastserve::kernels {
namespace {

constexpr int kTileRows = 16;      // of every tile of sums
constexpr int kTileRowBytes = 64;  // sixteen 32-bit sums

struct alignas(64) TileConfig {
  uint8_t palette = 1;
  uint8_t start_row = 0;
  uint8_t reserved[14] = {};
  uint16_t row_bytes[16] = {};
  uint8_t rows[16] = {};

  void set(int tile, int row_count, int bytes) {
    rows[tile] = static_cast<uint8_t>(row_count);
    row_bytes[tile] = static_cast<uint16_t>(bytes);
  }
};

inline void configure_tiles(const TileConfig& config) {
#if defined(__GNUC__)
  // The header of GCC 12 tells the compiler of 8 of the 64 bytes that are read: the rest would not be written.
  __asm__ volatile("ldtilecfg %0" : : "m"(config));
#else
  _tile_loadconfig(&config);
#endif
}

// Tiles in use from here to the end of the scope.
class TileScope {
 public:
  explicit TileScope(const TileConfig& config) { configure_tiles(config); }
  ~TileScope() { _tile_release(); }
  TileScope(const TileScope&) = delete;
  TileScope& operator=(const TileScope&) = delete;
};

}  // namespace
}  // namespace fastserve::kernels
