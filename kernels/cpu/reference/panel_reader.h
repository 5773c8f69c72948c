// Scalar reading of any packed layout: the scales and quants of one K-block, and values as floats.
#pragma once
#include <cstdint>
#include <cstring>

#include "kernels/cpu/half.h"
#include "kernels/packed_layout.h"

namespace fastserve::kernels {

// The quants of one K-block and what they are multiplied with; part p serves k in [p*32/parts, (p+1)*32/parts).
struct ScalarBlock {
  int32_t quants[kActivationBlock][kPanelRows];  // offset removed
  float scales[2][kPanelRows];
  float mins[2][kPanelRows];
};

[[maybe_unused]] static inline float read_half(const uint8_t* base, int index) {
  uint16_t half;
  memcpy(&half, base + 2 * index, sizeof half);
  return f16_to_float(half);
}

[[maybe_unused]] static inline const uint8_t* group_of(const LayoutShape& shape, const uint8_t* panel, int64_t block) {
  return panel + shape.header_bytes + block / shape.group_blocks * shape.group_bytes;
}

// Quant with its offset removed; `quants` is the K-block's, k in [0, 32).
[[maybe_unused]] static inline int32_t read_quant(const LayoutShape& shape, PackedLayout layout, const uint8_t* panel,
                                                  const uint8_t* quants, int k, int row) {
  const int step = k / 4;
  const int lane = row * 4 + k % 4;
  int q = 0, high = 0;
  int low_bytes = 512;
  if (shape.low_bits == 8) {
    q = quants[step * 64 + lane];
  } else if (shape.low_bits == 4) {
    q = quants[step % 4 * 64 + lane] >> (step / 4 * 4) & 15;
    low_bytes = 256;
  } else {
    q = quants[step / 4 * 64 + lane] >> (step % 4 * 2) & 3;
    low_bytes = 128;
  }
  if (shape.high_bits == 1) {
    high = quants[low_bytes + lane] >> step & 1;
  } else if (shape.high_bits == 2) {
    high = quants[low_bytes + step / 4 * 64 + lane] >> (step % 4 * 2) & 3;
  }
  q |= high << shape.low_bits;
  if (layout == PackedLayout::kQ4Table) q = panel[q];
  return q - shape.offset;
}

// Scale and minimum of (K-block, part, row).
[[maybe_unused]] static inline void read_scale(PackedLayout layout, const uint8_t* group, int sub, int part, int row,
                                               float* scale, float* min) {
  const uint8_t* small = group + 64;
  *min = 0.0F;
  switch (layout) {
    case PackedLayout::kQ8:
    case PackedLayout::kQ4:
    case PackedLayout::kQ5:
      *scale = read_half(group, sub * 16 + row);
      break;
    case PackedLayout::kQ4Min:
    case PackedLayout::kQ5Min:
      *scale = read_half(group, row);
      *min = read_half(group, 16 + row);
      break;
    case PackedLayout::kQ4K:
    case PackedLayout::kQ5K:
      *scale = read_half(group, row) * static_cast<float>(small[sub * 16 + row]);
      *min = -(read_half(group, 16 + row) * static_cast<float>(small[128 + sub * 16 + row]));
      break;
    case PackedLayout::kQ6K:
    case PackedLayout::kQ3K:
      *scale = read_half(group, row) * static_cast<float>(static_cast<int8_t>(small[(sub * 2 + part) * 16 + row]));
      break;
    case PackedLayout::kQ2K:
      *scale = read_half(group, row) * static_cast<float>(small[(sub * 2 + part) * 16 + row] & 15);
      *min = -(read_half(group, 16 + row) * static_cast<float>(small[(sub * 2 + part) * 16 + row] >> 4));
      break;
    case PackedLayout::kQ4Table:
      memcpy(scale, group + 4 * row, sizeof *scale);
      break;
    default:
      *scale = 0.0F;
  }
}

// The same for the 64 quants of k in [4 * step, 4 * step + 4), which lie side by side; what depends on the layout alone
// is looked at once.
[[maybe_unused]] static inline void read_step(const LayoutShape& shape, PackedLayout layout, const uint8_t* panel,
                                              const uint8_t* quants, int step, ScalarBlock* out) {
  constexpr int kLanes = 4 * kPanelRows;
  const int steps_in_byte = 8 / shape.low_bits;  // planes of quants that share bytes
  const int planes = 8 / steps_in_byte;
  const uint8_t* low = quants + step % planes * kLanes;
  int low_shift = step / planes * shape.low_bits;
  if (shape.low_bits == 2) {
    low = quants + step / 4 * kLanes;
    low_shift = step % 4 * 2;
  }
  const uint8_t* high = quants + planes * kLanes + (shape.high_bits == 2 ? step / 4 * kLanes : 0);
  const int high_shift = shape.high_bits == 2 ? step % 4 * 2 : step;
  int q[kLanes];
  for (int lane = 0; lane < kLanes; ++lane) q[lane] = low[lane] >> low_shift & ((1 << shape.low_bits) - 1);
  if (shape.high_bits != 0) {
    const int mask = (1 << shape.high_bits) - 1;
    for (int lane = 0; lane < kLanes; ++lane) q[lane] |= (high[lane] >> high_shift & mask) << shape.low_bits;
  }
  if (layout == PackedLayout::kQ4Table) {
    for (int& value : q) value = panel[value];
  }
  for (int row = 0; row < kPanelRows; ++row) {
    for (int k = 0; k < 4; ++k) out->quants[4 * step + k][row] = q[4 * row + k] - shape.offset;
  }
}

[[maybe_unused]] static void read_block(PackedLayout layout, const uint8_t* panel, int64_t block, ScalarBlock* out) {
  const LayoutShape shape = layout_shape(layout);
  const uint8_t* group = group_of(shape, panel, block);
  const int sub = static_cast<int>(block % shape.group_blocks);
  const uint8_t* quants = group + shape.quants_offset + sub * shape.block_bytes;
  for (int step = 0; step < kActivationBlock / 4; ++step) read_step(shape, layout, panel, quants, step, out);
  for (int part = 0; part < shape.scale_parts; ++part) {
    for (int row = 0; row < kPanelRows; ++row) {
      read_scale(layout, group, sub, part, row, &out->scales[part][row], &out->mins[part][row]);
    }
  }
}

// One weight of a float layout.
[[maybe_unused]] static inline float read_float(PackedLayout layout, const uint8_t* panel, int64_t k, int row) {
  if (layout == PackedLayout::kF32) {
    float value;
    memcpy(&value, panel + (k * kPanelRows + row) * 4, sizeof value);
    return value;
  }
  uint16_t bits;
  if (layout == PackedLayout::kF16) {
    memcpy(&bits, panel + (k * kPanelRows + row) * 2, sizeof bits);
    return f16_to_float(bits);
  }
  memcpy(&bits, panel + ((k / 2 * kPanelRows + row) * 2 + k % 2) * 2, sizeof bits);
  return bf16_to_float(bits);
}

// count (<= 32) values from column 32 * block on as floats, exactly as dequantize_row gives them: out[k][row].
[[maybe_unused]] static void read_values(PackedLayout layout, const uint8_t* panel, int64_t block, int count,
                                         float (*out)[kPanelRows]) {
  const LayoutShape shape = layout_shape(layout);
  if (shape.group_blocks == 0) {
    for (int k = 0; k < count; ++k) {
      for (int row = 0; row < kPanelRows; ++row) {
        out[k][row] = read_float(layout, panel, block * kActivationBlock + k, row);
      }
    }
    return;
  }
  ScalarBlock b;
  read_block(layout, panel, block, &b);
  for (int k = 0; k < count; ++k) {
    const int part = k * shape.scale_parts / kActivationBlock;
    for (int row = 0; row < kPanelRows; ++row) {
      const float product = b.scales[part][row] * static_cast<float>(b.quants[k][row]);
      out[k][row] = shape.has_min ? product + b.mins[part][row] : product;
    }
  }
}

}  // namespace fastserve::kernels
