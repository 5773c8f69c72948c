// Memory resources compose over an upstream: stats(limit(pool(upstream))). None throws; failure is a null pointer.
#pragma once
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <utility>

#include "base/status.h"
#include "memory/memory_mover.h"

namespace fastserve {

// What memory is used for; statistics are kept for each.
enum class MemoryUse : uint32_t { kWeights = 0, kKv = 1, kActivations = 2, kOther = 3, kCount = 4 };

class MemoryResource {
 public:
  virtual ~MemoryResource() = default;
  // `alignment` is a power of two, at most the page size. Threads may call at once.
  virtual void* allocate(size_t size_bytes, size_t alignment, MemoryUse use) noexcept = 0;
  virtual void deallocate(void* address, size_t size_bytes, size_t alignment, MemoryUse use) noexcept = 0;
  // From one place of this memory to another; they do not overlap. A device's memory is copied in order with its
  // engine's steps, and for the engine's thread; a failure shows where these are waited for.
  virtual void copy(void* target, const void* source, size_t size_bytes) noexcept {
    std::memcpy(target, source, size_bytes);
  }
  // Who moves bytes between memory for `use` and the host's. Where it is not the host's mover, the host must not touch
  // that memory.
  virtual MemoryMover& mover(MemoryUse) noexcept { return host_memory_mover(); }
  bool is_host(MemoryUse use) noexcept { return &mover(use) == &host_memory_mover(); }
};

// Upstream over own page mappings: what is freed goes back to the system at once. Static storage.
MemoryResource& page_memory();

// An owned range of a resource.
class Buffer {
 public:
  Buffer() = default;
  Buffer(Buffer&& other) noexcept { *this = std::move(other); }
  Buffer& operator=(Buffer&& other) noexcept {
    if (this != &other) {
      reset();
      resource_ = std::exchange(other.resource_, nullptr);
      data_ = std::exchange(other.data_, nullptr);
      size_bytes_ = std::exchange(other.size_bytes_, 0);
      use_ = other.use_;
    }
    return *this;
  }
  ~Buffer() { reset(); }

  // Fails with kOutOfMemory; a limiting resource may fail with kBudgetTooSmall through its own message.
  static Result<Buffer> allocate(MemoryResource& resource, size_t size_bytes, MemoryUse use) {
    Buffer buffer;
    if (size_bytes != 0) {
      buffer.data_ = static_cast<uint8_t*>(resource.allocate(size_bytes, kAlignment, use));
      if (buffer.data_ == nullptr) return Status::out_of_memory();
    }
    buffer.resource_ = &resource;
    buffer.size_bytes_ = size_bytes;
    buffer.use_ = use;
    return buffer;
  }
  void reset() noexcept {
    if (data_ != nullptr) resource_->deallocate(data_, size_bytes_, kAlignment, use_);
    data_ = nullptr;
    size_bytes_ = 0;
  }
  uint8_t* data() const { return data_; }
  template <typename T>
  T* as() const {
    return reinterpret_cast<T*>(data_);
  }
  size_t size_bytes() const { return size_bytes_; }

  static constexpr size_t kAlignment = 64;

 private:
  MemoryResource* resource_ = nullptr;
  uint8_t* data_ = nullptr;
  size_t size_bytes_ = 0;
  MemoryUse use_ = MemoryUse::kOther;
};

}  // namespace fastserve
