// One K-block of any quantised layout as eight vectors of unsigned bytes (vector t, lane [row][j] = q[4t+j][row]) and
// its scales as floats. In terms of Bytes and Vec: include after bytes64.h of an instruction set.
#pragma once
#include "kernels/cpu/inlining.h"
#include "kernels/packed_layout.h"

namespace fastserve::kernels {
namespace {

template <int kParts>
struct BlockVectors {
  Bytes q[8];
  Vec scale[kParts];
  Vec min[kParts];  // only of layouts with a minimum
};

FASTSERVE_INLINE __m128i load_16(const uint8_t* p) { return _mm_load_si128(reinterpret_cast<const __m128i*>(p)); }

FASTSERVE_INLINE void read_nibbles(const uint8_t* quants, Bytes* q) {
  for (int s = 0; s < 4; ++s) {
    const Bytes x = load_bytes(quants + 64 * s);
    q[s] = and_bytes(x, 15);
    q[s + 4] = and_bytes(move_bits<4, 0>(x), 15);
  }
}

FASTSERVE_INLINE void read_pairs(const uint8_t* quants, Bytes* q) {
  for (int v = 0; v < 2; ++v) {
    const Bytes x = load_bytes(quants + 64 * v);
    q[4 * v] = and_bytes(x, 3);
    q[4 * v + 1] = and_bytes(move_bits<2, 0>(x), 3);
    q[4 * v + 2] = and_bytes(move_bits<4, 0>(x), 3);
    q[4 * v + 3] = and_bytes(move_bits<6, 0>(x), 3);
  }
}

// Bit t of each byte becomes bit kBit of vector t.
template <int kBit>
FASTSERVE_INLINE void add_ones(const uint8_t* ones, Bytes* q) {
  const Bytes x = load_bytes(ones);
  q[0] = merge_bits(q[0], move_bits<0, kBit>(x), 1 << kBit);
  q[1] = merge_bits(q[1], move_bits<1, kBit>(x), 1 << kBit);
  q[2] = merge_bits(q[2], move_bits<2, kBit>(x), 1 << kBit);
  q[3] = merge_bits(q[3], move_bits<3, kBit>(x), 1 << kBit);
  q[4] = merge_bits(q[4], move_bits<4, kBit>(x), 1 << kBit);
  q[5] = merge_bits(q[5], move_bits<5, kBit>(x), 1 << kBit);
  q[6] = merge_bits(q[6], move_bits<6, kBit>(x), 1 << kBit);
  q[7] = merge_bits(q[7], move_bits<7, kBit>(x), 1 << kBit);
}

FASTSERVE_INLINE void add_high_pairs(const uint8_t* pairs, Bytes* q) {
  for (int v = 0; v < 2; ++v) {
    const Bytes x = load_bytes(pairs + 64 * v);
    q[4 * v] = merge_bits(q[4 * v], move_bits<0, 4>(x), 0x30);
    q[4 * v + 1] = merge_bits(q[4 * v + 1], move_bits<2, 4>(x), 0x30);
    q[4 * v + 2] = merge_bits(q[4 * v + 2], move_bits<4, 4>(x), 0x30);
    q[4 * v + 3] = merge_bits(q[4 * v + 3], move_bits<6, 4>(x), 0x30);
  }
}

// What panels of a layout are read with.
template <PackedLayout kLayout>
struct Vectors {
  static constexpr LayoutShape kShape = layout_shape(kLayout);
  static constexpr int kParts = kShape.scale_parts;
  static constexpr bool kHasMin = kShape.has_min;
  static constexpr int kOffset = kShape.offset;
  static constexpr int kQuantMax = kOffset == 128 ? 255 : (1 << (kShape.low_bits + kShape.high_bits)) - 1;
  using Block = BlockVectors<kParts>;

  static FASTSERVE_INLINE void read_quants(const uint8_t* panel, const uint8_t* quants, Bytes* q) {
    if constexpr (kShape.low_bits == 8) {
      for (int t = 0; t < 8; ++t) q[t] = load_bytes(quants + 64 * t);
    } else if constexpr (kShape.low_bits == 4) {
      read_nibbles(quants, q);
      if constexpr (kShape.high_bits == 1) add_ones<4>(quants + 256, q);
      if constexpr (kShape.high_bits == 2) add_high_pairs(quants + 256, q);
    } else {
      read_pairs(quants, q);
      if constexpr (kShape.high_bits == 1) add_ones<2>(quants + 128, q);
    }
    if constexpr (kShape.header_bytes != 0) {
      for (int t = 0; t < 8; ++t) q[t] = look_up(panel, q[t]);
    }
  }

  static FASTSERVE_INLINE void read_scales(const uint8_t* group, int sub, Vec* scale, Vec* min) {
    const uint8_t* small = group + 64;
    if constexpr (kLayout == PackedLayout::kQ8 || kLayout == PackedLayout::kQ4 || kLayout == PackedLayout::kQ5) {
      scale[0] = halves_to_floats(group + 32 * sub);
    } else if constexpr (kLayout == PackedLayout::kQ4Min || kLayout == PackedLayout::kQ5Min) {
      scale[0] = halves_to_floats(group);
      min[0] = halves_to_floats(group + 32);
    } else if constexpr (kLayout == PackedLayout::kQ4K || kLayout == PackedLayout::kQ5K) {
      scale[0] = halves_to_floats(group) * unsigned_to_floats(load_16(small + 16 * sub));
      min[0] = negate(halves_to_floats(group + 32) * unsigned_to_floats(load_16(small + 128 + 16 * sub)));
    } else if constexpr (kLayout == PackedLayout::kQ6K || kLayout == PackedLayout::kQ3K) {
      const Vec d = halves_to_floats(group);
      for (int p = 0; p < 2; ++p) scale[p] = d * signed_to_floats(load_16(small + 32 * sub + 16 * p));
    } else if constexpr (kLayout == PackedLayout::kQ2K) {
      const Vec d = halves_to_floats(group), dmin = halves_to_floats(group + 32);
      const __m128i nibble = _mm_set1_epi8(15);
      for (int p = 0; p < 2; ++p) {
        const __m128i both = load_16(small + 32 * sub + 16 * p);
        scale[p] = d * unsigned_to_floats(_mm_and_si128(both, nibble));
        min[p] = negate(dmin * unsigned_to_floats(_mm_and_si128(_mm_srli_epi16(both, 4), nibble)));
      }
    } else {
      scale[0] = load(reinterpret_cast<const float*>(group));
    }
  }

  // About the bytes of a K-block of a panel that comes later. Panels are too short for the processor's own prefetch to
  // get going, and it stops at pages.
  static FASTSERVE_INLINE void prefetch(const uint8_t* panel, int64_t block) {
    constexpr int kBlockBytes = kShape.group_bytes / kShape.group_blocks;
    const uint8_t* at = panel + block * kBlockBytes;
    FASTSERVE_UNROLL
    for (int i = 0; i < kBlockBytes; i += 64) _mm_prefetch(reinterpret_cast<const char*>(at + i), _MM_HINT_T1);
  }

  // K-block `block` of a panel.
  static FASTSERVE_INLINE void read(const uint8_t* panel, int64_t block, Block* out) {
    const uint8_t* group = panel + kShape.header_bytes + block / kShape.group_blocks * kShape.group_bytes;
    const int sub = static_cast<int>(block % kShape.group_blocks);
    read_quants(panel, group + kShape.quants_offset + sub * kShape.block_bytes, out->q);
    read_scales(group, sub, out->scale, out->min);
  }
};

}  // namespace
}  // namespace fastserve::kernels
