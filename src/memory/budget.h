// LimitResource: one budget over an upstream, with statistics for each use. The engine owns one for each device.
#pragma once
#include <array>
#include <atomic>

#include "memory/memory_resource.h"

namespace fastserve {

struct MemoryStats {
  uint64_t budget_bytes = 0;  // 0: no limit
  uint64_t used_bytes = 0;
  uint64_t peak_bytes = 0;
  std::array<uint64_t, static_cast<size_t>(MemoryUse::kCount)> used_bytes_by_use{};
};

class LimitResource final : public MemoryResource {
 public:
  LimitResource(MemoryResource& upstream, uint64_t budget_bytes) : upstream_(upstream), budget_bytes_(budget_bytes) {}
  void* allocate(size_t size_bytes, size_t alignment, MemoryUse use) noexcept override;
  void deallocate(void* address, size_t size_bytes, size_t alignment, MemoryUse use) noexcept override;

  // May be set below what is used: allocations fail until enough was freed.
  void set_budget_bytes(uint64_t budget_bytes) noexcept { budget_bytes_ = budget_bytes; }
  // Bytes that may still be allocated (UINT64_MAX without a budget).
  uint64_t available_bytes() const noexcept;
  MemoryStats stats() const noexcept;

 private:
  MemoryResource& upstream_;
  std::atomic<uint64_t> budget_bytes_;
  std::atomic<uint64_t> used_bytes_{0};
  std::atomic<uint64_t> peak_bytes_{0};
  std::array<std::atomic<uint64_t>, static_cast<size_t>(MemoryUse::kCount)> used_bytes_by_use_{};
};

}  // namespace fastserve
