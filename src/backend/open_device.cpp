#include "backend/open_device.h"

#include <utility>

#include "base/format.h"

namespace fastserve {

using kernels::DeviceMessage;
using kernels::DeviceResult;

Result<std::shared_ptr<OpenDevice>> OpenDevice::open_cuda(const DeviceChoice& choice) {
  FSV_ASSIGN(std::shared_ptr<DeviceLibrary> library, DeviceLibrary::cuda());
  if (library == nullptr) {
    return Status(StatusCode::kNotFound,
                  format("there is no CUDA device ", choice.index,
                         ": libfastserve_cuda does not lie beside this library, in \"", os::own_folder(), "\""));
  }
  return open(std::move(library), choice);
}

Result<std::shared_ptr<OpenDevice>> OpenDevice::open(std::shared_ptr<DeviceLibrary> library,
                                                     const DeviceChoice& choice) {
  const uint32_t index = choice.index;
  FSV_ASSIGN(const int32_t count, library->count_devices());
  if (count == 0) {
    return Status(StatusCode::kNotFound,
                  format("there is no CUDA device ", index, ": this machine has none, or no CUDA driver"));
  }
  if (index >= static_cast<uint32_t>(count)) {
    return Status(StatusCode::kNotFound, format("there is no CUDA device ", index, "; this machine has ", count));
  }
  const kernels::DeviceKernels* kernels = library->api().kernels;
  if (kernels == nullptr || kernels->version != kernels::kDeviceKernelsVersion ||
      kernels->struct_size != sizeof(*kernels)) {
    return Status(StatusCode::kUnsupported, format("this libfastserve_cuda does not speak version ",
                                                   kernels::kDeviceKernelsVersion, " of the kernels' table"));
  }
  std::shared_ptr<OpenDevice> device(new OpenDevice(std::move(library)));
  FSV_ASSIGN(device->facts_, device->library_->describe_device(static_cast<int32_t>(index)));
  DeviceMessage message{};
  const kernels::DeviceOpening opening = {static_cast<int32_t>(index), choice.uses_blas ? 1 : 0,
                                          choice.blas_folder.c_str(), choice.context, choice.stream};
  FSV_TRY(device_status(device->api().open_device(&opening, &device->context_, &message), message));
  return device;
}

OpenDevice::~OpenDevice() {
  if (context_ != nullptr) api().close_device(context_);
}

void* OpenDevice::allocate(size_t size_bytes) noexcept {
  void* address = nullptr;
  DeviceMessage message{};
  return api().allocate(context_, size_bytes, &address, &message) == DeviceResult::kOk ? address : nullptr;
}

void OpenDevice::release(void* address) noexcept { api().release(context_, address); }

void* OpenDevice::reserve(size_t size_bytes) noexcept {
  void* address = nullptr;
  DeviceMessage message{};
  return api().reserve_addresses(context_, size_bytes, &address, &message) == DeviceResult::kOk ? address : nullptr;
}

void OpenDevice::unreserve(void* address, size_t size_bytes) noexcept {
  api().free_addresses(context_, address, size_bytes);
}

bool OpenDevice::map(void* address, size_t size_bytes) noexcept {
  DeviceMessage message{};
  return api().map_pages(context_, address, size_bytes, &message) == DeviceResult::kOk;
}

void OpenDevice::unmap(void* address, size_t size_bytes) noexcept { api().unmap_pages(context_, address, size_bytes); }

PinnedBuffer& PinnedBuffer::operator=(PinnedBuffer&& other) noexcept {
  if (this != &other) {
    reset();
    device_ = std::move(other.device_);
    data_ = std::exchange(other.data_, nullptr);
    size_bytes_ = std::exchange(other.size_bytes_, 0);
  }
  return *this;
}

Result<PinnedBuffer> PinnedBuffer::allocate(std::shared_ptr<OpenDevice> device, size_t size_bytes) {
  PinnedBuffer buffer;
  if (size_bytes == 0) return buffer;
  void* address = nullptr;
  DeviceMessage message{};
  FSV_TRY(device_status(device->api().allocate_host(device->context(), size_bytes, &address, &message), message));
  buffer.device_ = std::move(device);
  buffer.data_ = static_cast<uint8_t*>(address);
  buffer.size_bytes_ = size_bytes;
  return buffer;
}

void PinnedBuffer::reset() noexcept {
  if (data_ != nullptr) device_->api().release_host(device_->context(), data_);
  data_ = nullptr;
  size_bytes_ = 0;
  device_.reset();
}

}  // namespace fastserve
