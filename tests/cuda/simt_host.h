// An emulator of CUDA's blocks and warps for kernels written over simt.cuh: every thread of a block is a fiber that
// runs until it meets a barrier or a warp-wide operation. Blocks run one after the other. What real hardware would do
// in no defined way fails loudly: a thread that misses a barrier, lanes at different warp operations, shared memory
// read before it was written (it starts as NaN), asynchronous copies used before their wait, accesses behind the end of
// shared memory or of a GuardedMemory (a fault). Threads run in ascending or in descending order; what depends on it
// lacks a barrier.
#pragma once
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>

#include "kernels/device_api.h"

#define __global__
#define __device__
#define __host__
#define __forceinline__ inline
#define __launch_bounds__(...)
#define FSV_UNROLL
#define FSV_GRID_CONSTANT const

struct dim3 {
  unsigned x = 1, y = 1, z = 1;
};
struct alignas(8) uint2 {
  uint32_t x, y;
};
struct alignas(16) uint4 {
  uint32_t x, y, z, w;
};
struct alignas(8) float2 {
  float x, y;
};
struct alignas(16) float4 {
  float x, y, z, w;
};
inline uint2 make_uint2(uint32_t x, uint32_t y) { return {x, y}; }
inline uint4 make_uint4(uint32_t x, uint32_t y, uint32_t z, uint32_t w) { return {x, y, z, w}; }
inline float2 make_float2(float x, float y) { return {x, y}; }
inline float4 make_float4(float x, float y, float z, float w) { return {x, y, z, w}; }

namespace fastserve::simt {

struct Shape {
  dim3 grid, block;
  size_t shared_bytes = 0;
};

enum class Order { kAscending, kDescending };
// The order of threads, and of blocks, from now on.
void set_order(Order order);

// Runs a kernel for every block of the shape. False with a sentence where threads parted or waited for ever.
bool run(const char* what, const Shape& shape, const std::function<void()>& kernel, char* message, size_t capacity);

// Who keeps queues sets this, and runs what it is given when the queue's turn comes; null: work runs at once.
using Enqueue = kernels::DeviceResult (*)(kernels::DeviceQueue* queue, const char* what,
                                          kernels::DeviceMessage* message,
                                          std::function<bool(char* text, size_t capacity)> work);
inline Enqueue enqueue = nullptr;

struct Thread {
  dim3 index, block_index;
};
const Thread& current();
const Shape& current_shape();
uint8_t* shared_memory();
void block_barrier();

// A warp-wide operation: every lane of `mask` must come to it with the same `resolve`, which then computes all outputs.
constexpr size_t kLaneBytes = 64;
struct LaneData {
  alignas(16) uint8_t in[kLaneBytes];
  alignas(16) uint8_t out[kLaneBytes];
};
using Resolve = void (*)(LaneData* const lanes[32], unsigned mask);
void warp_operation(unsigned mask, const char* name, Resolve resolve, const void* in, size_t in_bytes, void* out,
                    size_t out_bytes);

void copy_async(void* target, const void* source, bool valid);
void copy_async_commit();
void copy_async_wait(int pending);

// For what a kernel itself finds wrong; does not return to the kernel.
void fail(const char* text);

struct ShuffleInput {
  uint64_t bits;
  int32_t source;
};
void resolve_shuffle(LaneData* const lanes[32], unsigned mask);
void resolve_ballot(LaneData* const lanes[32], unsigned mask);
void resolve_sync(LaneData* const lanes[32], unsigned mask);

template <typename T>
T shuffle(unsigned mask, T value, int source, const char* name) {
  static_assert(sizeof(T) <= 8);
  ShuffleInput input = {0, source};
  std::memcpy(&input.bits, &value, sizeof value);
  uint64_t bits = 0;
  warp_operation(mask, name, resolve_shuffle, &input, sizeof input, &bits, sizeof bits);
  T result;
  std::memcpy(&result, &bits, sizeof result);
  return result;
}

template <typename C>
struct MmaInput {
  uint32_t a[4], b[2];
  C c[4];
};
void mma_s8(int32_t (&c)[4], const uint32_t* a, const uint32_t* b, int k);
void mma_16(float (&c)[4], const uint32_t* a, const uint32_t* b, bool bf16);

}  // namespace fastserve::simt

#define threadIdx (::fastserve::simt::current().index)
#define blockIdx (::fastserve::simt::current().block_index)
#define blockDim (::fastserve::simt::current_shape().block)
#define gridDim (::fastserve::simt::current_shape().grid)

inline void __syncthreads() { fastserve::simt::block_barrier(); }
inline void __syncwarp(unsigned mask = 0xffffffffu) {
  fastserve::simt::warp_operation(mask, "__syncwarp", fastserve::simt::resolve_sync, nullptr, 0, nullptr, 0);
}
template <typename T>
T __shfl_sync(unsigned mask, T value, int source) {
  return fastserve::simt::shuffle(mask, value, source & 31, "__shfl_sync");
}
template <typename T>
T __shfl_xor_sync(unsigned mask, T value, int lanes) {
  return fastserve::simt::shuffle(mask, value, static_cast<int>(threadIdx.x % 32) ^ lanes, "__shfl_xor_sync");
}
// Lanes without a partner keep their own, as CUDA's do.
template <typename T>
T __shfl_up_sync(unsigned mask, T value, int lanes) {
  const int lane = static_cast<int>(threadIdx.x % 32);
  return fastserve::simt::shuffle(mask, value, lane >= lanes ? lane - lanes : lane, "__shfl_up_sync");
}
inline unsigned __ballot_sync(unsigned mask, int predicate) {
  unsigned result = 0;
  fastserve::simt::warp_operation(mask, "__ballot_sync", fastserve::simt::resolve_ballot, &predicate, sizeof predicate,
                                  &result, sizeof result);
  return result;
}

template <typename T>
T atomicAdd(T* address, T value) {
  const T before = *address;
  *address = before + value;
  return before;
}
template <typename T>
T atomicMax(T* address, T value) {
  const T before = *address;
  if (value > before) *address = value;
  return before;
}
template <typename T>
T atomicMin(T* address, T value) {
  const T before = *address;
  if (value < before) *address = value;
  return before;
}
template <typename T>
T atomicOr(T* address, T value) {
  const T before = *address;
  *address = before | value;
  return before;
}

inline float __uint_as_float(uint32_t bits) {
  float value;
  std::memcpy(&value, &bits, sizeof value);
  return value;
}
inline uint32_t __float_as_uint(float value) {
  uint32_t bits;
  std::memcpy(&bits, &value, sizeof bits);
  return bits;
}
inline float __int_as_float(int32_t bits) { return __uint_as_float(static_cast<uint32_t>(bits)); }
inline float __fmul_rn(float a, float b) { return a * b; }
inline float __fadd_rn(float a, float b) { return a + b; }
inline int __popc(unsigned bits) { return __builtin_popcount(bits); }
inline int __ffs(int bits) { return __builtin_ffs(bits); }
inline uint32_t __umulhi(uint32_t a, uint32_t b) { return static_cast<uint32_t>(uint64_t{a} * b >> 32); }
// Bytes of (high, low) by the low three bits of each selector; the sign mode of its fourth bit is not emulated.
inline uint32_t __byte_perm(uint32_t low, uint32_t high, uint32_t selectors) {
  const uint64_t bytes = uint64_t{high} << 32 | low;
  uint32_t result = 0;
  for (int i = 0; i < 4; ++i) {
    if ((selectors >> (4 * i) & 8) != 0) fastserve::simt::fail("__byte_perm with the sign mode");
    result |= static_cast<uint32_t>(bytes >> (selectors >> (4 * i) & 7) * 8 & 255) << (8 * i);
  }
  return result;
}

namespace fastserve::kernels::cuda {

constexpr unsigned kAllLanes = 0xffffffffu;

inline uint8_t* shared_memory() { return simt::shared_memory(); }
inline uint2 load_weights(const uint2* address) { return *address; }
float half_bits_to_float(uint16_t bits);
uint16_t float_to_half_bits(float value);

inline void copy_async(void* shared, const void* global, bool valid) { simt::copy_async(shared, global, valid); }
inline void copy_async_commit() { simt::copy_async_commit(); }
template <int pending>
void copy_async_wait() {
  simt::copy_async_wait(pending);
}

inline void mma_s8_k16(int32_t (&c)[4], uint32_t a0, uint32_t a1, uint32_t b) {
  const uint32_t a[4] = {a0, a1, 0, 0}, words[2] = {b, 0};
  simt::mma_s8(c, a, words, 16);
}
inline void mma_s8_k32(int32_t (&c)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1) {
  const uint32_t words[2] = {b0, b1};
  simt::mma_s8(c, a, words, 32);
}
inline void mma_bf16(float (&c)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1) {
  const uint32_t words[2] = {b0, b1};
  simt::mma_16(c, a, words, true);
}
inline void mma_f16(float (&c)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1) {
  const uint32_t words[2] = {b0, b1};
  simt::mma_16(c, a, words, false);
}

}  // namespace fastserve::kernels::cuda
