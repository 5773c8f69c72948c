#include "backend/device_memory.h"

namespace fastserve {

Result<std::shared_ptr<DeviceMemory>> DeviceMemory::create(std::shared_ptr<OpenDevice> device,
                                                           std::shared_ptr<MemoryResource> host,
                                                           const Options& options) {
  std::shared_ptr<DeviceMemory> memory(new DeviceMemory(std::move(device), std::move(host)));
  FSV_ASSIGN(memory->pool_, create_device_pool(*memory->device_, options.mode, options.maps_ahead));
  FSV_ASSIGN(memory->steps_, DeviceStream::open(memory->device_, kernels::DevicePriority::kHost));
  FSV_ASSIGN(memory->moves_, DeviceStream::open(memory->device_, kernels::DevicePriority::kLow));
  return memory;
}

void* DeviceMemory::allocate(size_t size_bytes, size_t alignment, MemoryUse use) noexcept {
  if (use == MemoryUse::kOther) return host().allocate(size_bytes, alignment, use);
  void* address = pool_->allocate(size_bytes);
  // Weights are committed as they come; what a step uses, now.
  if (address == nullptr || use == MemoryUse::kWeights || pool_->commit(address, size_bytes)) return address;
  pool_->deallocate(address);
  return nullptr;
}

void DeviceMemory::deallocate(void* address, size_t size_bytes, size_t alignment, MemoryUse use) noexcept {
  if (use == MemoryUse::kOther) {
    host().deallocate(address, size_bytes, alignment, use);
  } else {
    pool_->deallocate(address);
  }
}

MemoryMover& DeviceMemory::mover(MemoryUse use) noexcept {
  if (use == MemoryUse::kOther) return host_memory_mover();
  return *this;
}

void DeviceMemory::copy(void* target, const void* source, size_t size_bytes) noexcept {
  (void)guarded([&] {
    steps_->copy_on_device(target, source, size_bytes);
    steps_->settle();  // the source may be another's at once
    return Status();
  });
}

Status DeviceMemory::read(std::span<const MoveBytes> moves) {
  const std::lock_guard lock(moves_mutex_);
  for (const MoveBytes& move : moves) moves_->copy_to_host(move.target, move.source, move.size_bytes);
  return moves_->wait();
}

Status DeviceMemory::write(std::span<const MoveBytes> moves) {
  const std::lock_guard lock(moves_mutex_);
  for (const MoveBytes& move : moves) moves_->copy_to_device(move.target, move.source, move.size_bytes);
  return moves_->wait();
}

}  // namespace fastserve
