#include "backend/device_library.h"

#include <mutex>

#include "base/format.h"

namespace fastserve {
namespace {

#ifdef _WIN32
constexpr const char* kCudaFileName = "fastserve_cuda.dll";
#elif defined(__APPLE__)
constexpr const char* kCudaFileName = "libfastserve_cuda.dylib";
#else
constexpr const char* kCudaFileName = "libfastserve_cuda.so";
#endif

StatusCode code_of(kernels::DeviceResult result) {
  switch (result) {
    case kernels::DeviceResult::kOk:
      return StatusCode::kOk;
    case kernels::DeviceResult::kOutOfMemory:
      return StatusCode::kOutOfMemory;
    case kernels::DeviceResult::kNotFound:
      return StatusCode::kNotFound;
    case kernels::DeviceResult::kInvalid:
      return StatusCode::kInternal;  // our own arguments
    case kernels::DeviceResult::kRefused:
      return StatusCode::kInvalidArgument;
    case kernels::DeviceResult::kLost:
      break;
  }
  return StatusCode::kDevice;
}

}  // namespace

Status device_status(kernels::DeviceResult result, const kernels::DeviceMessage& message) {
  if (result == kernels::DeviceResult::kOk) return {};
  return {code_of(result), message.text};
}

Result<std::shared_ptr<DeviceLibrary>> DeviceLibrary::cuda() {
  static std::mutex mutex;
  static std::weak_ptr<DeviceLibrary> shared;
  const std::lock_guard lock(mutex);
  if (std::shared_ptr<DeviceLibrary> held = shared.lock()) return held;
  FSV_ASSIGN(std::shared_ptr<DeviceLibrary> opened, open_cuda(os::own_folder()));
  shared = opened;
  return opened;
}

Result<std::shared_ptr<DeviceLibrary>> DeviceLibrary::open_cuda(const std::string& folder) {
  const std::string path = folder + "/" + kCudaFileName;
  auto opened = os::open_shared_library(path);
  if (!opened.ok() && opened.status().code() == StatusCode::kNotFound) return std::shared_ptr<DeviceLibrary>();
  FSV_TRY(opened.status());
  std::unique_ptr<os::SharedLibrary> library = opened.take();
  const auto entry = reinterpret_cast<kernels::DeviceApiEntry>(library->find(kernels::kDeviceApiEntryName));
  if (entry == nullptr) {
    return Status(StatusCode::kUnsupported, format(path, " has no ", kernels::kDeviceApiEntryName));
  }
  const kernels::DeviceApi* api = entry(kernels::kDeviceApiVersion);
  if (api == nullptr || api->version != kernels::kDeviceApiVersion || api->struct_size != sizeof(*api)) {
    return Status(StatusCode::kUnsupported, format(path, " does not speak version ", kernels::kDeviceApiVersion,
                                                   " of the device table: it belongs to another fastserve"));
  }
  return std::shared_ptr<DeviceLibrary>(new DeviceLibrary(std::move(library), api));
}

Result<int32_t> DeviceLibrary::count_devices() const {
  int32_t count = 0;
  kernels::DeviceMessage message{};
  FSV_TRY(device_status(api_->count_devices(&count, &message), message));
  return count;
}

Result<kernels::DeviceFacts> DeviceLibrary::describe_device(int32_t index) const {
  kernels::DeviceFacts facts{};
  kernels::DeviceMessage message{};
  FSV_TRY(device_status(api_->describe_device(index, &facts, &message), message));
  return facts;
}

}  // namespace fastserve
