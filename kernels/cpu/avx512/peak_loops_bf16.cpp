// The bf16 peak.
#include <cstdint>

#include <immintrin.h>

namespace fastserve::kernels::avx512 {

uint64_t peak_bf16_loop(uint64_t rounds) {
  constexpr int kAccumulators = 16;  // as in peak_loops.cpp
  __m512 sums[kAccumulators];
  for (__m512& sum : sums) sum = _mm512_setzero_ps();
  const __m512 ones = _mm512_set1_ps(1.0f);
  const __m512bh a = _mm512_cvtne2ps_pbh(ones, ones), b = a;
  for (uint64_t round = 0; round < rounds; ++round) {
    for (__m512& sum : sums) sum = _mm512_dpbf16_ps(sum, a, b);
  }
  __m512 total = _mm512_setzero_ps();
  for (const __m512 sum : sums) total = _mm512_add_ps(total, sum);
  return static_cast<uint64_t>(_mm512_reduce_add_ps(total));
}

}  // namespace fastserve::kernels::avx512
