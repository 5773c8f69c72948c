// DeviceMemory: an engine's memory on a device as a MemoryResource: weights, KV and activations come from a pool there,
// everything else from the host's resource. With it come the two queues that touch it: the engine's own, in which its
// steps are computed, and one for whoever moves bytes beside them.
#pragma once
#include <mutex>

#include "backend/device_stream.h"
#include "backend/open_device.h"
#include "memory/memory_resource.h"

namespace fastserve {

class DeviceMemory final : public MemoryResource, private MemoryMover {
 public:
  struct Options {
    DevicePoolMode mode = DevicePoolMode::kAuto;
    bool maps_ahead = true;  // by a thread
  };
  // `host` outlives it where it is not owned.
  static Result<std::shared_ptr<DeviceMemory>> create(std::shared_ptr<OpenDevice> device,
                                                      std::shared_ptr<MemoryResource> host, const Options& options);

  void* allocate(size_t size_bytes, size_t alignment, MemoryUse use) noexcept override;
  void deallocate(void* address, size_t size_bytes, size_t alignment, MemoryUse use) noexcept override;
  void copy(void* target, const void* source, size_t size_bytes) noexcept override;
  MemoryMover& mover(MemoryUse use) noexcept override;

  const std::shared_ptr<OpenDevice>& device() const { return device_; }
  DeviceStream& steps() { return *steps_; }  // of the engine's thread
  DevicePool& pool() { return *pool_; }

 private:
  DeviceMemory(std::shared_ptr<OpenDevice> device, std::shared_ptr<MemoryResource> host)
      : device_(std::move(device)), host_(std::move(host)) {}
  MemoryResource& host() const { return host_ != nullptr ? *host_ : page_memory(); }
  Status read(std::span<const MoveBytes> moves) override;
  Status write(std::span<const MoveBytes> moves) override;

  std::shared_ptr<OpenDevice> device_;
  std::shared_ptr<MemoryResource> host_;  // null: page_memory()
  std::unique_ptr<DevicePool> pool_;
  std::unique_ptr<DeviceStream> steps_;
  std::mutex moves_mutex_;
  std::unique_ptr<DeviceStream> moves_;
};

}  // namespace fastserve
