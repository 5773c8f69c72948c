// AVX2 peak loops: 12 independent accumulators hide every latency.
#include "kernels/cpu/peak_loops.h"

#include <immintrin.h>

namespace fastserve::kernels::avx2 {
namespace {

constexpr int kAccumulators = 12;

uint64_t fold(__m256i value) {
  alignas(32) uint64_t lanes[4];
  _mm256_store_si256(reinterpret_cast<__m256i*>(lanes), value);
  return lanes[0] + lanes[1] + lanes[2] + lanes[3];
}

uint64_t read_vectors(const void* data, size_t size_bytes) {
  const auto* vectors = static_cast<const __m256i*>(data);
  __m256i sums[4] = {_mm256_setzero_si256(), _mm256_setzero_si256(), _mm256_setzero_si256(), _mm256_setzero_si256()};
  for (size_t i = 0; i < size_bytes / 32; i += 4) {
    for (size_t lane = 0; lane < 4; ++lane) {
      sums[lane] = _mm256_xor_si256(sums[lane], _mm256_load_si256(vectors + i + lane));
    }
  }
  return fold(sums[0]) + fold(sums[1]) + fold(sums[2]) + fold(sums[3]);
}

uint64_t int8_loop(uint64_t rounds) {
  __m256i sums[kAccumulators];
  for (__m256i& sum : sums) sum = _mm256_setzero_si256();
  __m256i a = _mm256_set1_epi8(3);
  const __m256i b = _mm256_set1_epi8(5), ones = _mm256_set1_epi16(1);
  for (uint64_t round = 0; round < rounds; ++round) {
    asm volatile("" : "+x"(a));
    for (__m256i& sum : sums) sum = _mm256_add_epi32(sum, _mm256_madd_epi16(_mm256_maddubs_epi16(a, b), ones));
  }
  __m256i total = _mm256_setzero_si256();
  for (const __m256i sum : sums) total = _mm256_add_epi32(total, sum);
  return fold(total);
}

uint64_t f32_loop(uint64_t rounds) {
  __m256 sums[kAccumulators];
  for (__m256& sum : sums) sum = _mm256_setzero_ps();
  const __m256 a = _mm256_set1_ps(0.999f), b = _mm256_set1_ps(1.0f);
  for (uint64_t round = 0; round < rounds; ++round) {
    for (__m256& sum : sums) sum = _mm256_fmadd_ps(sum, a, b);
  }
  __m256 total = _mm256_setzero_ps();
  for (const __m256 sum : sums) total = _mm256_add_ps(total, sum);
  return fold(_mm256_castps_si256(total));
}

}  // namespace

PeakLoops peak_loops() {
  return {read_vectors, int8_loop, kAccumulators * 32 * 2, nullptr, 0, f32_loop, kAccumulators * 8 * 2};
}

}  // namespace fastserve::kernels::avx2
