// AVX-512 peak loops: 16 independent accumulators hide every latency.
#include "kernels/cpu/peak_loops.h"

#include <immintrin.h>

namespace fastserve::kernels::avx512 {

uint64_t peak_int8_vnni(uint64_t rounds);

namespace {

constexpr int kAccumulators = 16;

uint64_t read_vectors(const void* data, size_t size_bytes) {
  const auto* vectors = static_cast<const __m512i*>(data);
  __m512i sums[4] = {_mm512_setzero_si512(), _mm512_setzero_si512(), _mm512_setzero_si512(), _mm512_setzero_si512()};
  // Eight streams keep more misses in flight than one.
  constexpr size_t kStreams = 8;
  const size_t per_stream = size_bytes / 64 / kStreams;
  for (size_t i = 0; i < per_stream; ++i) {
    for (size_t stream = 0; stream < kStreams; ++stream) {
      sums[stream & 3] = _mm512_xor_si512(sums[stream & 3], _mm512_load_si512(vectors + stream * per_stream + i));
    }
  }
  return static_cast<uint64_t>(_mm512_reduce_add_epi64(
      _mm512_xor_si512(_mm512_xor_si512(sums[0], sums[1]), _mm512_xor_si512(sums[2], sums[3]))));
}

uint64_t int8_loop(uint64_t rounds) {
  __m512i sums[kAccumulators];
  for (__m512i& sum : sums) sum = _mm512_setzero_si512();
  __m512i a = _mm512_set1_epi8(3);
  const __m512i b = _mm512_set1_epi8(5), ones = _mm512_set1_epi16(1);
  for (uint64_t round = 0; round < rounds; ++round) {
    asm volatile("" : "+v"(a));
    for (__m512i& sum : sums) sum = _mm512_add_epi32(sum, _mm512_madd_epi16(_mm512_maddubs_epi16(a, b), ones));
  }
  __m512i total = _mm512_setzero_si512();
  for (const __m512i sum : sums) total = _mm512_add_epi32(total, sum);
  return static_cast<uint64_t>(_mm512_reduce_add_epi32(total));
}

uint64_t f32_loop(uint64_t rounds) {
  __m512 sums[kAccumulators];
  for (__m512& sum : sums) sum = _mm512_setzero_ps();
  const __m512 a = _mm512_set1_ps(0.999f), b = _mm512_set1_ps(1.0f);
  for (uint64_t round = 0; round < rounds; ++round) {
    for (__m512& sum : sums) sum = _mm512_fmadd_ps(sum, a, b);
  }
  __m512 total = _mm512_setzero_ps();
  for (const __m512 sum : sums) total = _mm512_add_ps(total, sum);
  return static_cast<uint64_t>(_mm512_reduce_add_ps(total));
}

}  // namespace

PeakLoops peak_loops(bool has_vnni) {
  return {read_vectors,          has_vnni ? peak_int8_vnni : int8_loop, kAccumulators * 64 * 2, nullptr, 0, f32_loop,
          kAccumulators * 16 * 2};
}

}  // namespace fastserve::kernels::avx512
