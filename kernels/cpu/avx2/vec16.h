// Sixteen floats in two AVX2 registers: the vocabulary of kernels/cpu/simd. avx512/vec16.h is its mirror; the two
// compute the same bits. Everything is local to the including file.
#pragma once
#include <immintrin.h>

#include <cstdint>
#include <cstring>

#include "kernels/kernel_api.h"

namespace fastserve::kernels {
namespace {

constexpr int kVecRegisters = 2;  // ymm registers that hold 16 floats

constexpr int kLanes = 16;
constexpr int kAttentionRows = 4;  // (row, head) pairs that share a pass over keys; bounded by registers
// Register tiles of attention for that many pairs.
constexpr int key_blocks_at_once(int pairs) { return pairs == 1 ? 4 : pairs == 2 ? 2 : 1; }
constexpr int value_vectors_at_once(int pairs) { return pairs == 1 ? 4 : pairs == 2 ? 2 : 1; }

struct Vec {
  __m256 lo, hi;
};

// All ones in lanes below n.
inline __m256i first_lanes(int n) {
  return _mm256_cmpgt_epi32(_mm256_set1_epi32(n), _mm256_set_epi32(7, 6, 5, 4, 3, 2, 1, 0));
}

inline Vec splat(float x) { return {_mm256_set1_ps(x), _mm256_set1_ps(x)}; }
inline Vec zero() { return {_mm256_setzero_ps(), _mm256_setzero_ps()}; }
inline Vec load(const float* p) { return {_mm256_loadu_ps(p), _mm256_loadu_ps(p + 8)}; }
inline Vec load_first(const float* p, int n) {  // zeros behind
  return {_mm256_maskload_ps(p, first_lanes(n)), _mm256_maskload_ps(p + 8, first_lanes(n - 8))};
}
inline void store(float* p, Vec a) {
  _mm256_storeu_ps(p, a.lo);
  _mm256_storeu_ps(p + 8, a.hi);
}
inline void store_first(float* p, Vec a, int n) {
  _mm256_maskstore_ps(p, first_lanes(n), a.lo);
  _mm256_maskstore_ps(p + 8, first_lanes(n - 8), a.hi);
}

inline Vec operator+(Vec a, Vec b) { return {_mm256_add_ps(a.lo, b.lo), _mm256_add_ps(a.hi, b.hi)}; }
inline Vec operator-(Vec a, Vec b) { return {_mm256_sub_ps(a.lo, b.lo), _mm256_sub_ps(a.hi, b.hi)}; }
inline Vec operator*(Vec a, Vec b) { return {_mm256_mul_ps(a.lo, b.lo), _mm256_mul_ps(a.hi, b.hi)}; }
inline Vec operator/(Vec a, Vec b) { return {_mm256_div_ps(a.lo, b.lo), _mm256_div_ps(a.hi, b.hi)}; }
inline Vec fma(Vec a, Vec b, Vec c) { return {_mm256_fmadd_ps(a.lo, b.lo, c.lo), _mm256_fmadd_ps(a.hi, b.hi, c.hi)}; }
// The second operand where either is NaN.
inline Vec max_of(Vec a, Vec b) { return {_mm256_max_ps(a.lo, b.lo), _mm256_max_ps(a.hi, b.hi)}; }
inline Vec min_of(Vec a, Vec b) { return {_mm256_min_ps(a.lo, b.lo), _mm256_min_ps(a.hi, b.hi)}; }
inline Vec absolute(Vec a) {
  const __m256 sign = _mm256_set1_ps(-0.0f);
  return {_mm256_andnot_ps(sign, a.lo), _mm256_andnot_ps(sign, a.hi)};
}
inline Vec round_even(Vec a) {
  return {_mm256_round_ps(a.lo, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC),
          _mm256_round_ps(a.hi, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC)};
}
// a * 2^n, n integral, |n| <= 250: in two factors, so that only the last product rounds (to a subnormal).
inline __m256 scale_exponent_half(__m256 a, __m256 n) {
  const __m256i whole = _mm256_cvtps_epi32(n);
  const __m256i first = _mm256_srai_epi32(whole, 1);
  const __m256i second = _mm256_sub_epi32(whole, first);
  const __m256i bias = _mm256_set1_epi32(127);
  const __m256 by_first = _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_add_epi32(first, bias), 23));
  const __m256 by_second = _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_add_epi32(second, bias), 23));
  return _mm256_mul_ps(_mm256_mul_ps(a, by_first), by_second);
}
inline Vec scale_exponent(Vec a, Vec n) { return {scale_exponent_half(a.lo, n.lo), scale_exponent_half(a.hi, n.hi)}; }
// magnitude with the sign of `sign`.
inline Vec copy_sign(Vec magnitude, Vec sign) {
  const __m256 bit = _mm256_set1_ps(-0.0f);
  return {_mm256_or_ps(_mm256_andnot_ps(bit, magnitude.lo), _mm256_and_ps(bit, sign.lo)),
          _mm256_or_ps(_mm256_andnot_ps(bit, magnitude.hi), _mm256_and_ps(bit, sign.hi))};
}
// a < b ? yes : no
inline Vec choose_less(Vec a, Vec b, Vec yes, Vec no) {
  return {_mm256_blendv_ps(no.lo, yes.lo, _mm256_cmp_ps(a.lo, b.lo, _CMP_LT_OQ)),
          _mm256_blendv_ps(no.hi, yes.hi, _mm256_cmp_ps(a.hi, b.hi, _CMP_LT_OQ))};
}
// Lanes [begin, end) of a, `other` elsewhere.
inline __m256 keep_lanes_half(__m256 a, int begin, int end, __m256 other) {
  const __m256i mask = _mm256_andnot_si256(first_lanes(begin), first_lanes(end));
  return _mm256_blendv_ps(other, a, _mm256_castsi256_ps(mask));
}
inline Vec keep_lanes(Vec a, int begin, int end, Vec other) {
  return {keep_lanes_half(a.lo, begin, end, other.lo), keep_lanes_half(a.hi, begin - 8, end - 8, other.hi)};
}

// Lane i with i + 8, + 4, + 2, + 1.
inline float sum_lanes(Vec a) {
  const __m256 eight = _mm256_add_ps(a.lo, a.hi);
  __m128 four = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
  four = _mm_add_ps(four, _mm_permute_ps(four, 0x4e));
  four = _mm_add_ps(four, _mm_permute_ps(four, 0xb1));
  return _mm_cvtss_f32(four);
}
inline float max_lanes(Vec a) {
  const __m256 eight = _mm256_max_ps(a.lo, a.hi);
  __m128 four = _mm_max_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
  four = _mm_max_ps(four, _mm_permute_ps(four, 0x4e));
  four = _mm_max_ps(four, _mm_permute_ps(four, 0xb1));
  return _mm_cvtss_f32(four);
}
inline float first_lane(Vec a) { return _mm256_cvtss_f32(a.lo); }
inline float square_root(float x) { return _mm_cvtss_f32(_mm_sqrt_ss(_mm_set_ss(x))); }

// Pairs of neighbours: (a, b) -> (b, a); eight floats, each twice; lanes 0, 2, ... negated.
inline Vec swap_pairs(Vec a) { return {_mm256_permute_ps(a.lo, 0xb1), _mm256_permute_ps(a.hi, 0xb1)}; }
inline Vec load_twice(const float* p, int n) {
  const __m256 x = _mm256_maskload_ps(p, first_lanes(n));
  return {_mm256_permutevar8x32_ps(x, _mm256_set_epi32(3, 3, 2, 2, 1, 1, 0, 0)),
          _mm256_permutevar8x32_ps(x, _mm256_set_epi32(7, 7, 6, 6, 5, 5, 4, 4))};
}
inline Vec negate_even(Vec a) {
  const __m256 sign = _mm256_set_ps(0.0f, -0.0f, 0.0f, -0.0f, 0.0f, -0.0f, 0.0f, -0.0f);
  return {_mm256_xor_ps(sign, a.lo), _mm256_xor_ps(sign, a.hi)};
}

// Elements of the paged cache; kBF16 has Bf16Vec.
template <KvType type>
inline __m256 load_kv_half(const uint8_t* p) {
  if constexpr (type == KvType::kF32) {
    return _mm256_loadu_ps(reinterpret_cast<const float*>(p));
  } else if constexpr (type == KvType::kF16) {
    return _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
  } else {
    return _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(p))));
  }
}
template <KvType type>
inline Vec load_kv(const uint8_t* p) {
  return {load_kv_half<type>(p), load_kv_half<type>(p + 8 * kv_element_bytes(type))};
}
template <KvType type>
inline Vec load_kv_first(const uint8_t* p, int n) {
  alignas(32) uint8_t padded[16 * kv_element_bytes(type)] = {};
  memcpy(padded, p, static_cast<size_t>(n * kv_element_bytes(type)));
  return load_kv<type>(padded);
}

inline void store_f16(uint16_t* p, Vec a) {
  _mm_storeu_si128(reinterpret_cast<__m128i*>(p), _mm256_cvtps_ph(a.lo, _MM_FROUND_TO_NEAREST_INT));
  _mm_storeu_si128(reinterpret_cast<__m128i*>(p + 8), _mm256_cvtps_ph(a.hi, _MM_FROUND_TO_NEAREST_INT));
}
// Nearest even, NaN kept, as float_to_bf16; in the low half of each 32 bits.
inline __m256i bf16_half(__m256 a) {
  const __m256i bits = _mm256_castps_si256(a);
  const __m256i odd = _mm256_and_si256(_mm256_srli_epi32(bits, 16), _mm256_set1_epi32(1));
  const __m256i rounded = _mm256_add_epi32(bits, _mm256_add_epi32(odd, _mm256_set1_epi32(0x7fff)));
  const __m256i quiet = _mm256_or_si256(bits, _mm256_set1_epi32(0x400000));
  const __m256i nan = _mm256_castps_si256(_mm256_cmp_ps(a, a, _CMP_UNORD_Q));
  return _mm256_srli_epi32(_mm256_blendv_epi8(rounded, quiet, nan), 16);
}
inline void store_bf16(uint16_t* p, Vec a) {
  const __m256i words = _mm256_packus_epi32(bf16_half(a.lo), bf16_half(a.hi));
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), _mm256_permute4x64_epi64(words, 0xd8));
}

// Sixteen pairs of bf16 (the first of a pair in the low half of 32 bits), and one pair that multiplies them all, as two
// floats that hold bf16 values.
struct Bf16Vec {
  Vec first, second;
};
struct Bf16Pair {
  float first, second;
};
inline Vec dot(Vec sum, const Bf16Vec& a, const Bf16Pair* b) {
  return fma(a.second, splat(b->second), fma(a.first, splat(b->first), sum));
}
inline Bf16Vec split_pairs(__m256i lo, __m256i hi) {
  const __m256i second = _mm256_set1_epi32(static_cast<int>(0xffff0000u));
  return {{_mm256_castsi256_ps(_mm256_slli_epi32(lo, 16)), _mm256_castsi256_ps(_mm256_slli_epi32(hi, 16))},
          {_mm256_castsi256_ps(_mm256_and_si256(lo, second)), _mm256_castsi256_ps(_mm256_and_si256(hi, second))}};
}
// The pairs of the first n lanes, zeros behind; of each pair what `first` and `second` say, zero for the other.
inline Bf16Vec load_pairs(const uint8_t* p, int n, bool first, bool second) {
  const uint32_t keep = (first ? 0x0000ffffu : 0u) | (second ? 0xffff0000u : 0u);
  const __m256i mask = _mm256_set1_epi32(static_cast<int>(keep));
  const int* pairs = reinterpret_cast<const int*>(p);
  return split_pairs(_mm256_and_si256(mask, _mm256_maskload_epi32(pairs, first_lanes(n))),
                     _mm256_and_si256(mask, _mm256_maskload_epi32(pairs + 8, first_lanes(n - 8))));
}
inline Bf16Vec load_pairs(const uint8_t* p) {
  return split_pairs(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)),
                     _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p + 32)));
}
// a rounded to bf16, back as floats; its pairs into out[0..8).
inline Vec store_pairs(Bf16Pair* out, Vec a) {
  const Vec rounded = {_mm256_castsi256_ps(_mm256_slli_epi32(bf16_half(a.lo), 16)),
                       _mm256_castsi256_ps(_mm256_slli_epi32(bf16_half(a.hi), 16))};
  store(reinterpret_cast<float*>(out), rounded);
  return rounded;
}
// |a| <= 127.5
inline void store_int8(int8_t* p, Vec a) {
  const __m256i words =
      _mm256_permute4x64_epi64(_mm256_packs_epi32(_mm256_cvtps_epi32(a.lo), _mm256_cvtps_epi32(a.hi)), 0xd8);
  const __m128i bytes = _mm_packs_epi16(_mm256_castsi256_si128(words), _mm256_extracti128_si256(words, 1));
  _mm_storeu_si128(reinterpret_cast<__m128i*>(p), bytes);
}
// The largest magnitude as bits, in any order the same; a NaN wins.
inline Vec max_bits(Vec a, Vec b) {
  return {_mm256_castsi256_ps(_mm256_max_epu32(_mm256_castps_si256(a.lo), _mm256_castps_si256(b.lo))),
          _mm256_castsi256_ps(_mm256_max_epu32(_mm256_castps_si256(a.hi), _mm256_castps_si256(b.hi)))};
}
inline uint32_t max_bits_lanes(Vec a) {
  const __m256i eight = _mm256_max_epu32(_mm256_castps_si256(a.lo), _mm256_castps_si256(a.hi));
  __m128i four = _mm_max_epu32(_mm256_castsi256_si128(eight), _mm256_extracti128_si256(eight, 1));
  four = _mm_max_epu32(four, _mm_shuffle_epi32(four, 0x4e));
  four = _mm_max_epu32(four, _mm_shuffle_epi32(four, 0xb1));
  return static_cast<uint32_t>(_mm_cvtsi128_si32(four));
}

}  // namespace
}  // namespace fastserve::kernels
