// The first CUDA device as gpu_check and the tests of its kernels use it: one queue, and page-locked memory that host
// and device see at the same addresses.
#pragma once
#include <memory>
#include <new>
#include <string>

#include "backend/device_library.h"
#include "kernels/device_kernels.h"

namespace fastserve::test {

class RealDevice {
 public:
  // Opens the device; false with a sentence where there is none, or no kernels for it.
  static bool open(std::string& reason);
  static void close();
  static RealDevice& instance();

  const kernels::DeviceApi& api() const { return library_->api(); }
  const kernels::DeviceFacts& facts() const { return facts_; }
  kernels::DeviceFacts describe() const;  // as it is now
  kernels::DeviceContext* context() const { return context_; }
  kernels::DeviceQueue* queue() const { return queue_; }

 private:
  std::shared_ptr<DeviceLibrary> library_;
  kernels::DeviceFacts facts_{};
  kernels::DeviceContext* context_ = nullptr;
  kernels::DeviceQueue* queue_ = nullptr;
};

// A device orders its threads itself.
enum class Order { kAscending, kDescending };
inline void set_order(Order) {}

inline const kernels::DeviceKernels& device_kernels() { return *RealDevice::instance().api().kernels; }
inline kernels::DeviceQueue* device_queue() { return RealDevice::instance().queue(); }
inline kernels::DeviceResult wait_for_device(kernels::DeviceMessage* message) {
  return RealDevice::instance().api().wait(device_queue(), message);
}

inline void* allocate_shared(size_t size_bytes) {
  const RealDevice& device = RealDevice::instance();
  void* memory = nullptr;
  kernels::DeviceMessage message = {};
  const size_t wanted = size_bytes > 0 ? size_bytes : 1;
  if (device.api().allocate_host(device.context(), wanted, &memory, &message) != kernels::DeviceResult::kOk) {
    throw std::bad_alloc();
  }
  return memory;
}
inline void release_shared(void* memory) {
  const RealDevice& device = RealDevice::instance();
  device.api().release_host(device.context(), memory);
}

class DeviceBytes {
 public:
  explicit DeviceBytes(size_t size_bytes) : data_(allocate_shared(size_bytes)) {}
  ~DeviceBytes() { release_shared(data_); }
  DeviceBytes(const DeviceBytes&) = delete;
  DeviceBytes& operator=(const DeviceBytes&) = delete;
  void* data() const { return data_; }

 private:
  void* data_;
};

}  // namespace fastserve::test
