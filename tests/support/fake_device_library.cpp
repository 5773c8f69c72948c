// A device library with two devices, one of which cannot be described; or one that does not fit.
#include <cstring>

#include "kernels/device_api.h"

namespace fastserve::kernels {
namespace {

DeviceResult count_devices(int32_t* count, DeviceMessage*) {
  *count = 2;
  return DeviceResult::kOk;
}

DeviceResult describe_device(int32_t index, DeviceFacts* facts, DeviceMessage* message) {
  if (index != 0) {
    std::strcpy(message->text, "device 1 has fallen off the bus");
    return DeviceResult::kLost;
  }
  *facts = {};
  std::strcpy(facts->name, "Fake device");
  facts->memory_bytes = 1 << 20;
  return DeviceResult::kOk;
}

DeviceApi make_table() {
  DeviceApi table{};
  table.version = kDeviceApiVersion;
  table.struct_size = sizeof(DeviceApi);
  table.count_devices = count_devices;
  table.describe_device = describe_device;
  return table;
}

[[maybe_unused]] const DeviceApi kTable = make_table();

}  // namespace
}  // namespace fastserve::kernels

#if !defined(FAKE_NO_ENTRY)
extern "C" __attribute__((visibility("default"))) const fastserve::kernels::DeviceApi* fsv_cuda_device_api(uint32_t) {
#if defined(FAKE_GOOD)
  return &fastserve::kernels::kTable;
#else
  return nullptr;
#endif
}
#endif
