// PagePool: the page mode of DevicePool. Each region is an address range of its own, whose pages are mapped in order:
// by a thread from the allocation on, or by whoever commits. A region that is handed back keeps its pages for a later
// one of the same number of pages.
#pragma once
#include "memory/device_pool.h"

namespace fastserve {

class PagePool final : public DevicePool {
 public:
  static constexpr size_t kPageBytes = size_t{2} << 20;  // at least; the device's own where that is larger

  static Result<std::unique_ptr<DevicePool>> create(DeviceUpstream& upstream, bool maps_ahead);
  explicit PagePool(DeviceUpstream& upstream);
  ~PagePool() override;
  void* allocate(size_t size_bytes) noexcept override;
  void deallocate(void* address) noexcept override;
  bool commit(void* address, size_t size_bytes) noexcept override;
  uint64_t trim() noexcept override;
  Stats stats() const noexcept override;
  const char* mode_name() const noexcept override { return "pages"; }

 private:
  struct Region {
    uint8_t* begin = nullptr;
    size_t size_bytes = 0;    // whole pages
    size_t mapped_bytes = 0;  // from the beginning on
    bool is_used = false;
    bool is_mapping = false;  // someone maps its next page, without the lock
  };
  Region* region_of(const void* address) noexcept;
  Region* take_kept(size_t size_bytes) noexcept;
  bool map_next(Region& region, std::unique_lock<std::mutex>& lock) noexcept;
  void drop(Region& region) noexcept;
  uint64_t trim_locked() noexcept;
  void map_ahead() noexcept;

  DeviceUpstream& upstream_;
  const size_t page_bytes_;
  mutable std::mutex mutex_;
  std::condition_variable changed_;  // a page was mapped, a region came, the end
  std::vector<std::unique_ptr<Region>> regions_;
  uint64_t used_bytes_ = 0, mapped_bytes_ = 0, upstream_calls_ = 0;
  bool is_closing_ = false;
  bool has_failed_ = false;  // the last page that was mapped ahead: nobody tries again until something changes
  os::Thread mapper_;
};

}  // namespace fastserve
