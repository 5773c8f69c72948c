// The fake device library with the device's own kernels, on the emulator: what runs on a GPU but for the GPU.
#include <cstdio>
#include <cstdlib>

#include "cuda/simt_host.h"
#include "kernels/cuda/entries.cuh"
#include "support/fake_device/fake_device.h"

namespace fastserve::test {

const kernels::DeviceKernels& fake_kernels() {
  simt::enqueue = [](kernels::DeviceQueue* queue, const char* what, kernels::DeviceMessage* message,
                     std::function<bool(char*, size_t)> work) {
    ++control().kernels;
    return queue_work(queue, what, message, [work = std::move(work)] {
      char text[256];
      if (work(text, sizeof text)) return;
      std::fprintf(stderr, "%s\n", text);  // threads parted: nothing after it means anything
      std::abort();
    });
  };
  return kernels::kDeviceKernels;
}

}  // namespace fastserve::test
