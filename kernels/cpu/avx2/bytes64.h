// Sixty-four bytes in two AVX2 registers: a vector of a packed K-block, lane [row][j]. avx512/bytes64.h is its mirror.
#pragma once
#include <immintrin.h>

#include "kernels/cpu/avx2/vec16.h"
#include "kernels/cpu/inlining.h"

namespace fastserve::kernels {
namespace {

struct Bytes {
  __m256i lo, hi;  // rows 0..7 and 8..15
};

FASTSERVE_INLINE __m256i load_32(const uint8_t* p) { return _mm256_load_si256(reinterpret_cast<const __m256i*>(p)); }
FASTSERVE_INLINE Bytes load_bytes(const uint8_t* p) { return {load_32(p), load_32(p + 32)}; }
FASTSERVE_INLINE Bytes and_bytes(Bytes x, int mask) {
  const __m256i m = _mm256_set1_epi8(static_cast<char>(mask));
  return {_mm256_and_si256(x.lo, m), _mm256_and_si256(x.hi, m)};
}
// low | (bits & mask)
FASTSERVE_INLINE Bytes merge_bits(Bytes low, Bytes bits, int mask) {
  const Bytes masked = and_bytes(bits, mask);
  return {_mm256_or_si256(low.lo, masked.lo), _mm256_or_si256(low.hi, masked.hi)};
}
// Bits from `kFrom` up moved to `kTo`; neighbours' bits come along and must be masked off.
template <int kFrom, int kTo>
FASTSERVE_INLINE Bytes move_bits(Bytes x) {
  if constexpr (kFrom > kTo) {
    return {_mm256_srli_epi16(x.lo, kFrom - kTo), _mm256_srli_epi16(x.hi, kFrom - kTo)};
  }
  if constexpr (kFrom < kTo) {
    return {_mm256_slli_epi16(x.lo, kTo - kFrom), _mm256_slli_epi16(x.hi, kTo - kFrom)};
  }
  return x;
}
// table: 16 bytes, four times.
FASTSERVE_INLINE Bytes look_up(const uint8_t* table, Bytes index) {
  const __m256i values = load_32(table);
  return {_mm256_shuffle_epi8(values, index.lo), _mm256_shuffle_epi8(values, index.hi)};
}

// 16 halves, or bytes, as floats; 32 and 16 byte aligned.
FASTSERVE_INLINE Vec halves_to_floats(const uint8_t* p) {
  const auto* halves = reinterpret_cast<const __m128i*>(p);
  return {_mm256_cvtph_ps(_mm_load_si128(halves)), _mm256_cvtph_ps(_mm_load_si128(halves + 1))};
}
FASTSERVE_INLINE Vec unsigned_to_floats(__m128i bytes) {
  return {_mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(bytes)),
          _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(_mm_srli_si128(bytes, 8)))};
}
FASTSERVE_INLINE Vec signed_to_floats(__m128i bytes) {
  return {_mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(bytes)),
          _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_srli_si128(bytes, 8)))};
}
FASTSERVE_INLINE Vec negate(Vec x) {
  const __m256 sign = _mm256_set1_ps(-0.0F);
  return {_mm256_xor_ps(x.lo, sign), _mm256_xor_ps(x.hi, sign)};
}

// Column j (0..3) of the 16 lanes, less `offset`, as floats.
template <int kColumn>
FASTSERVE_INLINE __m256 column_half(__m256i x, int offset) {
  const __m256i q = _mm256_and_si256(_mm256_srli_epi32(x, 8 * kColumn), _mm256_set1_epi32(255));
  return _mm256_cvtepi32_ps(_mm256_sub_epi32(q, _mm256_set1_epi32(offset)));
}
template <int kColumn>
FASTSERVE_INLINE Vec column_to_floats(Bytes x, int offset) {
  return {column_half<kColumn>(x.lo, offset), column_half<kColumn>(x.hi, offset)};
}

// 16 pairs of bfloat16: the low or high ones as floats.
FASTSERVE_INLINE Vec low_bf16(const uint8_t* p) {
  return {_mm256_castsi256_ps(_mm256_slli_epi32(load_32(p), 16)),
          _mm256_castsi256_ps(_mm256_slli_epi32(load_32(p + 32), 16))};
}
FASTSERVE_INLINE Vec high_bf16(const uint8_t* p) {
  const __m256i mask = _mm256_set1_epi32(-65536);
  return {_mm256_castsi256_ps(_mm256_and_si256(load_32(p), mask)),
          _mm256_castsi256_ps(_mm256_and_si256(load_32(p + 32), mask))};
}

}  // namespace
}  // namespace fastserve::kernels
