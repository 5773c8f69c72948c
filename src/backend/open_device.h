// OpenDevice: one device in use: its library, its context and what it says of itself. Shared by all who use it; goes
// with the last. Thread-safe.
#pragma once
#include <memory>
#include <string>

#include "backend/device_library.h"
#include "kernels/device_kernels.h"
#include "memory/device_pool.h"

namespace fastserve {

// Which device, and how (kernels::DeviceOpening).
struct DeviceChoice {
  uint32_t index = 0;
  bool uses_blas = true;
  std::string blas_folder = {};
  void* context = nullptr;
  void* stream = nullptr;
};

class OpenDevice final : public DeviceUpstream {
 public:
  // A CUDA device; the message of a failure names what is missing: the library, a device of that number, the kernels.
  static Result<std::shared_ptr<OpenDevice>> open_cuda(const DeviceChoice& choice);
  static Result<std::shared_ptr<OpenDevice>> open(std::shared_ptr<DeviceLibrary> library, const DeviceChoice& choice);
  ~OpenDevice() override;
  OpenDevice(const OpenDevice&) = delete;
  OpenDevice& operator=(const OpenDevice&) = delete;

  const kernels::DeviceApi& api() const { return library_->api(); }
  const kernels::DeviceKernels& kernels() const { return *api().kernels; }
  kernels::DeviceContext* context() const { return context_; }
  const kernels::DeviceFacts& facts() const { return facts_; }
  // Flags that every product may carry.
  uint32_t product_flags() const { return api().product_flags(context_); }
  // What the library has to say, for the log; false: nothing now.
  bool take_note(kernels::DeviceMessage& note) { return api().take_note(context_, &note) != 0; }

  void* allocate(size_t size_bytes) noexcept override;
  void release(void* address) noexcept override;
  size_t page_bytes() const noexcept override { return static_cast<size_t>(facts_.page_bytes); }
  void* reserve(size_t size_bytes) noexcept override;
  void unreserve(void* address, size_t size_bytes) noexcept override;
  bool map(void* address, size_t size_bytes) noexcept override;
  void unmap(void* address, size_t size_bytes) noexcept override;

 private:
  explicit OpenDevice(std::shared_ptr<DeviceLibrary> library) : library_(std::move(library)) {}

  std::shared_ptr<DeviceLibrary> library_;
  kernels::DeviceContext* context_ = nullptr;
  kernels::DeviceFacts facts_{};
};

// Page-locked memory of the host, which a device's queues read and write beside computation.
class PinnedBuffer {
 public:
  PinnedBuffer() = default;
  PinnedBuffer(PinnedBuffer&& other) noexcept { *this = std::move(other); }
  PinnedBuffer& operator=(PinnedBuffer&& other) noexcept;
  ~PinnedBuffer() { reset(); }

  static Result<PinnedBuffer> allocate(std::shared_ptr<OpenDevice> device, size_t size_bytes);
  void reset() noexcept;
  uint8_t* data() const { return data_; }
  size_t size_bytes() const { return size_bytes_; }

 private:
  std::shared_ptr<OpenDevice> device_;
  uint8_t* data_ = nullptr;
  size_t size_bytes_ = 0;
};

}  // namespace fastserve
