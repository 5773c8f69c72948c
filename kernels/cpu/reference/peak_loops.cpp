// Portable peak loops, and the choice among all.
#include "kernels/cpu/peak_loops.h"

#include "kernels/kernel_api.h"

namespace fastserve::kernels {

#ifdef FASTSERVE_X86_KERNELS
namespace avx2 {
PeakLoops peak_loops();
}
namespace avx512 {
PeakLoops peak_loops(bool has_vnni);
uint64_t peak_bf16_loop(uint64_t rounds);
}  // namespace avx512
#endif

namespace {

uint64_t read_words(const void* data, size_t size_bytes) {
  const auto* words = static_cast<const uint64_t*>(data);
  uint64_t sum[8] = {};
  for (size_t i = 0; i < size_bytes / sizeof(uint64_t); i += 8) {
    for (int lane = 0; lane < 8; ++lane) sum[lane] += words[i + static_cast<size_t>(lane)];
  }
  return sum[0] + sum[1] + sum[2] + sum[3] + sum[4] + sum[5] + sum[6] + sum[7];
}

uint64_t int8_loop(uint64_t rounds) {
  int32_t sums[16] = {};
  for (uint64_t round = 0; round < rounds; ++round) {
    for (int lane = 0; lane < 16; ++lane) sums[lane] += static_cast<int8_t>(round) * static_cast<int8_t>(lane);
  }
  uint64_t total = 0;
  for (const int32_t sum : sums) total += static_cast<uint64_t>(sum);
  return total;
}

uint64_t f32_loop(uint64_t rounds) {
  float sums[32] = {};
  for (uint64_t round = 0; round < rounds; ++round) {
    for (float& sum : sums) sum = sum * 0.999f + 1.0f;
  }
  float total = 0;
  for (const float sum : sums) total += sum;
  return static_cast<uint64_t>(total);
}

}  // namespace

PeakLoops peak_loops() {
#ifdef FASTSERVE_X86_KERNELS
  const CpuFeatures& cpu = cpu_features();
  if (cpu.avx512) {
    PeakLoops loops = avx512::peak_loops(cpu.avx512_vnni);
    if (cpu.avx512_bf16) {
      loops.bf16 = avx512::peak_bf16_loop;
      loops.bf16_ops_per_round = loops.f32_ops_per_round * 2;  // twice the elements in a vector
    }
    return loops;
  }
  if (cpu.avx2 && cpu.fma) return avx2::peak_loops();
#endif
  return {read_words, int8_loop, 32, nullptr, 0, f32_loop, 64};
}

}  // namespace fastserve::kernels
