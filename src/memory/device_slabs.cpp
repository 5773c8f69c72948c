#include "memory/device_slabs.h"

#include <algorithm>

namespace fastserve {
namespace {

size_t rounded(size_t size_bytes, size_t granule) {
  return size_bytes > SIZE_MAX - granule ? 0 : (size_bytes + granule - 1) / granule * granule;
}

bool is_large(size_t size_bytes) { return size_bytes > SlabPool::kSlabBytes / 2; }

}  // namespace

SlabPool::~SlabPool() {
  for (const auto& slab : slabs_) upstream_.release(slab->begin);
}

// First fit. May throw bad_alloc; then nothing has changed.
void* SlabPool::take_from(Slab& slab, size_t size_bytes) {
  for (auto it = slab.ranges.begin(); it != slab.ranges.end(); ++it) {
    auto& [offset, range] = *it;
    if (range.is_used || range.size_bytes < size_bytes) continue;
    if (range.size_bytes > size_bytes) {
      slab.ranges.emplace(offset + size_bytes, Range{range.size_bytes - size_bytes, false});
      range.size_bytes = size_bytes;
    }
    range.is_used = true;
    used_bytes_ += size_bytes;
    return slab.begin + offset;
  }
  return nullptr;
}

// A large region takes a whole kept slab that is at most a quarter too large, the smallest such.
void* SlabPool::take_kept(size_t size_bytes) {
  if (!is_large(size_bytes)) {
    for (const auto& slab : slabs_) {
      if (is_large(slab->size_bytes) && slab->size_bytes != kSlabBytes) continue;
      if (void* address = take_from(*slab, size_bytes)) return address;
    }
    return nullptr;
  }
  Slab* best = nullptr;
  for (const auto& slab : slabs_) {
    if (!slab->is_free() || slab->size_bytes < size_bytes || slab->size_bytes - size_bytes > size_bytes / 4) continue;
    if (best == nullptr || slab->size_bytes < best->size_bytes) best = slab.get();
  }
  return best != nullptr ? take_from(*best, best->size_bytes) : nullptr;
}

SlabPool::Slab* SlabPool::new_slab(size_t size_bytes) {
  auto slab = std::make_unique<Slab>();
  slab->size_bytes = size_bytes;
  slab->ranges.emplace(0, Range{size_bytes, false});
  slabs_.reserve(slabs_.size() + 1);
  for (bool has_trimmed = false;; has_trimmed = true) {
    ++upstream_calls_;
    slab->begin = static_cast<uint8_t*>(upstream_.allocate(size_bytes));
    if (slab->begin != nullptr) break;
    if (has_trimmed || trim_locked() == 0) return nullptr;  // what others have left may make the room
  }
  reserved_bytes_ += size_bytes;
  slabs_.push_back(std::move(slab));
  return slabs_.back().get();
}

void* SlabPool::allocate(size_t size_bytes) noexcept {
  const size_t wanted = rounded(std::max<size_t>(size_bytes, 1), is_large(size_bytes) ? kLargeGranule : kGranule);
  if (wanted == 0) return nullptr;
  const std::lock_guard lock(mutex_);
  void* address = nullptr;
  (void)guarded([&] {
    address = take_kept(wanted);
    if (address != nullptr) return Status();
    Slab* slab = new_slab(is_large(wanted) ? wanted : kSlabBytes);
    if (slab != nullptr) address = take_from(*slab, wanted);
    return Status();
  });
  return address;
}

void SlabPool::deallocate(void* address) noexcept {
  if (address == nullptr) return;
  const std::lock_guard lock(mutex_);
  const auto* at = static_cast<uint8_t*>(address);
  const auto found = std::find_if(slabs_.begin(), slabs_.end(), [&](const std::unique_ptr<Slab>& slab) {
    return at >= slab->begin && at < slab->begin + slab->size_bytes;
  });
  if (found == slabs_.end()) return;
  auto& ranges = (*found)->ranges;
  auto range = ranges.find(static_cast<size_t>(at - (*found)->begin));
  if (range == ranges.end() || !range->second.is_used) return;
  range->second.is_used = false;
  used_bytes_ -= range->second.size_bytes;
  if (auto next = std::next(range); next != ranges.end() && !next->second.is_used) {
    range->second.size_bytes += next->second.size_bytes;
    ranges.erase(next);
  }
  if (range == ranges.begin()) return;
  if (auto before = std::prev(range); !before->second.is_used) {
    before->second.size_bytes += range->second.size_bytes;
    ranges.erase(range);
  }
}

uint64_t SlabPool::trim_locked() noexcept {
  uint64_t given_bytes = 0;
  std::erase_if(slabs_, [&](const std::unique_ptr<Slab>& slab) {
    if (!slab->is_free()) return false;
    upstream_.release(slab->begin);
    ++upstream_calls_;
    given_bytes += slab->size_bytes;
    return true;
  });
  reserved_bytes_ -= given_bytes;
  return given_bytes;
}

uint64_t SlabPool::trim() noexcept {
  const std::lock_guard lock(mutex_);
  return trim_locked();
}

DevicePool::Stats SlabPool::stats() const noexcept {
  const std::lock_guard lock(mutex_);
  return {used_bytes_, reserved_bytes_, upstream_calls_};
}

bool SlabPool::check_integrity() const {
  const std::lock_guard lock(mutex_);
  uint64_t used_bytes = 0, reserved_bytes = 0;
  for (const auto& slab : slabs_) {
    size_t next = 0;
    bool was_free = false;
    for (const auto& [offset, range] : slab->ranges) {
      if (offset != next || range.size_bytes == 0 || (was_free && !range.is_used)) return false;
      next += range.size_bytes;
      was_free = !range.is_used;
      used_bytes += range.is_used ? range.size_bytes : 0;
    }
    if (next != slab->size_bytes) return false;
    reserved_bytes += slab->size_bytes;
  }
  return used_bytes == used_bytes_ && reserved_bytes == reserved_bytes_;
}

}  // namespace fastserve
