// How entries of the table start kernels and report what is wrong with their arguments. Nothing here throws.
#pragma once
#include <cstddef>
#include <cstdio>

#include "kernels/cuda/simt.cuh"
#include "kernels/device_kernels.h"
#if defined(__CUDACC__)
#include "kernels/cuda/device.cuh"
#endif

namespace fastserve::kernels::cuda {

constexpr int64_t divide_up(int64_t count, int64_t part) { return (count + part - 1) / part; }
constexpr uint64_t align_up(uint64_t size_bytes, uint64_t alignment) {
  return (size_bytes + alignment - 1) / alignment * alignment;
}

inline DeviceResult invalid(DeviceMessage* message, const char* text) {
  snprintf(message->text, sizeof(message->text), "%s", text);
  return DeviceResult::kInvalid;
}

struct Grid {
  int64_t x = 1, y = 1, z = 1;
  bool empty() const { return x <= 0 || y <= 0 || z <= 0; }
};
constexpr int64_t kGridMax = 65535;  // of y and z

#if defined(__CUDACC__)
template <typename... Params>
DeviceResult launch(DeviceQueue* queue, const char* what, void (*kernel)(Params...), Grid grid, size_t shared_bytes,
                    DeviceMessage* message, Params... params) {
  constexpr size_t kSharedDefault = 48 * 1024;
  if (grid.empty()) return DeviceResult::kOk;
  if (grid.y > kGridMax || grid.z > kGridMax) return invalid(message, what);
  const UseContext use(*queue->context);
  cudaError_t error = use.result();
  if (error == cudaSuccess && shared_bytes > kSharedDefault) {
    error = cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, static_cast<int>(shared_bytes));
  }
  if (error == cudaSuccess) {
    const dim3 blocks(static_cast<unsigned>(grid.x), static_cast<unsigned>(grid.y), static_cast<unsigned>(grid.z));
    kernel<<<blocks, kThreads, shared_bytes, queue->stream>>>(params...);
    error = cudaGetLastError();
  }
  return check_cuda(error, what, message);
}
#else
template <typename... Params>
DeviceResult launch(DeviceQueue* queue, const char* what, void (*kernel)(Params...), Grid grid, size_t shared_bytes,
                    DeviceMessage* message, Params... params) {
  if (grid.empty()) return DeviceResult::kOk;
  if (grid.y > kGridMax || grid.z > kGridMax) return invalid(message, what);
  const dim3 blocks = {static_cast<unsigned>(grid.x), static_cast<unsigned>(grid.y), static_cast<unsigned>(grid.z)};
  const simt::Shape shape = {blocks, {kThreads, 1, 1}, shared_bytes};
  const auto work = [=](char* text, size_t capacity) {
    return simt::run(what, shape, [&] { kernel(params...); }, text, capacity);
  };
  if (simt::enqueue != nullptr) return simt::enqueue(queue, what, message, work);
  return work(message->text, sizeof(message->text)) ? DeviceResult::kOk : DeviceResult::kLost;
}
#endif

#define FSV_DEVICE_TRY(expression)                                          \
  do {                                                                      \
    const ::fastserve::kernels::DeviceResult result_ = (expression);        \
    if (result_ != ::fastserve::kernels::DeviceResult::kOk) return result_; \
  } while (false)

}  // namespace fastserve::kernels::cuda
