// What kernels here are written in: CUDA itself under nvcc; under a host compiler the same names from an emulator of
// blocks and warps (FASTSERVE_SIMT_HOST names its header), so that tests run the very same sources without a device.
//
// Warp-wide matrix products and asynchronous copies stand behind functions. Fragments are those of the PTX manual's
// mma.m16n8k*: lane 4g+t holds of A rows g (a0, a2) and g+8 (a1, a3), of B column g, of C rows g (c0, c1) and g+8
// (c2, c3) and columns 2t, 2t+1.
#pragma once
#include <cstdint>

#if defined(__CUDACC__)
#include <cuda_runtime.h>

#define FSV_UNROLL _Pragma("unroll")
#define FSV_GRID_CONSTANT const __grid_constant__  // an argument whose parts are indexed where they lie

namespace fastserve::kernels::cuda {

constexpr unsigned kAllLanes = 0xffffffffu;

__device__ __forceinline__ uint8_t* shared_memory() {
  extern __shared__ __align__(16) uint8_t fastserve_shared[];
  return fastserve_shared;
}

// Weights are read once: they leave the first cache to what is read again.
__device__ __forceinline__ uint2 load_weights(const uint2* address) {
  uint2 value;
  asm("ld.global.nc.L1::no_allocate.v2.u32 {%0, %1}, [%2];" : "=r"(value.x), "=r"(value.y) : "l"(address));
  return value;
}

__device__ __forceinline__ float half_bits_to_float(uint16_t bits) {
  float value;
  asm("cvt.f32.f16 %0, %1;" : "=f"(value) : "h"(bits));
  return value;
}
__device__ __forceinline__ uint16_t float_to_half_bits(float value) {
  uint16_t bits;
  asm("cvt.rn.f16.f32 %0, %1;" : "=h"(bits) : "f"(value));
  return bits;
}

// Sixteen bytes from global to shared memory, or zeros; seen by the issuing thread after its wait, by others after a
// barrier behind that.
__device__ __forceinline__ void copy_async(void* shared, const void* global, bool valid) {
#if __CUDA_ARCH__ >= 800
  const auto target = static_cast<unsigned>(__cvta_generic_to_shared(shared));
  const int bytes = valid ? 16 : 0;
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(target), "l"(global), "r"(bytes) : "memory");
#else
  *static_cast<uint4*>(shared) = valid ? *static_cast<const uint4*>(global) : make_uint4(0, 0, 0, 0);
#endif
}
__device__ __forceinline__ void copy_async_commit() {
#if __CUDA_ARCH__ >= 800
  asm volatile("cp.async.commit_group;" ::: "memory");
#endif
}
// All but the last `pending` committed groups are there.
template <int pending>
__device__ __forceinline__ void copy_async_wait() {
#if __CUDA_ARCH__ >= 800
  asm volatile("cp.async.wait_group %0;" ::"n"(pending) : "memory");
#endif
}

// c += A * B, int8: A 16x16 in a[0..1], B 16x8 in b.
__device__ __forceinline__ void mma_s8_k16(int32_t (&c)[4], uint32_t a0, uint32_t a1, uint32_t b) {
#if __CUDA_ARCH__ >= 800
  asm("mma.sync.aligned.m16n8k16.row.col.s32.s8.s8.s32 {%0, %1, %2, %3}, {%4, %5}, {%6}, {%0, %1, %2, %3};"
      : "+r"(c[0]), "+r"(c[1]), "+r"(c[2]), "+r"(c[3])
      : "r"(a0), "r"(a1), "r"(b));
#else
  asm("mma.sync.aligned.m8n8k16.row.col.s32.s8.s8.s32 {%0, %1}, {%2}, {%3}, {%0, %1};"
      : "+r"(c[0]), "+r"(c[1])
      : "r"(a0), "r"(b));
  asm("mma.sync.aligned.m8n8k16.row.col.s32.s8.s8.s32 {%0, %1}, {%2}, {%3}, {%0, %1};"
      : "+r"(c[2]), "+r"(c[3])
      : "r"(a1), "r"(b));
#endif
}
// c += A * B, int8: A 16x32 (columns 0-15 in a[0..1], 16-31 in a[2..3]), B 32x8.
__device__ __forceinline__ void mma_s8_k32(int32_t (&c)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1) {
#if __CUDA_ARCH__ >= 800
  asm("mma.sync.aligned.m16n8k32.row.col.s32.s8.s8.s32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, "
      "{%0, %1, %2, %3};"
      : "+r"(c[0]), "+r"(c[1]), "+r"(c[2]), "+r"(c[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
#else
  mma_s8_k16(c, a[0], a[1], b0);
  mma_s8_k16(c, a[2], a[3], b1);
#endif
}

#if __CUDA_ARCH__ < 800
// Turing has no bf16 products: the same sums by exchange between lanes. Slow; a model in f16 or quantised avoids it.
__device__ __noinline__ static void exchange_bf16(float (&c)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1) {
  const int lane = threadIdx.x & 31, quad = lane & ~3, column = (lane & 3) * 2;
  for (int t = 0; t < 4; ++t) {
    const uint32_t words[4] = {__shfl_sync(kAllLanes, a[0], quad + t), __shfl_sync(kAllLanes, a[1], quad + t),
                               __shfl_sync(kAllLanes, a[2], quad + t), __shfl_sync(kAllLanes, a[3], quad + t)};
    for (int n = 0; n < 2; ++n) {
      const uint32_t low = __shfl_sync(kAllLanes, b0, (column + n) * 4 + t);
      const uint32_t high = __shfl_sync(kAllLanes, b1, (column + n) * 4 + t);
      for (int r = 0; r < 2; ++r) {
        float& sum = c[2 * r + n];
        sum += __uint_as_float(words[r] << 16) * __uint_as_float(low << 16);
        sum += __uint_as_float(words[r] & 0xffff0000u) * __uint_as_float(low & 0xffff0000u);
        sum += __uint_as_float(words[r + 2] << 16) * __uint_as_float(high << 16);
        sum += __uint_as_float(words[r + 2] & 0xffff0000u) * __uint_as_float(high & 0xffff0000u);
      }
    }
  }
}
#endif

// c += A * B: A 16x16, B 16x8, pairs of bf16 or of half in a word.
__device__ __forceinline__ void mma_bf16(float (&c)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1) {
#if __CUDA_ARCH__ >= 800
  asm("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, "
      "{%0, %1, %2, %3};"
      : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
#else
  exchange_bf16(c, a, b0, b1);
#endif
}
__device__ __forceinline__ void mma_f16(float (&c)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1) {
#if __CUDA_ARCH__ >= 800
  asm("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, "
      "{%0, %1, %2, %3};"
      : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
#else
  asm("mma.sync.aligned.m16n8k8.row.col.f32.f16.f16.f32 {%0, %1, %2, %3}, {%4, %5}, {%6}, {%0, %1, %2, %3};"
      : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
      : "r"(a[0]), "r"(a[1]), "r"(b0));
  asm("mma.sync.aligned.m16n8k8.row.col.f32.f16.f16.f32 {%0, %1, %2, %3}, {%4, %5}, {%6}, {%0, %1, %2, %3};"
      : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
      : "r"(a[2]), "r"(a[3]), "r"(b1));
#endif
}

}  // namespace fastserve::kernels::cuda
#else
#include FASTSERVE_SIMT_HOST
#endif

namespace fastserve::kernels::cuda {

constexpr int kWarp = 32;
constexpr int kThreads = 256;  // of every block: reductions over a block have one order
constexpr int kWarps = kThreads / kWarp;

__device__ __forceinline__ float bf16_bits_to_float(uint16_t bits) {
  return __uint_as_float(static_cast<uint32_t>(bits) << 16);
}
__device__ __forceinline__ uint16_t float_to_bf16_bits(float value) {
  const uint32_t bits = __float_as_uint(value);
  if ((bits & 0x7fffffffu) > 0x7f800000u) return static_cast<uint16_t>((bits >> 16) | 0x40u);
  return static_cast<uint16_t>((bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16);
}

__device__ __forceinline__ int lane_index() { return static_cast<int>(threadIdx.x) % kWarp; }
__device__ __forceinline__ int warp_index() { return static_cast<int>(threadIdx.x) / kWarp; }

__device__ __forceinline__ float warp_sum(float value) {
  for (int step = kWarp / 2; step > 0; step /= 2) value += __shfl_xor_sync(kAllLanes, value, step);
  return value;
}
__device__ __forceinline__ float warp_max(float value) {
  for (int step = kWarp / 2; step > 0; step /= 2) value = fmaxf(value, __shfl_xor_sync(kAllLanes, value, step));
  return value;
}

// The sum over a block of kThreads, in every thread. `room` holds kWarps floats and is free again on return.
__device__ __forceinline__ float block_sum(float value, float* room) {
  value = warp_sum(value);
  if (lane_index() == 0) room[warp_index()] = value;
  __syncthreads();
  float sum = 0.0f;
  for (int warp = 0; warp < kWarps; ++warp) sum += room[warp];
  __syncthreads();
  return sum;
}

}  // namespace fastserve::kernels::cuda
