// How ops share rows or columns among threads. Small work stays on the calling thread: a fork costs about a
// microsecond. Partition never changes a result (kernels are row- and panel-independent). A device gets the whole.
#pragma once
#include <cstdint>

#include "backend/device.h"
#include "backend/device_stream.h"

namespace fastserve::ops {

// Calls f(begin, end) over [0, count); in parallel when `cost` (roughly: floats touched) is worth a fork.
template <typename F>
void parallel_rows(const Device& device, int64_t count, int64_t cost, F&& f) {
  constexpr int64_t kForkCost = 16384;
  if (device.stream != nullptr || cost < kForkCost || count < 2 || device.executor->width() == 1) {
    f(int64_t{0}, count);
    return;
  }
  device.executor->run([&](uint32_t part, uint32_t part_count) {
    const Range range = split_range(count, part, part_count);
    if (range.begin < range.end) f(range.begin, range.end);
  });
}

// Calls a kernel of the CPU's table, or queues the device's of the same arguments.
template <auto kCpuKernel, auto kDeviceKernel, typename Args>
void run_kernel(const Device& device, const char* name, const Args& args) {
  if (device.stream != nullptr) {
    device.stream->launch(device.stream->kernels().*kDeviceKernel, name, args);
  } else {
    (device.kernels->*kCpuKernel)(&args);
  }
}
#define FSV_RUN_KERNEL(device, kernel, args) \
  ::fastserve::ops::run_kernel<&kernels::KernelTable::kernel, &kernels::DeviceKernels::kernel>(device, #kernel, args)

}  // namespace fastserve::ops
