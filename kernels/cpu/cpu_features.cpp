// CPUID and XCR0: what the processor has and the operating system saves.
#include "kernels/kernel_api.h"

#if defined(__x86_64__) || defined(_M_X64)
#if defined(_MSC_VER)
#include <intrin.h>
#else
#include <cpuid.h>
#endif
#define FASTSERVE_X86 1
#endif

namespace fastserve::kernels {
namespace {

#ifdef FASTSERVE_X86
struct Registers {
  uint32_t a, b, c, d;
};

Registers cpuid(uint32_t leaf, uint32_t subleaf) {
  Registers r{};
#if defined(_MSC_VER)
  int out[4];
  __cpuidex(out, static_cast<int>(leaf), static_cast<int>(subleaf));
  r = {static_cast<uint32_t>(out[0]), static_cast<uint32_t>(out[1]), static_cast<uint32_t>(out[2]),
       static_cast<uint32_t>(out[3])};
#else
  __cpuid_count(leaf, subleaf, r.a, r.b, r.c, r.d);
#endif
  return r;
}

uint64_t xcr0() {
#if defined(_MSC_VER)
  return _xgetbv(0);
#else
  uint32_t low = 0, high = 0;
  __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  return (uint64_t{high} << 32) | low;
#endif
}

bool bit(uint32_t word, int index) { return ((word >> index) & 1U) != 0; }

CpuFeatures detect() {
  CpuFeatures f{};
  const uint32_t leaf_max = cpuid(0, 0).a;
  if (leaf_max < 7) return f;
  const Registers l1 = cpuid(1, 0);
  const Registers l7 = cpuid(7, 0);
  const Registers l71 = l7.a >= 1 ? cpuid(7, 1) : Registers{};
  if (!bit(l1.c, 27)) return f;  // OSXSAVE
  const uint64_t saved = xcr0();
  const bool ymm = (saved & 0x6) == 0x6;
  const bool zmm = (saved & 0xe6) == 0xe6;
  const bool tile = (saved & 0x60000) == 0x60000;
  f.fma = ymm && bit(l1.c, 12);
  f.f16c = ymm && bit(l1.c, 29);
  f.avx2 = ymm && bit(l1.c, 28) && bit(l7.b, 5);
  f.avx_vnni = ymm && bit(l71.a, 4);
  // One name for the set that kernels/cpu/avx512 is compiled for: F, DQ, BW, VL.
  f.avx512 = zmm && f.avx2 && f.fma && f.f16c && bit(l7.b, 16) && bit(l7.b, 17) && bit(l7.b, 30) && bit(l7.b, 31);
  f.avx512_vnni = f.avx512 && bit(l7.c, 11);
  f.avx512_bf16 = f.avx512 && bit(l71.a, 5);
  f.amx_int8 = tile && bit(l7.d, 24) && bit(l7.d, 25);
  f.amx_bf16 = tile && bit(l7.d, 24) && bit(l7.d, 22);
  return f;
}
#else
CpuFeatures detect() { return {}; }
#endif

}  // namespace

const CpuFeatures& cpu_features() {
  static const CpuFeatures features = detect();
  return features;
}

}  // namespace fastserve::kernels
