// LimitResource: one budget over an upstream, with statistics for each use. The engine owns one for each device.
#pragma once
#include <array>
#include <atomic>
#include <memory>

#include "memory/memory_resource.h"

namespace fastserve {

struct MemoryStats {
  uint64_t budget_bytes = 0;  // 0: no limit
  uint64_t used_bytes = 0;
  uint64_t peak_bytes = 0;
  std::array<uint64_t, static_cast<size_t>(MemoryUse::kCount)> used_bytes_by_use{}, peak_bytes_by_use{};
};

class LimitResource final : public MemoryResource {
 public:
  LimitResource(MemoryResource& upstream, uint64_t budget_bytes) : upstream_(upstream), budget_bytes_(budget_bytes) {}
  LimitResource(std::shared_ptr<MemoryResource> upstream, uint64_t budget_bytes)
      : owned_(std::move(upstream)), upstream_(*owned_), budget_bytes_(budget_bytes) {}
  void* allocate(size_t size_bytes, size_t alignment, MemoryUse use) noexcept override;
  void deallocate(void* address, size_t size_bytes, size_t alignment, MemoryUse use) noexcept override;
  void copy(void* target, const void* source, size_t size_bytes) noexcept override {
    upstream_.copy(target, source, size_bytes);
  }
  MemoryMover& mover(MemoryUse use) noexcept override { return upstream_.mover(use); }

  // Counts memory that lies elsewhere (objects on the heap) as if it came from here. False beyond the budget.
  bool charge(uint64_t size_bytes, MemoryUse use) noexcept;
  void discharge(uint64_t size_bytes, MemoryUse use) noexcept;

  // May be set below what is used: allocations fail until enough was freed.
  void set_budget_bytes(uint64_t budget_bytes) noexcept { budget_bytes_ = budget_bytes; }
  // Bytes that may still be allocated (UINT64_MAX without a budget).
  uint64_t available_bytes() const noexcept;
  // By how much what is used passes the budget: it may, where the budget was lowered.
  uint64_t excess_bytes() const noexcept;
  MemoryStats stats() const noexcept;

 private:
  bool reserve(uint64_t size_bytes) noexcept;              // in the sum; false beyond the budget
  void note(uint64_t size_bytes, MemoryUse use) noexcept;  // what was reserved is there
  std::shared_ptr<MemoryResource> owned_;                  // may be null: then the upstream is static
  MemoryResource& upstream_;
  std::atomic<uint64_t> budget_bytes_;
  std::atomic<uint64_t> used_bytes_{0};
  std::atomic<uint64_t> peak_bytes_{0};
  std::array<std::atomic<uint64_t>, static_cast<size_t>(MemoryUse::kCount)> used_bytes_by_use_{}, peak_bytes_by_use_{};
};

// Heap memory counted in a budget while this lives.
class MemoryCharge {
 public:
  MemoryCharge() = default;
  MemoryCharge(MemoryCharge&& other) noexcept { *this = std::move(other); }
  MemoryCharge& operator=(MemoryCharge&& other) noexcept {
    if (this != &other) {
      reset();
      memory_ = std::exchange(other.memory_, nullptr);
      size_bytes_ = std::exchange(other.size_bytes_, 0);
    }
    return *this;
  }
  ~MemoryCharge() { reset(); }

  // Counts `size_bytes` in all from now on, as kOther. `memory` must outlive the charge.
  Status set(LimitResource& memory, uint64_t size_bytes);
  void reset() noexcept;
  uint64_t size_bytes() const { return size_bytes_; }

 private:
  LimitResource* memory_ = nullptr;
  uint64_t size_bytes_ = 0;
};

}  // namespace fastserve
