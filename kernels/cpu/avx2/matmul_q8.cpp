// int8 matrix kernels with AVX2. Products of unsigned quants and signed activations are added in pairs to 16 bits, and
// only as many of these are summed there as cannot overflow; 8-bit quants go by sign and magnitude, whose pairs fit.
#include "kernels/cpu/activation_tile.h"
#include "kernels/cpu/avx2/bytes64.h"
#include "kernels/cpu/cpu_kernels.h"
#include "kernels/cpu/inlining.h"

namespace fastserve::kernels {
namespace {

FASTSERVE_INLINE __m256i load_four(const int8_t* a) {
  int32_t four;
  memcpy(&four, a, sizeof four);
  return _mm256_set1_epi32(four);
}

FASTSERVE_INLINE __m256i widen(__m256i sums) { return _mm256_madd_epi16(sums, _mm256_set1_epi16(1)); }

// sums += the four columns of vector t for 8 rows, as 16-bit pairs.
template <typename V>
FASTSERVE_INLINE __m256i pair_products(__m256i q, __m256i a) {
  if constexpr (V::kQuantMax <= 63) {
    return _mm256_maddubs_epi16(q, a);
  } else {
    const __m256i signed_q = _mm256_xor_si256(q, _mm256_set1_epi8(-128));  // the offset of 128 is gone
    return _mm256_maddubs_epi16(_mm256_abs_epi8(signed_q), _mm256_sign_epi8(a, signed_q));
  }
}

// Vectors whose pair sums fit 16 bits together: |pair| <= 2 * 127 * max.
template <typename V>
constexpr int summable() {
  return V::kQuantMax <= 15 ? 4 : V::kQuantMax <= 31 ? 4 : V::kQuantMax <= 63 ? 2 : 1;
}

template <typename V>
FASTSERVE_INLINE Vec dot_block(const typename V::Block& w, const ActivationTile& tile, int row, int block, Vec acc) {
  constexpr int kRun = summable<V>();
  constexpr bool kCorrects = V::kOffset != 0 && V::kQuantMax <= 63;
  const int8_t* a = tile.values + row * kTileStride + block * kActivationBlock;
  const int at = row * kTileBlocks + block;
  const Vec a_scale = splat(tile.scales[at]);
  __m256i lo = _mm256_setzero_si256(), hi = lo;
  for (int half = 0; half < 2; ++half) {
    const bool starts_part = V::kParts == 2 || half == 0;
    if (starts_part) {
      lo = kCorrects ? _mm256_set1_epi32(tile.corrections[at * V::kParts + half]) : _mm256_setzero_si256();
      hi = lo;
    }
    for (int run = 4 * half; run < 4 * half + 4; run += kRun) {
      __m256i a4 = load_four(a + 4 * run);
      __m256i lo16 = pair_products<V>(w.q[run].lo, a4), hi16 = pair_products<V>(w.q[run].hi, a4);
      for (int t = run + 1; t < run + kRun; ++t) {
        a4 = load_four(a + 4 * t);
        lo16 = _mm256_add_epi16(lo16, pair_products<V>(w.q[t].lo, a4));
        hi16 = _mm256_add_epi16(hi16, pair_products<V>(w.q[t].hi, a4));
      }
      lo = _mm256_add_epi32(lo, widen(lo16));
      hi = _mm256_add_epi32(hi, widen(hi16));
    }
    const int part = V::kParts == 2 ? half : 0;
    if (V::kParts == 1 && half == 0) continue;
    acc = fma(Vec{_mm256_cvtepi32_ps(lo), _mm256_cvtepi32_ps(hi)}, w.scale[part] * a_scale, acc);
    if constexpr (V::kHasMin) acc = fma(w.min[part], splat(tile.scaled_sums[at * V::kParts + part]), acc);
  }
  return acc;
}

}  // namespace
}  // namespace fastserve::kernels

#include "kernels/cpu/simd/simd_matmul_q8.h"

namespace fastserve::kernels::avx2 {

MatmulFn matmul_q8(PackedLayout layout) { return matmul_q8_of(layout); }

}  // namespace fastserve::kernels::avx2
