// Matrix products over packed panels by tensor cores. A panel's 16 rows are the rows of mma.m16n8k*, and its bytes
// already lie as fragments do: a lane loads rows 2g and 2g+1 of the steps that it holds (8 bytes, a warp 256 in a row).
// Eight columns of B are eight rows of activations, so that 1 to 8 of them cost the same. int8 sums of a K-block are
// exact; a lane then scales its four sums and adds them in float, K-block after K-block.
#pragma once
#include "kernels/cuda/panel_product.cuh"
#include "kernels/cuda/panel_values.cuh"
#include "kernels/cuda/simt.cuh"

namespace fastserve::kernels::cuda {

__device__ __forceinline__ uint2 panel_word(const uint8_t* quants, int vector, int row_pair) {
  return load_weights(reinterpret_cast<const uint2*>(quants + vector * 64 + row_pair * 8));
}

// The bytes of a K-block that a lane holds, as loaded.
template <PackedLayout layout>
struct RawBlock {
  using shape = Shape<layout>;
  static constexpr int kLow = shape::low_bits == 4 ? 1 : 2;
  static constexpr int kHigh = shape::high_bits;
  static constexpr bool kPairScale = shape::scale_parts == 2;
  uint2 low[kLow];
  uint2 high[kHigh > 0 ? kHigh : 1];
  float2 scale[kPairScale ? 2 : 1];  // of rows 2g and 2g+1
  float2 min[kPairScale ? 2 : 1];

  __device__ __forceinline__ void load(const uint8_t* panel, int block) {
    const int pair = lane_index() / 4, t = lane_index() % 4;
    int sub;
    const uint8_t* group = group_of<layout>(panel, block, sub);
    const uint8_t* quants = group + shape::quants_offset + sub * shape::block_bytes;
    if constexpr (shape::low_bits == 8) {
      low[0] = panel_word(quants, t, pair);
      low[1] = panel_word(quants, t + 4, pair);
    } else if constexpr (shape::low_bits == 4) {
      low[0] = panel_word(quants, t, pair);
    } else {
      low[0] = panel_word(quants, 0, pair);
      low[1] = panel_word(quants, 1, pair);
    }
    const uint8_t* upper = quants + shape::low_bits * 64;
    for (int i = 0; i < kHigh; ++i) high[i] = panel_word(upper, i, pair);
    for (int part = 0; part < shape::scale_parts; ++part) {
      read_scale<layout>(group, sub, part, 2 * pair, scale[part].x, min[part].x);
      read_scale<layout>(group, sub, part, 2 * pair + 1, scale[part].y, min[part].y);
    }
  }

  // Fragment of A: words of (row 2g, columns 4t..), (row 2g+1, 4t..), (2g, 16+4t..), (2g+1, 16+4t..), as int8.
  __device__ __forceinline__ void unpack(const uint32_t (&table)[4], uint32_t (&a)[4]) const {
    const int t = lane_index() % 4;
    uint32_t first[2], second[2];  // of either row: columns 4t.. and 16+4t..
    for (int row = 0; row < 2; ++row) {
      const uint32_t w0 = row == 0 ? low[0].x : low[0].y;
      const uint32_t w1 = row == 0 ? low[kLow - 1].x : low[kLow - 1].y;
      if constexpr (shape::low_bits == 8) {
        first[row] = w0;
        second[row] = w1;
      } else if constexpr (shape::low_bits == 4) {
        first[row] = w0 & 0x0f0f0f0fu;
        second[row] = (w0 >> 4) & 0x0f0f0f0fu;
      } else {
        first[row] = (w0 >> (2 * t)) & 0x03030303u;
        second[row] = (w1 >> (2 * t)) & 0x03030303u;
      }
      const uint32_t h0 = row == 0 ? high[0].x : high[0].y;
      if constexpr (kHigh == 1) {
        first[row] |= ((h0 >> t) & 0x01010101u) << shape::low_bits;
        second[row] |= ((h0 >> (t + 4)) & 0x01010101u) << shape::low_bits;
      } else if constexpr (kHigh == 2) {
        const uint32_t h1 = row == 0 ? high[1].x : high[1].y;
        first[row] |= ((h0 >> (2 * t)) & 0x03030303u) << shape::low_bits;
        second[row] |= ((h1 >> (2 * t)) & 0x03030303u) << shape::low_bits;
      }
      first[row] = to_signed(table, first[row]);
      second[row] = to_signed(table, second[row]);
    }
    a[0] = first[0];
    a[1] = first[1];
    a[2] = second[0];
    a[3] = second[1];
  }

 private:
  // Four quants less their offset: no byte carries into the next, since 128 - offset + quant fits one.
  static __device__ __forceinline__ uint32_t to_signed(const uint32_t (&table)[4], uint32_t q) {
    if constexpr (layout == PackedLayout::kQ4Table) {
      return look_up(table, q) ^ 0x80808080u;
    } else if constexpr (shape::offset == 128) {
      return q ^ 0x80808080u;
    } else if constexpr (shape::offset != 0) {
      constexpr uint32_t kLift = (128u - shape::offset) * 0x01010101u;
      return (q + kLift) ^ 0x80808080u;
    } else {
      return q;
    }
  }
  // Four bytes of a table of sixteen, by four nibbles.
  static __device__ __forceinline__ uint32_t look_up(const uint32_t (&table)[4], uint32_t q) {
    const uint32_t folded = q | (q >> 4);  // nibbles 0 and 1 in byte 0, 2 and 3 in byte 2
    const uint32_t selectors = (folded & 0xffu) | ((folded >> 8) & 0xff00u);
    const uint32_t below = __byte_perm(table[0], table[1], selectors & 0x7777u);
    const uint32_t above = __byte_perm(table[2], table[3], selectors & 0x7777u);
    // Byte i from `above` where nibble i is 8 or more: pick byte i or byte i + 4.
    return __byte_perm(below, above, 0x3210u + ((selectors & 0x8888u) >> 1));
  }
};

// bf16: 32 columns are two steps of 16.
template <>
struct RawBlock<PackedLayout::kBF16> {
  uint2 words[4];  // of step s: pairs t (2s) and t+4 (2s+1), rows 2g and 2g+1

  __device__ __forceinline__ void load(const uint8_t* panel, int block, int pairs) {
    const int pair = lane_index() / 4, t = lane_index() % 4;
    for (int i = 0; i < 4; ++i) {
      const int vector = block * 16 + i * 4 + t;
      words[i] =
          vector < pairs
              ? load_weights(reinterpret_cast<const uint2*>(panel + static_cast<int64_t>(vector) * 64 + pair * 8))
              : make_uint2(0, 0);
    }
  }
};

__device__ __forceinline__ uint32_t activation_word(const ActivationRows& rows, int row, int64_t offset) {
  return row < rows.m ? *reinterpret_cast<const uint32_t*>(rows.data + row * rows.stride_bytes + offset) : 0u;
}
__device__ __forceinline__ float activation_scale(const ActivationRows& rows, int row, int block) {
  return row < rows.m ? rows.scales[row * rows.scales_stride + block] : 0.0f;
}

constexpr int32_t kMagicBits = 0x4b400000;  // of 1.5 * 2^23: integers added to the bits are integers added to the float
__device__ __forceinline__ float magic_to_float(int32_t bits) { return __fadd_rn(__int_as_float(bits), -12582912.0f); }

// acc[4] of a tile += scaled sums; c0, c1 are row 2g of columns 2t and 2t+1, c2, c3 row 2g+1.
__device__ __forceinline__ void add_scaled(float (&acc)[4], const int32_t (&sums)[4], const float2& scale,
                                           const float2& column_scale) {
  acc[0] = fmaf(magic_to_float(sums[0]), __fmul_rn(scale.x, column_scale.x), acc[0]);
  acc[1] = fmaf(magic_to_float(sums[1]), __fmul_rn(scale.x, column_scale.y), acc[1]);
  acc[2] = fmaf(magic_to_float(sums[2]), __fmul_rn(scale.y, column_scale.x), acc[2]);
  acc[3] = fmaf(magic_to_float(sums[3]), __fmul_rn(scale.y, column_scale.y), acc[3]);
}
__device__ __forceinline__ void add_minimum(float (&acc)[4], const int32_t (&sums)[4], const float2& min,
                                            const float2& column_scale) {
  const float first = __fmul_rn(column_scale.x, magic_to_float(sums[0]));
  const float second = __fmul_rn(column_scale.y, magic_to_float(sums[1]));
  acc[0] = fmaf(min.x, first, acc[0]);
  acc[1] = fmaf(min.x, second, acc[1]);
  acc[2] = fmaf(min.y, first, acc[2]);
  acc[3] = fmaf(min.y, second, acc[3]);
}

// One K-block of `panels` panels with `tiles` tiles of eight activation rows, from row `row_begin` of `rows` on;
// `block` counts from the first column of rows.data. Tiles past the last row are skipped.
template <PackedLayout layout, int panels, int tiles>
__device__ __forceinline__ void multiply_block(const RawBlock<layout> (&raw)[panels],
                                               const uint32_t (&tables)[panels][4], const ActivationRows& rows,
                                               int row_begin, int block, float (&acc)[panels][tiles][4]) {
  const int g = lane_index() / 4, t = lane_index() % 4;
  if constexpr (layout == PackedLayout::kBF16) {
    FSV_UNROLL for (int tile = 0; tile < tiles; ++tile) {
      if (row_begin + 8 * tile >= rows.m) continue;
      const int row = row_begin + 8 * tile + g;
      FSV_UNROLL for (int step = 0; step < 2; ++step) {
        const int64_t offset = static_cast<int64_t>(block) * 64 + step * 32 + t * 4;
        const uint32_t b0 = activation_word(rows, row, offset), b1 = activation_word(rows, row, offset + 16);
        FSV_UNROLL for (int panel = 0; panel < panels; ++panel) {
          const uint2 near = raw[panel].words[2 * step], far = raw[panel].words[2 * step + 1];
          const uint32_t a[4] = {near.x, near.y, far.x, far.y};
          mma_bf16(acc[panel][tile], a, b0, b1);
        }
      }
    }
  } else {
    using shape = Shape<layout>;
    uint32_t a[panels][4];
    FSV_UNROLL for (int panel = 0; panel < panels; ++panel) raw[panel].unpack(tables[panel], a[panel]);
    FSV_UNROLL for (int tile = 0; tile < tiles; ++tile) {
      const int first = row_begin + 8 * tile;
      if (first >= rows.m) continue;
      const int64_t offset = static_cast<int64_t>(block) * kActivationBlock + t * 4;
      const uint32_t b[2] = {activation_word(rows, first + g, offset), activation_word(rows, first + g, offset + 16)};
      const float2 column_scale =
          make_float2(activation_scale(rows, first + 2 * t, block), activation_scale(rows, first + 2 * t + 1, block));
      constexpr uint32_t kOnes = 0x01010101u;
      FSV_UNROLL for (int part = 0; part < shape::scale_parts; ++part) {
        int32_t input_sums[4] = {kMagicBits, kMagicBits, kMagicBits, kMagicBits};
        if constexpr (shape::has_min && shape::scale_parts == 1) {
          const uint32_t ones[4] = {kOnes, kOnes, kOnes, kOnes};
          mma_s8_k32(input_sums, ones, b[0], b[1]);
        } else if constexpr (shape::has_min) {
          mma_s8_k16(input_sums, kOnes, kOnes, b[part]);
        }
        FSV_UNROLL for (int panel = 0; panel < panels; ++panel) {
          int32_t sums[4] = {kMagicBits, kMagicBits, kMagicBits, kMagicBits};
          if constexpr (shape::scale_parts == 1) {
            mma_s8_k32(sums, a[panel], b[0], b[1]);
          } else {
            mma_s8_k16(sums, a[panel][2 * part], a[panel][2 * part + 1], b[part]);
          }
          add_scaled(acc[panel][tile], sums, raw[panel].scale[part], column_scale);
          if constexpr (shape::has_min) add_minimum(acc[panel][tile], input_sums, raw[panel].min[part], column_scale);
        }
      }
    }
  }
}

// The sixteen bytes that kQ4Table's nibbles stand for, from the head of a panel.
template <PackedLayout layout>
__device__ __forceinline__ void load_table(const uint8_t* panel, uint32_t (&table)[4]) {
  for (int i = 0; i < 4; ++i) {
    table[i] = layout == PackedLayout::kQ4Table ? reinterpret_cast<const uint32_t*>(panel)[i] : 0u;
  }
}

template <PackedLayout layout>
__device__ __forceinline__ void load_block(RawBlock<layout>& raw, const uint8_t* panel, int block, int64_t cols) {
  if constexpr (layout == PackedLayout::kBF16) {
    raw.load(panel, block, static_cast<int>((cols + 1) / 2));
  } else {
    raw.load(panel, block);
  }
}

}  // namespace fastserve::kernels::cuda
