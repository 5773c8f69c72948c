// Sixteen floats in one AVX-512 register: the vocabulary of kernels/cpu/simd. avx2/vec16.h is its mirror; the two
// compute the same bits. Everything is local to the including file.
#pragma once
#include <immintrin.h>

#include <cstdint>
#include <cstring>

#include "kernels/kernel_api.h"

namespace fastserve::kernels {
namespace {

constexpr int kVecRegisters = 1;  // zmm registers that hold 16 floats

constexpr int kLanes = 16;
constexpr int kAttentionRows = 8;  // (row, head) pairs that share a pass over keys; bounded by registers
// Register tiles of attention for that many pairs, as measured on Zen 4.
constexpr int key_blocks_at_once(int pairs) { return pairs == 1 ? 8 : pairs <= 4 ? 4 : 1; }
constexpr int value_vectors_at_once(int pairs) { return pairs <= 4 ? 4 : pairs <= 6 ? 2 : 1; }

struct Vec {
  __m512 v;
};

inline __mmask16 first_lanes(int n) { return static_cast<__mmask16>((1u << n) - 1u); }  // n in [0, 16]

inline Vec splat(float x) { return {_mm512_set1_ps(x)}; }
inline Vec zero() { return {_mm512_setzero_ps()}; }
inline Vec load(const float* p) { return {_mm512_loadu_ps(p)}; }
inline Vec load_first(const float* p, int n) { return {_mm512_maskz_loadu_ps(first_lanes(n), p)}; }  // zeros behind
inline void store(float* p, Vec a) { _mm512_storeu_ps(p, a.v); }
inline void store_first(float* p, Vec a, int n) { _mm512_mask_storeu_ps(p, first_lanes(n), a.v); }

inline Vec operator+(Vec a, Vec b) { return {_mm512_add_ps(a.v, b.v)}; }
inline Vec operator-(Vec a, Vec b) { return {_mm512_sub_ps(a.v, b.v)}; }
inline Vec operator*(Vec a, Vec b) { return {_mm512_mul_ps(a.v, b.v)}; }
inline Vec operator/(Vec a, Vec b) { return {_mm512_div_ps(a.v, b.v)}; }
inline Vec fma(Vec a, Vec b, Vec c) { return {_mm512_fmadd_ps(a.v, b.v, c.v)}; }
// The second operand where either is NaN.
inline Vec max_of(Vec a, Vec b) { return {_mm512_max_ps(a.v, b.v)}; }
inline Vec min_of(Vec a, Vec b) { return {_mm512_min_ps(a.v, b.v)}; }
inline Vec absolute(Vec a) { return {_mm512_abs_ps(a.v)}; }
inline Vec round_even(Vec a) { return {_mm512_roundscale_ps(a.v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC)}; }
// a * 2^n, n integral, |n| <= 250.
inline Vec scale_exponent(Vec a, Vec n) { return {_mm512_scalef_ps(a.v, n.v)}; }
// magnitude with the sign of `sign`.
inline Vec copy_sign(Vec magnitude, Vec sign) {
  const __m512i bit = _mm512_set1_epi32(INT32_MIN);
  return {_mm512_castsi512_ps(_mm512_or_si512(_mm512_andnot_si512(bit, _mm512_castps_si512(magnitude.v)),
                                              _mm512_and_si512(bit, _mm512_castps_si512(sign.v))))};
}
// a < b ? yes : no
inline Vec choose_less(Vec a, Vec b, Vec yes, Vec no) {
  return {_mm512_mask_blend_ps(_mm512_cmp_ps_mask(a.v, b.v, _CMP_LT_OQ), no.v, yes.v)};
}
// Lanes [begin, end) of a, `other` elsewhere.
inline Vec keep_lanes(Vec a, int begin, int end, Vec other) {
  const __mmask16 mask = static_cast<__mmask16>(first_lanes(end) & ~first_lanes(begin));
  return {_mm512_mask_blend_ps(mask, other.v, a.v)};
}

inline Vec half_above(Vec a) { return {_mm512_shuffle_f32x4(a.v, a.v, 0x4e)}; }
inline Vec quarter_above(Vec a) { return {_mm512_shuffle_f32x4(a.v, a.v, 0xb1)}; }
// Lane i with i + 8, + 4, + 2, + 1.
inline float sum_lanes(Vec a) {
  a = a + half_above(a);
  a = a + quarter_above(a);
  a = a + Vec{_mm512_permute_ps(a.v, 0x4e)};
  a = a + Vec{_mm512_permute_ps(a.v, 0xb1)};
  return _mm512_cvtss_f32(a.v);
}
inline float max_lanes(Vec a) {
  a = max_of(a, half_above(a));
  a = max_of(a, quarter_above(a));
  a = max_of(a, Vec{_mm512_permute_ps(a.v, 0x4e)});
  a = max_of(a, Vec{_mm512_permute_ps(a.v, 0xb1)});
  return _mm512_cvtss_f32(a.v);
}
inline float first_lane(Vec a) { return _mm512_cvtss_f32(a.v); }
inline float square_root(float x) { return _mm_cvtss_f32(_mm_sqrt_ss(_mm_set_ss(x))); }

// Pairs of neighbours: (a, b) -> (b, a); eight floats, each twice; lanes 0, 2, ... negated.
inline Vec swap_pairs(Vec a) { return {_mm512_permute_ps(a.v, 0xb1)}; }
inline Vec load_twice(const float* p, int n) {
  const __m512 x = _mm512_maskz_loadu_ps(first_lanes(n), p);
  return {_mm512_permutexvar_ps(_mm512_set_epi32(7, 7, 6, 6, 5, 5, 4, 4, 3, 3, 2, 2, 1, 1, 0, 0), x)};
}
inline Vec negate_even(Vec a) { return {_mm512_mask_sub_ps(a.v, 0x5555, _mm512_set1_ps(-0.0f), a.v)}; }

// Elements of the paged cache; kBF16 has Bf16Vec.
template <KvType type>
inline Vec load_kv(const uint8_t* p) {
  if constexpr (type == KvType::kF32) {
    return {_mm512_loadu_ps(reinterpret_cast<const float*>(p))};
  } else if constexpr (type == KvType::kF16) {
    return {_mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)))};
  } else {
    return {_mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p))))};
  }
}
template <KvType type>
inline Vec load_kv_first(const uint8_t* p, int n) {
  const __mmask16 mask = first_lanes(n);
  if constexpr (type == KvType::kF32) {
    return {_mm512_maskz_loadu_ps(mask, p)};
  } else if constexpr (type == KvType::kF16) {
    return {_mm512_cvtph_ps(_mm256_maskz_loadu_epi16(mask, p))};
  } else {
    return {_mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_maskz_loadu_epi8(mask, p)))};
  }
}

inline void store_f16(uint16_t* p, Vec a) {
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), _mm512_cvtps_ph(a.v, _MM_FROUND_TO_NEAREST_INT));
}
// Nearest even, NaN kept, as float_to_bf16.
inline void store_bf16(uint16_t* p, Vec a) {
  const __m512i bits = _mm512_castps_si512(a.v);
  const __m512i odd = _mm512_and_si512(_mm512_srli_epi32(bits, 16), _mm512_set1_epi32(1));
  const __m512i rounded = _mm512_add_epi32(bits, _mm512_add_epi32(odd, _mm512_set1_epi32(0x7fff)));
  const __m512i quiet = _mm512_or_si512(bits, _mm512_set1_epi32(0x400000));
  const __m512i kept = _mm512_mask_blend_epi32(_mm512_cmp_ps_mask(a.v, a.v, _CMP_UNORD_Q), rounded, quiet);
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), _mm512_cvtepi32_epi16(_mm512_srli_epi32(kept, 16)));
}

// Sixteen pairs of bf16 (the first of a pair in the low half of 32 bits), and one pair that multiplies them all. With
// AVX512_BF16 products of pairs are one instruction; else a pair is two floats that hold bf16 values.
#ifdef __AVX512BF16__
struct Bf16Vec {
  __m512i pairs;
};
using Bf16Pair = uint32_t;
inline Vec dot(Vec sum, const Bf16Vec& a, const Bf16Pair* b) {
  int bits;
  memcpy(&bits, b, sizeof bits);
  const __m512i all = _mm512_set1_epi32(bits);
  return {_mm512_dpbf16_ps(sum.v, reinterpret_cast<__m512bh>(a.pairs), reinterpret_cast<__m512bh>(all))};
}
#else
struct Bf16Vec {
  __m512 first, second;
};
struct Bf16Pair {
  float first, second;
};
inline Vec dot(Vec sum, const Bf16Vec& a, const Bf16Pair* b) {
  sum.v = _mm512_fmadd_ps(a.first, _mm512_set1_ps(b->first), sum.v);
  return {_mm512_fmadd_ps(a.second, _mm512_set1_ps(b->second), sum.v)};
}
#endif
// The pairs of the first n lanes, zeros behind; of each pair what `first` and `second` say, zero for the other.
inline Bf16Vec load_pairs(const uint8_t* p, int n, bool first, bool second) {
  const uint32_t keep = (first ? 0x0000ffffu : 0u) | (second ? 0xffff0000u : 0u);
  const __m512i pairs =
      _mm512_and_si512(_mm512_maskz_loadu_epi32(first_lanes(n), p), _mm512_set1_epi32(static_cast<int>(keep)));
#ifdef __AVX512BF16__
  return {pairs};
#else
  return {_mm512_castsi512_ps(_mm512_slli_epi32(pairs, 16)),
          _mm512_castsi512_ps(_mm512_and_si512(pairs, _mm512_set1_epi32(static_cast<int>(0xffff0000u))))};
#endif
}
inline Bf16Vec load_pairs(const uint8_t* p) {
  const __m512i pairs = _mm512_loadu_si512(p);
#ifdef __AVX512BF16__
  return {pairs};
#else
  return {_mm512_castsi512_ps(_mm512_slli_epi32(pairs, 16)),
          _mm512_castsi512_ps(_mm512_and_si512(pairs, _mm512_set1_epi32(static_cast<int>(0xffff0000u))))};
#endif
}
// a rounded to bf16, back as floats; its pairs into out[0..8).
inline Vec store_pairs(Bf16Pair* out, Vec a) {
  uint16_t values[kLanes];
  store_bf16(values, a);
  const __m256i halves = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(values));
  const Vec rounded = {_mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(halves), 16))};
#ifdef __AVX512BF16__
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(out), halves);
#else
  _mm512_storeu_ps(out, rounded.v);
#endif
  return rounded;
}
// |a| <= 127.5
inline void store_int8(int8_t* p, Vec a) {
  _mm_storeu_si128(reinterpret_cast<__m128i*>(p), _mm512_cvtepi32_epi8(_mm512_cvtps_epi32(a.v)));
}
// The largest magnitude as bits, in any order the same; a NaN wins.
inline Vec max_bits(Vec a, Vec b) {
  return {_mm512_castsi512_ps(_mm512_max_epu32(_mm512_castps_si512(a.v), _mm512_castps_si512(b.v)))};
}
inline uint32_t max_bits_lanes(Vec a) { return _mm512_reduce_max_epu32(_mm512_castps_si512(a.v)); }

}  // namespace
}  // namespace fastserve::kernels
