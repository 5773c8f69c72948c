// Opening and closing the device of gpu_check.
#include "gpu_check/real_device.h"

namespace fastserve::test {
namespace {

std::unique_ptr<RealDevice> device;

std::string sentence(const char* what, const kernels::DeviceMessage& message) {
  return std::string(what) + ": " + message.text;
}

}  // namespace

RealDevice& RealDevice::instance() { return *device; }

kernels::DeviceFacts RealDevice::describe() const {
  kernels::DeviceFacts facts = {};
  kernels::DeviceMessage message = {};
  (void)api().describe_device(0, &facts, &message);
  return facts;
}

bool RealDevice::open(std::string& reason) {
  auto library = DeviceLibrary::cuda();
  if (!library.ok()) {
    reason = library.status().message();
    return false;
  }
  if (library.value() == nullptr) {
    reason = "libfastserve_cuda.so is not there";
    return false;
  }
  auto opened = std::make_unique<RealDevice>();
  opened->library_ = library.value();
  const Result<int32_t> count = opened->library_->count_devices();
  if (!count.ok() || count.value() == 0) {
    reason = count.ok() ? "no CUDA device" : std::string(count.status().message());
    return false;
  }
  const kernels::DeviceApi& api = opened->api();
  if (api.kernels == nullptr || api.kernels->version != kernels::kDeviceKernelsVersion) {
    reason = "libfastserve_cuda.so has no kernels of this version";
    return false;
  }
  kernels::DeviceMessage message = {};
  opened->facts_ = opened->describe();
  const kernels::DeviceOpening opening = {0, 1, nullptr, nullptr, nullptr};
  if (api.open_device(&opening, &opened->context_, &message) != kernels::DeviceResult::kOk ||
      api.open_queue(opened->context_, kernels::DevicePriority::kNormal, &opened->queue_, &message) !=
          kernels::DeviceResult::kOk) {
    reason = sentence("the device does not open", message);
    return false;
  }
  device = std::move(opened);
  return true;
}

void RealDevice::close() {
  if (device == nullptr) return;
  device->api().close_queue(device->queue_);
  device->api().close_device(device->context_);
  device.reset();
}

}  // namespace fastserve::test
