// Inside the fake device library: memory that faults unless queued work runs, queues that do nothing before wait(), and
// kernels of the best table of this processor.
#pragma once
#include <functional>
#include <utility>
#include <vector>

#include "kernels/device_api.h"
#include "kernels/device_kernels.h"
#include "support/fake_device/control.h"

namespace fastserve::kernels {

using FakeWork = std::function<void()>;

struct DeviceQueue {
  std::vector<FakeWork> pending;
  bool is_recording = false;
  std::vector<FakeWork> recorded;
  bool recording_failed = false;
  bool is_hosts = false;  // the host's stream
};
struct DeviceGraph {
  std::vector<FakeWork> work;
};

}  // namespace fastserve::kernels

namespace fastserve::test {

FakeDeviceControl& control();
// Counts a call; false, with a message, when it is to fail.
bool may_call(const char* name, kernels::DeviceResult* result, kernels::DeviceMessage* message);
kernels::DeviceResult refuse(kernels::DeviceResult result, kernels::DeviceMessage* message, const char* text);

// Opens the device's memory to the processor while it lives; one at a time.
class MemoryOpened {
 public:
  MemoryOpened();
  ~MemoryOpened();
};
bool is_host_block(const void* address);  // page-locked

void* take_block(size_t size_bytes);
bool give_block(void* address);
void* take_range(size_t size_bytes);
void give_range(void* address);
bool open_pages(void* address, size_t size_bytes);
void close_pages(void* address);
void* take_host_block(size_t size_bytes);
void give_host_block(void* address);

kernels::DeviceResult queue_work(kernels::DeviceQueue* queue, const char* name, kernels::DeviceMessage* message,
                                 kernels::FakeWork work);
const kernels::DeviceKernels& fake_kernels();

}  // namespace fastserve::test
