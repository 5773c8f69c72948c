// One K-block of any quantised layout as eight vectors of unsigned bytes (vector t, lane [row][j] = q[4t+j][row]) and
// its scales as floats. `Vectors<layout>` is what the int8 and the float kernels of this folder read panels with.
#pragma once
#include <immintrin.h>

#include "kernels/packed_layout.h"

namespace fastserve::kernels::avx512 {

static inline __m512i load_bytes(const uint8_t* p) { return _mm512_load_si512(p); }
static inline __m512 load_halves(const uint8_t* p) {
  return _mm512_cvtph_ps(_mm256_load_si256(reinterpret_cast<const __m256i*>(p)));
}
static inline __m512 unsigned_bytes(__m128i bytes) { return _mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(bytes)); }
static inline __m512 signed_bytes(__m128i bytes) { return _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(bytes)); }
static inline __m128i load_small(const uint8_t* p) { return _mm_load_si128(reinterpret_cast<const __m128i*>(p)); }
static inline __m512 negate(__m512 x) { return _mm512_xor_ps(x, _mm512_set1_ps(-0.0F)); }

// Bits [from, from + n) of every byte moved to [to, to + n); neighbours' bits come along and must be masked off.
template <int kFrom, int kTo>
static inline __m512i move_bits(__m512i x) {
  if constexpr (kFrom > kTo) return _mm512_srli_epi16(x, kFrom - kTo);
  if constexpr (kFrom < kTo) return _mm512_slli_epi16(x, kTo - kFrom);
  return x;
}

// low | (bits & mask)
static inline __m512i merge(__m512i low, __m512i bits, int mask) {
  return _mm512_ternarylogic_epi32(low, bits, _mm512_set1_epi8(static_cast<char>(mask)), 0xf8);
}

template <int kParts>
struct BlockVectors {
  __m512i q[8];
  __m512 scale[kParts];
  __m512 min[kParts];  // only of layouts with a minimum
};

static inline void read_nibbles(const uint8_t* quants, __m512i* q) {
  const __m512i mask = _mm512_set1_epi8(15);
  for (int s = 0; s < 4; ++s) {
    const __m512i x = load_bytes(quants + 64 * s);
    q[s] = _mm512_and_si512(x, mask);
    q[s + 4] = _mm512_and_si512(_mm512_srli_epi16(x, 4), mask);
  }
}

static inline void read_pairs(const uint8_t* quants, __m512i* q) {
  const __m512i mask = _mm512_set1_epi8(3);
  for (int v = 0; v < 2; ++v) {
    const __m512i x = load_bytes(quants + 64 * v);
    q[4 * v] = _mm512_and_si512(x, mask);
    q[4 * v + 1] = _mm512_and_si512(_mm512_srli_epi16(x, 2), mask);
    q[4 * v + 2] = _mm512_and_si512(_mm512_srli_epi16(x, 4), mask);
    q[4 * v + 3] = _mm512_and_si512(_mm512_srli_epi16(x, 6), mask);
  }
}

template <int kBit>
static inline void add_ones(const uint8_t* ones, __m512i* q) {
  const __m512i x = load_bytes(ones);
  q[0] = merge(q[0], move_bits<0, kBit>(x), 1 << kBit);
  q[1] = merge(q[1], move_bits<1, kBit>(x), 1 << kBit);
  q[2] = merge(q[2], move_bits<2, kBit>(x), 1 << kBit);
  q[3] = merge(q[3], move_bits<3, kBit>(x), 1 << kBit);
  q[4] = merge(q[4], move_bits<4, kBit>(x), 1 << kBit);
  q[5] = merge(q[5], move_bits<5, kBit>(x), 1 << kBit);
  q[6] = merge(q[6], move_bits<6, kBit>(x), 1 << kBit);
  q[7] = merge(q[7], move_bits<7, kBit>(x), 1 << kBit);
}

static inline void add_high_pairs(const uint8_t* pairs, __m512i* q) {
  for (int v = 0; v < 2; ++v) {
    const __m512i x = load_bytes(pairs + 64 * v);
    q[4 * v] = merge(q[4 * v], move_bits<0, 4>(x), 0x30);
    q[4 * v + 1] = merge(q[4 * v + 1], move_bits<2, 4>(x), 0x30);
    q[4 * v + 2] = merge(q[4 * v + 2], move_bits<4, 4>(x), 0x30);
    q[4 * v + 3] = merge(q[4 * v + 3], move_bits<6, 4>(x), 0x30);
  }
}

template <PackedLayout kLayout>
struct Vectors {
  static constexpr LayoutShape kShape = layout_shape(kLayout);
  static constexpr int kParts = kShape.scale_parts;
  static constexpr bool kHasMin = kShape.has_min;
  static constexpr int kOffset = kShape.offset;

  static inline void read_quants(const uint8_t* panel, const uint8_t* quants, __m512i* q) {
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
      const __m512i table = load_bytes(panel);
      for (int t = 0; t < 8; ++t) q[t] = _mm512_shuffle_epi8(table, q[t]);
    }
  }

  static inline void read_scales(const uint8_t* group, int sub, __m512* scale, __m512* min) {
    const uint8_t* small = group + 64;
    if constexpr (kLayout == PackedLayout::kQ8 || kLayout == PackedLayout::kQ4 || kLayout == PackedLayout::kQ5) {
      scale[0] = load_halves(group + 32 * sub);
    } else if constexpr (kLayout == PackedLayout::kQ4Min || kLayout == PackedLayout::kQ5Min) {
      scale[0] = load_halves(group);
      min[0] = load_halves(group + 32);
    } else if constexpr (kLayout == PackedLayout::kQ4K || kLayout == PackedLayout::kQ5K) {
      scale[0] = _mm512_mul_ps(load_halves(group), unsigned_bytes(load_small(small + 16 * sub)));
      min[0] = negate(_mm512_mul_ps(load_halves(group + 32), unsigned_bytes(load_small(small + 128 + 16 * sub))));
    } else if constexpr (kLayout == PackedLayout::kQ6K || kLayout == PackedLayout::kQ3K) {
      const __m512 d = load_halves(group);
      scale[0] = _mm512_mul_ps(d, signed_bytes(load_small(small + 32 * sub)));
      scale[1] = _mm512_mul_ps(d, signed_bytes(load_small(small + 32 * sub + 16)));
    } else if constexpr (kLayout == PackedLayout::kQ2K) {
      const __m512 d = load_halves(group), dmin = load_halves(group + 32);
      const __m128i nibble = _mm_set1_epi8(15);
      for (int p = 0; p < 2; ++p) {
        const __m128i both = load_small(small + 32 * sub + 16 * p);
        scale[p] = _mm512_mul_ps(d, unsigned_bytes(_mm_and_si128(both, nibble)));
        min[p] = negate(_mm512_mul_ps(dmin, unsigned_bytes(_mm_and_si128(_mm_srli_epi16(both, 4), nibble))));
      }
    } else {
      scale[0] = _mm512_load_ps(group);
    }
  }

  // K-block `block` of a panel.
  static inline void read(const uint8_t* panel, int64_t block, BlockVectors<kParts>* out) {
    const uint8_t* group = panel + kShape.header_bytes + block / kShape.group_blocks * kShape.group_bytes;
    const int sub = static_cast<int>(block % kShape.group_blocks);
    read_quants(panel, group + kShape.quants_offset + sub * kShape.block_bytes, out->q);
    read_scales(group, sub, out->scale, out->min);
  }
};

}  // namespace fastserve::kernels::avx512
