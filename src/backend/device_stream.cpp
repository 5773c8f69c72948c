#include "backend/device_stream.h"

#include <algorithm>
#include <utility>

#include "backend/device_library.h"
#include "backend/open_device.h"
#include "base/format.h"

namespace fastserve {

using kernels::DeviceMessage;
using kernels::DeviceResult;

DeviceGraph::~DeviceGraph() { device_->api().close_graph(graph_); }

DeviceStream::DeviceStream(std::shared_ptr<OpenDevice> device, kernels::DeviceQueue* queue)
    : device_(std::move(device)), kernels_(&device_->kernels()), queue_(queue) {}

Result<std::unique_ptr<DeviceStream>> DeviceStream::open(std::shared_ptr<OpenDevice> device,
                                                         kernels::DevicePriority priority) {
  kernels::DeviceQueue* queue = nullptr;
  DeviceMessage message{};
  FSV_TRY(device_status(device->api().open_queue(device->context(), priority, &queue, &message), message));
  std::unique_ptr<DeviceStream> stream(new (std::nothrow) DeviceStream(device, queue));
  if (stream != nullptr) return stream;
  device->api().close_queue(queue);
  return Status::out_of_memory();
}

// What is queued may still use memory that goes next.
DeviceStream::~DeviceStream() {
  if (queue_ == nullptr) return;
  if (has_work_) (void)wait();
  device_->api().close_queue(queue_);
}

void DeviceStream::check(DeviceResult result, const DeviceMessage& message) {
  has_work_ = true;
  if (result == DeviceResult::kOk || !status_.ok()) return;
  is_lost_ = is_lost_ || result == DeviceResult::kLost;
  const Status copied = guarded([&] { return status_ = device_status(result, message); });
  if (status_.ok()) status_ = copied;  // its words found no memory
}

void DeviceStream::fail_without(const char* name) {
  if (!status_.ok()) return;
  status_ = Status(StatusCode::kUnsupported, format("this device library has no kernel for ", name));
}

kernels::DeviceScratch DeviceStream::scratch(uint64_t size_bytes) {
  scratch_bytes_max_ = std::max(scratch_bytes_max_, size_bytes);
  if (!is_planning() && size_bytes > scratch_.size_bytes && status_.ok()) {
    status_ = Status(StatusCode::kInternal,
                     format("a kernel wants ", size_bytes, " bytes of scratch, planned were ", scratch_.size_bytes));
  }
  return scratch_;
}

void DeviceStream::copy_to_device(void* target, const void* source, size_t size_bytes) {
  if (is_planning() || !status_.ok() || size_bytes == 0) return;
  DeviceMessage message{};
  check(device_->api().copy_to_device(queue_, target, source, size_bytes, &message), message);
}

void DeviceStream::copy_to_host(void* target, const void* source, size_t size_bytes) {
  if (is_planning() || !status_.ok() || size_bytes == 0) return;
  DeviceMessage message{};
  check(device_->api().copy_to_host(queue_, target, source, size_bytes, &message), message);
}

void DeviceStream::copy_on_device(void* target, const void* source, size_t size_bytes) {
  if (is_planning() || !status_.ok() || size_bytes == 0) return;
  DeviceMessage message{};
  check(device_->api().copy_on_device(queue_, target, source, size_bytes, &message), message);
}

void DeviceStream::fill(void* target, uint8_t value, size_t size_bytes) {
  if (is_planning() || !status_.ok() || size_bytes == 0) return;
  DeviceMessage message{};
  check(device_->api().fill(queue_, target, value, size_bytes, &message), message);
}

bool DeviceStream::begin_capture() {
  if (is_planning() || !status_.ok()) return false;
  DeviceMessage message{};
  const DeviceResult result = device_->api().begin_capture(queue_, &message);
  if (result == DeviceResult::kLost) check(result, message);
  is_capturing_ = result == DeviceResult::kOk;
  return is_capturing_;
}

std::shared_ptr<DeviceGraph> DeviceStream::end_capture() {
  if (!std::exchange(is_capturing_, false)) return nullptr;
  kernels::DeviceGraph* graph = nullptr;
  DeviceMessage message{};
  const DeviceResult result = device_->api().end_capture(queue_, &graph, &message);
  if (result == DeviceResult::kLost) check(result, message);
  if (graph == nullptr || !status_.ok()) {  // a kernel that was refused is refused again when it is queued as it is
    if (graph != nullptr) device_->api().close_graph(graph);
    if (!is_lost_) status_ = {};
    return nullptr;
  }
  std::shared_ptr<DeviceGraph> recorded;
  const Status made = guarded([&] {
    recorded = std::make_shared<DeviceGraph>(device_, graph);
    return Status();
  });
  if (!made.ok()) device_->api().close_graph(graph);
  return recorded;
}

void DeviceStream::launch_graph(const DeviceGraph& graph) {
  if (is_planning() || !status_.ok()) return;
  DeviceMessage message{};
  check(device_->api().launch_graph(queue_, graph.get(), &message), message);
}

void DeviceStream::settle() {
  if (!is_planning() && has_work_) {
    DeviceMessage message{};
    check(device_->api().wait(queue_, &message), message);
  }
  has_work_ = false;
}

Status DeviceStream::wait() {
  settle();
  if (!is_lost_) return std::exchange(status_, {});
  return guarded([&] { return Status(status_); });
}

}  // namespace fastserve
