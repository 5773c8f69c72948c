// int8 matrix kernels with AVX-512 VNNI: eight dot instructions a K-block, activations as broadcast memory operands.
#include "kernels/cpu/activation_tile.h"
#include "kernels/cpu/avx512/bytes64.h"
#include "kernels/cpu/cpu_kernels.h"
#include "kernels/cpu/inlining.h"

namespace fastserve::kernels {
namespace {

// sum += q (unsigned) * the four bytes at a, in every lane. As text, because compilers move the broadcast out of the
// panel loop into registers that are not there, and spill it; as a memory operand it costs nothing.
FASTSERVE_INLINE __m512i dot_step(__m512i sum, __m512i q, const int8_t* a) {
#if defined(__GNUC__)
  __asm__("vpdpbusd %2%{1to16%}, %1, %0" : "+v"(sum) : "v"(q), "m"(*reinterpret_cast<const int8_t(*)[4]>(a)));
  return sum;
#else
  int32_t four;
  memcpy(&four, a, sizeof four);
  return _mm512_dpbusd_epi32(sum, q, _mm512_set1_epi32(four));
#endif
}

template <typename V>
FASTSERVE_INLINE Vec dot_block(const typename V::Block& w, const ActivationTile& tile, int row, int block, Vec acc) {
  const int8_t* a = tile.values + row * kTileStride + block * kActivationBlock;
  const int at = row * kTileBlocks + block;
  const Vec a_scale = splat(tile.scales[at]);
  __m512i sum[2];
  FASTSERVE_UNROLL
  for (int half = 0; half < 2; ++half) {
    const bool starts_part = V::kParts == 2 || half == 0;
    sum[half] = V::kOffset != 0 && starts_part ? _mm512_set1_epi32(tile.corrections[at * V::kParts + half])
                                               : _mm512_setzero_si512();
    FASTSERVE_UNROLL
    for (int t = 4 * half; t < 4 * half + 4; ++t) sum[half] = dot_step(sum[half], w.q[t].v, a + 4 * t);
  }
  if constexpr (V::kParts == 1) sum[0] = _mm512_add_epi32(sum[0], sum[1]);
  FASTSERVE_UNROLL
  for (int p = 0; p < V::kParts; ++p) {
    acc = fma(Vec{_mm512_cvtepi32_ps(sum[p])}, w.scale[p] * a_scale, acc);
    if constexpr (V::kHasMin) acc = fma(w.min[p], splat(tile.scaled_sums[at * V::kParts + p]), acc);
  }
  return acc;
}

}  // namespace
}  // namespace fastserve::kernels

#include "kernels/cpu/simd/simd_matmul_q8.h"

namespace fastserve::kernels::avx512 {

MatmulFn matmul_q8_vnni(PackedLayout layout) { return matmul_q8_of(layout); }

}  // namespace fastserve::kernels::avx512
