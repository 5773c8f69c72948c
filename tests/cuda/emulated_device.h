// The emulator as the tests' device: memory that ends at a guard page.
#pragma once
#include <sys/mman.h>
#include <unistd.h>

#include <cstdlib>
#include <new>

#include "cuda/simt_host.h"
#include "kernels/cuda/entries.cuh"

namespace fastserve::test {

using simt::Order;
using simt::set_order;

inline const kernels::DeviceKernels& device_kernels() { return kernels::kDeviceKernels; }
inline kernels::DeviceQueue* device_queue() { return nullptr; }
inline kernels::DeviceResult wait_for_device(kernels::DeviceMessage*) { return kernels::DeviceResult::kOk; }

inline void* allocate_shared(size_t size_bytes) {
  void* memory = std::aligned_alloc(64, (size_bytes + 63) / 64 * 64);
  if (memory == nullptr) throw std::bad_alloc();
  return memory;
}
inline void release_shared(void* memory) { std::free(memory); }

// What is read or written behind the end faults.
class DeviceBytes {
 public:
  explicit DeviceBytes(size_t size_bytes) {
    const auto page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
    const size_t whole = (size_bytes + page - 1) / page * page;
    mapped_bytes_ = whole + page;
    void* memory = mmap(nullptr, mapped_bytes_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) throw std::bad_alloc();
    base_ = static_cast<uint8_t*>(memory);
    mprotect(base_ + whole, page, PROT_NONE);
    data_ = base_ + whole - size_bytes;
  }
  ~DeviceBytes() { munmap(base_, mapped_bytes_); }
  DeviceBytes(const DeviceBytes&) = delete;
  DeviceBytes& operator=(const DeviceBytes&) = delete;
  void* data() const { return data_; }

 private:
  size_t mapped_bytes_ = 0;
  uint8_t* base_ = nullptr;
  uint8_t* data_ = nullptr;
};

}  // namespace fastserve::test
