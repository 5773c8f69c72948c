// Room that loading workers read tensors into, kept between their chunks: fresh memory of the system comes cleared page
// by page, which takes longer than the read. It is mapped, so that all of it leaves with the load.
#pragma once
#include <mutex>
#include <new>
#include <vector>

#include "memory/memory_resource.h"

namespace fastserve {

class ReadBuffers {
 public:
  // One worker's, while it lives. May throw bad_alloc.
  class Lease {
   public:
    Lease(ReadBuffers& owner, size_t size_bytes) : owner_(owner), size_bytes_(size_bytes), buffer_(owner.take()) {
      if (buffer_.size_bytes() >= size_bytes) return;
      buffer_.reset();  // before the larger one is there
      Result<Buffer> larger = Buffer::allocate(page_memory(), size_bytes, MemoryUse::kOther);
      if (!larger.ok()) throw std::bad_alloc();
      buffer_ = larger.take();
    }
    ~Lease() { owner_.give_back(std::move(buffer_)); }
    Lease(const Lease&) = delete;
    Lease& operator=(const Lease&) = delete;
    uint8_t* data() const { return buffer_.data(); }
    size_t size() const { return size_bytes_; }

   private:
    ReadBuffers& owner_;
    const size_t size_bytes_;
    Buffer buffer_;
  };

  void clear() noexcept {
    const std::lock_guard lock(mutex_);
    std::vector<Buffer>().swap(free_);
  }

 private:
  Buffer take() {
    const std::lock_guard lock(mutex_);
    if (free_.empty()) {
      free_.reserve(++count_);  // so that every buffer can come back
      return {};
    }
    Buffer buffer = std::move(free_.back());
    free_.pop_back();
    return buffer;
  }
  void give_back(Buffer buffer) noexcept {
    const std::lock_guard lock(mutex_);
    if (buffer.data() != nullptr && free_.size() < free_.capacity()) free_.push_back(std::move(buffer));
  }

  std::mutex mutex_;
  std::vector<Buffer> free_;
  size_t count_ = 0;  // of workers that found none
};

}  // namespace fastserve
