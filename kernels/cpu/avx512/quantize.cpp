// Activations to int8 with AVX-512: bit for bit the reference.
#include <immintrin.h>

#include "kernels/cpu/cpu_kernels.h"

namespace fastserve::kernels::avx512 {
namespace {

constexpr int kNearest = _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC;

void quantize_block(const float* x, int8_t* values, float* scale, int32_t* sum) {
  const __m512 x0 = _mm512_loadu_ps(x), x1 = _mm512_loadu_ps(x + 16);
  const __m512i magnitude = _mm512_set1_epi32(0x7fffffff);
  const __m512i m0 = _mm512_and_si512(_mm512_castps_si512(x0), magnitude);
  const __m512i m1 = _mm512_and_si512(_mm512_castps_si512(x1), magnitude);
  const uint32_t top = _mm512_reduce_max_epu32(_mm512_max_epu32(m0, m1));
  const float amax = _mm_cvtss_f32(_mm_castsi128_ps(_mm_cvtsi32_si128(static_cast<int>(top))));
  if (top >= 0x7f800000U || amax < kQuantizeTiny) {
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(values), _mm256_setzero_si256());
    const int bits = top >= 0x7f800000U ? 0x7fc00000 : 0;
    *scale = _mm_cvtss_f32(_mm_castsi128_ps(_mm_cvtsi32_si128(bits)));
    *sum = 0;
    return;
  }
  *scale = amax / 127.0F;
  const __m512 inverse = _mm512_set1_ps(127.0F / amax);
  const __m512i q0 = _mm512_cvt_roundps_epi32(_mm512_mul_ps(x0, inverse), kNearest);
  const __m512i q1 = _mm512_cvt_roundps_epi32(_mm512_mul_ps(x1, inverse), kNearest);
  _mm_storeu_si128(reinterpret_cast<__m128i*>(values), _mm512_cvtepi32_epi8(q0));
  _mm_storeu_si128(reinterpret_cast<__m128i*>(values + 16), _mm512_cvtepi32_epi8(q1));
  *sum = _mm512_reduce_add_epi32(_mm512_add_epi32(q0, q1));
}

}  // namespace

void quantize_q8(const QuantizeArgs* args) {
  const QuantizedRows& out = *args->output;
  const int64_t blocks = out.cols / kActivationBlock;
  for (int64_t row = args->row_begin; row < args->row_end; ++row) {
    const float* x = args->input + row * args->input_stride;
    for (int64_t b = 0; b < blocks; ++b) {
      quantize_block(x + b * kActivationBlock, out.values + row * out.cols + b * kActivationBlock,
                     out.scales + row * blocks + b, out.sums + row * blocks + b);
    }
  }
}

}  // namespace fastserve::kernels::avx512
