// bf16 weights with AVX512_BF16: activations are rounded to bf16 and multiplied in pairs, acc += w[2i]*a[2i] + w[2i+1]*
// a[2i+1] for i in order, as vdpbf16ps does it. Twice the rate of float, at bf16's precision of the activations.
#include "kernels/cpu/avx512/bytes64.h"
#include "kernels/cpu/cpu_kernels.h"
#include "kernels/cpu/simd/simd_matmul_float.h"

namespace fastserve::kernels {
namespace {

struct PairsBF16 {
  static constexpr int kColsPerStep = 2;
  // Two floats a word; a missing last one is zero, and so is its weight.
  static void fill(const float* source, int64_t cols, uint32_t* words) {
    for (int64_t k = 0; k < cols; k += 16) {
      const Vec x = load_first(source + k, static_cast<int>(cols - k < 16 ? cols - k : 16));
      const __m256bh pairs = _mm512_cvtneps_pbh(x.v);
      memcpy(words + k / 2, &pairs, sizeof pairs);
    }
  }
  template <int kRows, int kPanels>
  static FASTSERVE_APART void dot(const uint8_t* panels, int64_t panel_bytes, int64_t step_begin, int steps,
                                  const uint32_t* tile, float* acc) {
    Sums<kRows, kPanels> sums;
    sums.load_from(acc, step_begin == 0);
    for (int s = 0; s < steps; ++s) {
      __m512i w[kPanels];
      for (int p = 0; p < kPanels; ++p) w[p] = _mm512_load_si512(panels + p * panel_bytes + (step_begin + s) * 64);
      for (int i = 0; i < kRows; ++i) {
        const __m512i a = _mm512_set1_epi32(static_cast<int>(tile[i * kFloatStride + s]));
        for (int p = 0; p < kPanels; ++p) {
          sums.v[p][i].v = _mm512_dpbf16_ps(sums.v[p][i].v, (__m512bh)w[p], (__m512bh)a);
        }
      }
    }
    sums.store_to(acc);
  }
};

}  // namespace

namespace avx512 {

MatmulFn matmul_bf16(PackedLayout layout) { return layout == PackedLayout::kBF16 ? matmul_float<PairsBF16> : nullptr; }

}  // namespace avx512
}  // namespace fastserve::kernels
