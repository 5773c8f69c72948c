// Scalar reading of packed panels on a device: scales of a K-block, and single weights as floats.
#pragma once
#include "kernels/cuda/simt.cuh"
#include "kernels/packed_layout.h"

namespace fastserve::kernels::cuda {

// layout_shape as constants that device code can read.
template <PackedLayout layout>
struct Shape {
  static constexpr LayoutShape whole = layout_shape(layout);
  static constexpr int group_blocks = whole.group_blocks, group_bytes = whole.group_bytes;
  static constexpr int quants_offset = whole.quants_offset, block_bytes = whole.block_bytes;
  static constexpr int low_bits = whole.low_bits, high_bits = whole.high_bits;
  static constexpr int scale_parts = whole.scale_parts, offset = whole.offset, header_bytes = whole.header_bytes;
  static constexpr bool has_min = whole.has_min;
};

constexpr bool is_float_layout(PackedLayout layout) { return layout_shape(layout).group_blocks == 0; }

__device__ __forceinline__ uint16_t read_u16(const uint8_t* address) {
  return *reinterpret_cast<const uint16_t*>(address);
}
__device__ __forceinline__ float read_half(const uint8_t* base, int index) {
  return half_bits_to_float(read_u16(base + 2 * index));
}

// The group of a K-block, and the K-block's place in it.
template <PackedLayout layout>
__device__ __forceinline__ const uint8_t* group_of(const uint8_t* panel, int block, int& sub) {
  using shape = Shape<layout>;
  sub = block % shape::group_blocks;
  return panel + shape::header_bytes + static_cast<int64_t>(block / shape::group_blocks) * shape::group_bytes;
}

// Scale and minimum of (K-block, part, row); kernel_api.h has the table.
template <PackedLayout layout>
__device__ __forceinline__ void read_scale(const uint8_t* group, int sub, int part, int row, float& scale, float& min) {
  const uint8_t* small = group + 64;
  min = 0.0f;
  if constexpr (layout == PackedLayout::kQ8 || layout == PackedLayout::kQ4 || layout == PackedLayout::kQ5) {
    scale = read_half(group, sub * 16 + row);
  } else if constexpr (layout == PackedLayout::kQ4Min || layout == PackedLayout::kQ5Min) {
    scale = read_half(group, row);
    min = read_half(group, 16 + row);
  } else if constexpr (layout == PackedLayout::kQ4K || layout == PackedLayout::kQ5K) {
    scale = read_half(group, row) * static_cast<float>(small[sub * 16 + row]);
    min = -(read_half(group, 16 + row) * static_cast<float>(small[128 + sub * 16 + row]));
  } else if constexpr (layout == PackedLayout::kQ6K || layout == PackedLayout::kQ3K) {
    scale = read_half(group, row) * static_cast<float>(static_cast<int8_t>(small[(sub * 2 + part) * 16 + row]));
  } else if constexpr (layout == PackedLayout::kQ2K) {
    scale = read_half(group, row) * static_cast<float>(small[(sub * 2 + part) * 16 + row] & 15);
    min = -(read_half(group, 16 + row) * static_cast<float>(small[(sub * 2 + part) * 16 + row] >> 4));
  } else {
    scale = reinterpret_cast<const float*>(group)[row];
  }
}

// A quant with its offset removed; `quants` is the K-block's, k in [0, 32).
template <PackedLayout layout>
__device__ __forceinline__ int read_quant(const uint8_t* panel, const uint8_t* quants, int k, int row) {
  using shape = Shape<layout>;
  constexpr int kLowBytes = shape::low_bits * 64;
  const int step = k / 4, lane = row * 4 + k % 4;
  int q;
  if constexpr (shape::low_bits == 8) {
    q = quants[step * 64 + lane];
  } else if constexpr (shape::low_bits == 4) {
    q = quants[step % 4 * 64 + lane] >> (step / 4 * 4) & 15;
  } else {
    q = quants[step / 4 * 64 + lane] >> (step % 4 * 2) & 3;
  }
  if constexpr (shape::high_bits == 1) {
    q |= (quants[kLowBytes + lane] >> step & 1) << shape::low_bits;
  } else if constexpr (shape::high_bits == 2) {
    q |= (quants[kLowBytes + step / 4 * 64 + lane] >> (step % 4 * 2) & 3) << shape::low_bits;
  }
  if constexpr (layout == PackedLayout::kQ4Table) q = panel[q];
  return q - shape::offset;
}

// One weight, exactly as dequantize_row gives it.
template <PackedLayout layout>
__device__ __forceinline__ float panel_value(const uint8_t* panel, int64_t k, int row) {
  if constexpr (layout == PackedLayout::kF32) {
    return reinterpret_cast<const float*>(panel)[k * kPanelRows + row];
  } else if constexpr (layout == PackedLayout::kF16) {
    return half_bits_to_float(read_u16(panel + (k * kPanelRows + row) * 2));
  } else if constexpr (layout == PackedLayout::kBF16) {
    return bf16_bits_to_float(read_u16(panel + ((k / 2 * kPanelRows + row) * 2 + k % 2) * 2));
  } else {
    using shape = Shape<layout>;
    int sub;
    const uint8_t* group = group_of<layout>(panel, static_cast<int>(k / kActivationBlock), sub);
    const int within = static_cast<int>(k % kActivationBlock);
    float scale, min;
    read_scale<layout>(group, sub, within * shape::scale_parts / kActivationBlock, row, scale, min);
    const auto q = static_cast<float>(
        read_quant<layout>(panel, group + shape::quants_offset + sub * shape::block_bytes, within, row));
    const float product = __fmul_rn(scale, q);
    return shape::has_min ? __fadd_rn(product, min) : product;
  }
}

template <PackedLayout value>
struct LayoutTag {
  static constexpr PackedLayout layout = value;
};
// Calls f with the layout as a compile-time constant; `otherwise` for what is no layout.
template <typename F, typename R>
R with_layout(PackedLayout layout, F&& f, R otherwise) {
  switch (layout) {
#define FSV_LAYOUT(name)   \
  case PackedLayout::name: \
    return f(LayoutTag<PackedLayout::name>{});
    FSV_LAYOUT(kF32)
    FSV_LAYOUT(kF16)
    FSV_LAYOUT(kBF16)
    FSV_LAYOUT(kQ8)
    FSV_LAYOUT(kQ4)
    FSV_LAYOUT(kQ4Min)
    FSV_LAYOUT(kQ5)
    FSV_LAYOUT(kQ5Min)
    FSV_LAYOUT(kQ4K)
    FSV_LAYOUT(kQ5K)
    FSV_LAYOUT(kQ6K)
    FSV_LAYOUT(kQ3K)
    FSV_LAYOUT(kQ2K)
    FSV_LAYOUT(kQ4Table)
#undef FSV_LAYOUT
    default:
      return otherwise;
  }
}

}  // namespace fastserve::kernels::cuda
