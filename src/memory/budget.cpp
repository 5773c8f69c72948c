// LimitResource: reserves in the count first, so that concurrent callers can never pass the budget together.
#include "memory/budget.h"

#include "base/format.h"

namespace fastserve {

bool LimitResource::reserve(uint64_t size_bytes) noexcept {
  uint64_t used = used_bytes_.load(std::memory_order_relaxed);
  do {
    const uint64_t budget = budget_bytes_.load(std::memory_order_relaxed);
    if (size_bytes > UINT64_MAX - used) return false;
    if (budget != 0 && (used > budget || size_bytes > budget - used)) return false;
  } while (!used_bytes_.compare_exchange_weak(used, used + size_bytes, std::memory_order_relaxed));
  return true;
}

namespace {

void raise(std::atomic<uint64_t>& peak_bytes, uint64_t now) noexcept {
  uint64_t peak = peak_bytes.load(std::memory_order_relaxed);
  while (peak < now && !peak_bytes.compare_exchange_weak(peak, now, std::memory_order_relaxed)) {
  }
}

}  // namespace

void LimitResource::note(uint64_t size_bytes, MemoryUse use) noexcept {
  const auto index = static_cast<size_t>(use);
  raise(peak_bytes_by_use_[index],
        used_bytes_by_use_[index].fetch_add(size_bytes, std::memory_order_relaxed) + size_bytes);
  raise(peak_bytes_, used_bytes_.load(std::memory_order_relaxed));
}

bool LimitResource::charge(uint64_t size_bytes, MemoryUse use) noexcept {
  if (!reserve(size_bytes)) return false;
  note(size_bytes, use);
  return true;
}

void LimitResource::discharge(uint64_t size_bytes, MemoryUse use) noexcept {
  used_bytes_by_use_[static_cast<size_t>(use)].fetch_sub(size_bytes, std::memory_order_relaxed);
  used_bytes_.fetch_sub(size_bytes, std::memory_order_relaxed);
}

void* LimitResource::allocate(size_t size_bytes, size_t alignment, MemoryUse use) noexcept {
  if (!reserve(size_bytes)) return nullptr;
  void* address = upstream_.allocate(size_bytes, alignment, use);
  if (address == nullptr) {
    used_bytes_.fetch_sub(size_bytes, std::memory_order_relaxed);
  } else {
    note(size_bytes, use);
  }
  return address;
}

void LimitResource::deallocate(void* address, size_t size_bytes, size_t alignment, MemoryUse use) noexcept {
  if (address == nullptr) return;
  upstream_.deallocate(address, size_bytes, alignment, use);
  discharge(size_bytes, use);
}

uint64_t LimitResource::available_bytes() const noexcept {
  const uint64_t budget = budget_bytes_.load(std::memory_order_relaxed);
  if (budget == 0) return UINT64_MAX;
  const uint64_t used = used_bytes_.load(std::memory_order_relaxed);
  return used >= budget ? 0 : budget - used;
}

uint64_t LimitResource::excess_bytes() const noexcept {
  const uint64_t budget = budget_bytes_.load(std::memory_order_relaxed);
  const uint64_t used = used_bytes_.load(std::memory_order_relaxed);
  return budget != 0 && used > budget ? used - budget : 0;
}

MemoryStats LimitResource::stats() const noexcept {
  MemoryStats stats;
  stats.budget_bytes = budget_bytes_.load(std::memory_order_relaxed);
  stats.used_bytes = used_bytes_.load(std::memory_order_relaxed);
  stats.peak_bytes = peak_bytes_.load(std::memory_order_relaxed);
  for (size_t i = 0; i < used_bytes_by_use_.size(); ++i) {
    stats.used_bytes_by_use[i] = used_bytes_by_use_[i].load(std::memory_order_relaxed);
    stats.peak_bytes_by_use[i] = peak_bytes_by_use_[i].load(std::memory_order_relaxed);
  }
  return stats;
}

Status MemoryCharge::set(LimitResource& memory, uint64_t size_bytes) {
  if (size_bytes > size_bytes_ && !memory.charge(size_bytes - size_bytes_, MemoryUse::kOther)) {
    return Status(StatusCode::kBudgetTooSmall,
                  format("objects on the heap need ", size_bytes - size_bytes_, " bytes more, the memory budget has ",
                         memory.available_bytes(), " left"));
  }
  if (size_bytes < size_bytes_) memory.discharge(size_bytes_ - size_bytes, MemoryUse::kOther);
  memory_ = &memory;
  size_bytes_ = size_bytes;
  return {};
}

void MemoryCharge::reset() noexcept {
  if (memory_ != nullptr) memory_->discharge(size_bytes_, MemoryUse::kOther);
  memory_ = nullptr;
  size_bytes_ = 0;
}

}  // namespace fastserve
