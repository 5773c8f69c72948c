// Sixty-four bytes in one AVX-512 register: a vector of a packed K-block, lane [row][j]. avx2/bytes64.h is its mirror.
#pragma once
#include <immintrin.h>

#include "kernels/cpu/avx512/vec16.h"
#include "kernels/cpu/inlining.h"

namespace fastserve::kernels {
namespace {

struct Bytes {
  __m512i v;
};

FASTSERVE_INLINE Bytes load_bytes(const uint8_t* p) { return {_mm512_load_si512(p)}; }
FASTSERVE_INLINE Bytes and_bytes(Bytes x, int mask) {
  return {_mm512_and_si512(x.v, _mm512_set1_epi8(static_cast<char>(mask)))};
}
// low | (bits & mask)
FASTSERVE_INLINE Bytes merge_bits(Bytes low, Bytes bits, int mask) {
  return {_mm512_ternarylogic_epi32(low.v, bits.v, _mm512_set1_epi8(static_cast<char>(mask)), 0xf8)};
}
// Bits from `kFrom` up moved to `kTo`; neighbours' bits come along and must be masked off.
template <int kFrom, int kTo>
FASTSERVE_INLINE Bytes move_bits(Bytes x) {
  if constexpr (kFrom > kTo) return {_mm512_srli_epi16(x.v, kFrom - kTo)};
  if constexpr (kFrom < kTo) return {_mm512_slli_epi16(x.v, kTo - kFrom)};
  return x;
}
// table: 16 bytes, four times.
FASTSERVE_INLINE Bytes look_up(const uint8_t* table, Bytes index) {
  return {_mm512_shuffle_epi8(_mm512_load_si512(table), index.v)};
}

// 16 halves, or bytes, as floats; 32 and 16 byte aligned.
FASTSERVE_INLINE Vec halves_to_floats(const uint8_t* p) {
  return {_mm512_cvtph_ps(_mm256_load_si256(reinterpret_cast<const __m256i*>(p)))};
}
FASTSERVE_INLINE Vec unsigned_to_floats(__m128i bytes) { return {_mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(bytes))}; }
FASTSERVE_INLINE Vec signed_to_floats(__m128i bytes) { return {_mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(bytes))}; }
FASTSERVE_INLINE Vec negate(Vec x) { return {_mm512_xor_ps(x.v, _mm512_set1_ps(-0.0F))}; }

// Column j (0..3) of the 16 lanes, less `offset`, as floats.
template <int kColumn>
FASTSERVE_INLINE Vec column_to_floats(Bytes x, int offset) {
  const __m512i q = _mm512_and_si512(_mm512_srli_epi32(x.v, 8 * kColumn), _mm512_set1_epi32(255));
  return {_mm512_cvtepi32_ps(_mm512_sub_epi32(q, _mm512_set1_epi32(offset)))};
}

// 16 pairs of bfloat16: the low or high ones as floats.
FASTSERVE_INLINE Vec low_bf16(const uint8_t* p) {
  return {_mm512_castsi512_ps(_mm512_slli_epi32(_mm512_load_si512(p), 16))};
}
FASTSERVE_INLINE Vec high_bf16(const uint8_t* p) {
  return {_mm512_castsi512_ps(_mm512_and_si512(_mm512_load_si512(p), _mm512_set1_epi32(-65536)))};
}

}  // namespace
}  // namespace fastserve::kernels
