#include "memory/device_pages.h"

#include <algorithm>

#include "memory/device_slabs.h"

namespace fastserve {

PagePool::PagePool(DeviceUpstream& upstream)
    : upstream_(upstream), page_bytes_(std::max(kPageBytes, upstream.page_bytes())) {}

Result<std::unique_ptr<DevicePool>> PagePool::create(DeviceUpstream& upstream, bool maps_ahead) {
  auto pool = std::make_unique<PagePool>(upstream);
  if (maps_ahead) {
    FSV_ASSIGN(
        pool->mapper_,
        os::Thread::start("fsv-pages", [](void* self) { static_cast<PagePool*>(self)->map_ahead(); }, pool.get()));
  }
  return std::unique_ptr<DevicePool>(std::move(pool));
}

PagePool::~PagePool() {
  {
    const std::lock_guard lock(mutex_);
    is_closing_ = true;
    changed_.notify_all();
  }
  mapper_.join();
  for (const auto& region : regions_) drop(*region);
}

// Unmaps what is mapped and gives the addresses back.
void PagePool::drop(Region& region) noexcept {
  for (size_t at = 0; at < region.mapped_bytes; at += page_bytes_) upstream_.unmap(region.begin + at, page_bytes_);
  upstream_.unreserve(region.begin, region.size_bytes);
  upstream_calls_ += region.mapped_bytes / page_bytes_ + 1;
  mapped_bytes_ -= region.mapped_bytes;
}

PagePool::Region* PagePool::region_of(const void* address) noexcept {
  const auto* at = static_cast<const uint8_t*>(address);
  const auto found = std::find_if(regions_.begin(), regions_.end(), [&](const std::unique_ptr<Region>& region) {
    return at >= region->begin && at < region->begin + region->size_bytes;
  });
  return found != regions_.end() ? found->get() : nullptr;
}

PagePool::Region* PagePool::take_kept(size_t size_bytes) noexcept {
  const auto found = std::find_if(regions_.begin(), regions_.end(), [&](const std::unique_ptr<Region>& region) {
    return !region->is_used && region->size_bytes == size_bytes;
  });
  return found != regions_.end() ? found->get() : nullptr;
}

void* PagePool::allocate(size_t size_bytes) noexcept {
  if (size_bytes > SIZE_MAX - page_bytes_) return nullptr;
  const size_t wanted = (std::max<size_t>(size_bytes, 1) + page_bytes_ - 1) / page_bytes_ * page_bytes_;
  const std::lock_guard lock(mutex_);
  Region* region = take_kept(wanted);
  if (region == nullptr) {
    (void)guarded([&] {
      auto made = std::make_unique<Region>();
      regions_.reserve(regions_.size() + 1);
      ++upstream_calls_;
      made->begin = static_cast<uint8_t*>(upstream_.reserve(wanted));
      if (made->begin == nullptr) return Status::out_of_memory();
      made->size_bytes = wanted;
      regions_.push_back(std::move(made));
      region = regions_.back().get();
      return Status();
    });
    if (region == nullptr) return nullptr;
  }
  region->is_used = true;
  used_bytes_ += wanted;
  has_failed_ = false;
  changed_.notify_all();
  return region->begin;
}

void PagePool::deallocate(void* address) noexcept {
  const std::lock_guard lock(mutex_);
  Region* region = address != nullptr ? region_of(address) : nullptr;
  if (region == nullptr || !region->is_used) return;
  region->is_used = false;
  used_bytes_ -= region->size_bytes;
}

// One page of a region that has some left. Lets others in meanwhile; false where there is no memory.
bool PagePool::map_next(Region& region, std::unique_lock<std::mutex>& lock) noexcept {
  region.is_mapping = true;
  uint8_t* const page = region.begin + region.mapped_bytes;
  lock.unlock();
  const bool has_mapped = upstream_.map(page, page_bytes_);
  lock.lock();
  region.is_mapping = false;
  ++upstream_calls_;
  if (has_mapped) {
    region.mapped_bytes += page_bytes_;
    mapped_bytes_ += page_bytes_;
  }
  changed_.notify_all();
  return has_mapped;
}

bool PagePool::commit(void* address, size_t size_bytes) noexcept {
  std::unique_lock lock(mutex_);
  Region* region = region_of(address);
  if (region == nullptr) return false;
  const size_t end = static_cast<size_t>(static_cast<uint8_t*>(address) - region->begin) + size_bytes;
  if (end > region->size_bytes) return false;
  while (region->mapped_bytes < end) {
    if (region->is_mapping) {
      changed_.wait(lock);
    } else if (!map_next(*region, lock) && trim_locked() == 0) {
      return false;
    }
  }
  return true;
}

// The thread: the first region in use that lacks pages, page by page.
void PagePool::map_ahead() noexcept {
  std::unique_lock lock(mutex_);
  while (!is_closing_) {
    const auto next = std::find_if(regions_.begin(), regions_.end(), [](const std::unique_ptr<Region>& region) {
      return region->is_used && !region->is_mapping && region->mapped_bytes < region->size_bytes;
    });
    if (next == regions_.end() || has_failed_) {
      changed_.wait(lock);
    } else if (!map_next(**next, lock)) {
      has_failed_ = true;  // whoever needs the page says so
    }
  }
}

uint64_t PagePool::trim_locked() noexcept {
  uint64_t given_bytes = 0;
  std::erase_if(regions_, [&](const std::unique_ptr<Region>& region) {
    if (region->is_used || region->is_mapping) return false;
    given_bytes += region->mapped_bytes;
    drop(*region);
    return true;
  });
  return given_bytes;
}

uint64_t PagePool::trim() noexcept {
  const std::lock_guard lock(mutex_);
  return trim_locked();
}

DevicePool::Stats PagePool::stats() const noexcept {
  const std::lock_guard lock(mutex_);
  return {used_bytes_, mapped_bytes_, upstream_calls_};
}

Result<std::unique_ptr<DevicePool>> create_device_pool(DeviceUpstream& upstream, DevicePoolMode mode, bool maps_ahead) {
  const bool has_pages = upstream.page_bytes() != 0;
  if (mode == DevicePoolMode::kPages && !has_pages) {
    return Status::from_literal(StatusCode::kUnsupported, "the device maps no pages: only slabs are possible");
  }
  if (mode == DevicePoolMode::kSlabs || !has_pages) return std::unique_ptr<DevicePool>(new SlabPool(upstream));
  return PagePool::create(upstream, maps_ahead);
}

}  // namespace fastserve
