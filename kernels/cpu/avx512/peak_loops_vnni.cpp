// The int8 peak with VNNI.
#include <cstdint>

#include <immintrin.h>

namespace fastserve::kernels::avx512 {

uint64_t peak_int8_vnni(uint64_t rounds) {
  constexpr int kAccumulators = 16;  // as in peak_loops.cpp
  __m512i sums[kAccumulators];
  for (__m512i& sum : sums) sum = _mm512_setzero_si512();
  const __m512i a = _mm512_set1_epi8(3), b = _mm512_set1_epi8(5);
  for (uint64_t round = 0; round < rounds; ++round) {
    for (__m512i& sum : sums) sum = _mm512_dpbusd_epi32(sum, a, b);
  }
  __m512i total = _mm512_setzero_si512();
  for (const __m512i sum : sums) total = _mm512_add_epi32(total, sum);
  return static_cast<uint64_t>(_mm512_reduce_add_epi32(total));
}

}  // namespace fastserve::kernels::avx512
