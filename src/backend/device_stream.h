// DeviceStream: the engine's side of one queue of a device. Work is queued and returns; the first failure stays, makes
// everything after it void, and is told by wait(). One thread at a time.
#pragma once
#include <cstdint>
#include <memory>
#include <span>

#include "base/status.h"
#include "kernels/device_api.h"
#include "kernels/device_kernels.h"
#include "memory/memory_mover.h"

namespace fastserve {

class OpenDevice;

// Recorded work, of the device that made it.
class DeviceGraph {
 public:
  DeviceGraph(std::shared_ptr<OpenDevice> device, kernels::DeviceGraph* graph)
      : device_(std::move(device)), graph_(graph) {}
  ~DeviceGraph();
  DeviceGraph(const DeviceGraph&) = delete;
  DeviceGraph& operator=(const DeviceGraph&) = delete;
  kernels::DeviceGraph* get() const { return graph_; }

 private:
  std::shared_ptr<OpenDevice> device_;
  kernels::DeviceGraph* graph_;
};

class DeviceStream {
 public:
  static Result<std::unique_ptr<DeviceStream>> open(std::shared_ptr<OpenDevice> device,
                                                    kernels::DevicePriority priority);
  // Queues nothing: finds out what scratch the work would take, and which kernels are missing.
  explicit DeviceStream(const kernels::DeviceKernels& kernels) : kernels_(&kernels) {}
  ~DeviceStream();
  DeviceStream(const DeviceStream&) = delete;
  DeviceStream& operator=(const DeviceStream&) = delete;

  const kernels::DeviceKernels& kernels() const { return *kernels_; }
  bool is_planning() const { return queue_ == nullptr; }

  template <typename Args>
  void launch(kernels::DeviceKernelFn<Args> kernel, const char* name, const Args& args) {
    if (kernel == nullptr) {
      fail_without(name);
    } else if (queue_ != nullptr && status_.ok()) {
      kernels::DeviceMessage message{};
      check(kernel(queue_, &args, &message), message);
    }
  }
  // Room that work queued here may use until it is done. A planning stream notes the most that was asked for.
  kernels::DeviceScratch scratch(uint64_t size_bytes);
  void use_scratch(kernels::DeviceScratch scratch) { scratch_ = scratch; }
  uint64_t scratch_bytes_max() const { return scratch_bytes_max_; }

  // Page-locked memory of the host must stay as it is until wait().
  void copy_to_device(void* target, const void* source, size_t size_bytes);
  void copy_to_host(void* target, const void* source, size_t size_bytes);
  void copy_on_device(void* target, const void* source, size_t size_bytes);
  void fill(void* target, uint8_t value, size_t size_bytes);

  // What is queued between the two is recorded instead. A recording that fails leaves the stream in order: null, and
  // the work is to be queued as it is.
  bool begin_capture();
  std::shared_ptr<DeviceGraph> end_capture();
  void launch_graph(const DeviceGraph& graph);

  // Everything queued is done. The failure that there was, if any: then the stream goes on, unless the device is lost.
  Status wait();
  // The same, but the failure stays to be told.
  void settle();
  bool is_idle() const { return !has_work_; }
  // Until wait() tells it.
  const Status& status() const { return status_; }

 private:
  DeviceStream(std::shared_ptr<OpenDevice> device, kernels::DeviceQueue* queue);
  void check(kernels::DeviceResult result, const kernels::DeviceMessage& message);
  void fail_without(const char* name);

  std::shared_ptr<OpenDevice> device_;
  const kernels::DeviceKernels* kernels_;
  kernels::DeviceQueue* queue_ = nullptr;
  kernels::DeviceScratch scratch_{};
  uint64_t scratch_bytes_max_ = 0;
  bool has_work_ = false, is_capturing_ = false, is_lost_ = false;
  Status status_;
};

}  // namespace fastserve
