// DeviceLibrary: a library of kernels for a device, loaded from beside our own. Its absence is not an error: then
// there are no devices of its kind. Thread-safe.
#pragma once
#include <memory>
#include <string>

#include "base/os.h"
#include "kernels/device_api.h"

namespace fastserve {

class DeviceLibrary {
 public:
  // The CUDA library, loaded once and shared while anyone holds it; null where it is not installed. A library that is
  // there but cannot be loaded, or speaks another version, is an error that says so.
  static Result<std::shared_ptr<DeviceLibrary>> cuda();
  // The same from a named folder, not shared.
  static Result<std::shared_ptr<DeviceLibrary>> open_cuda(const std::string& folder);

  const kernels::DeviceApi& api() const { return *api_; }
  Result<int32_t> count_devices() const;
  Result<kernels::DeviceFacts> describe_device(int32_t index) const;

 private:
  DeviceLibrary(std::unique_ptr<os::SharedLibrary> library, const kernels::DeviceApi* api)
      : library_(std::move(library)), api_(api) {}

  std::unique_ptr<os::SharedLibrary> library_;
  const kernels::DeviceApi* api_;
};

// The status that a result of a device library means.
Status device_status(kernels::DeviceResult result, const kernels::DeviceMessage& message);

}  // namespace fastserve
