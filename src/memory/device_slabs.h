// SlabPool: the slab mode of DevicePool. Small regions share slabs, cut first-fit from free ranges that grow together
// again; large ones get a slab of their own, which serves later requests of about its size.
#pragma once
#include "memory/device_pool.h"

namespace fastserve {

class SlabPool final : public DevicePool {
 public:
  static constexpr size_t kSlabBytes = size_t{32} << 20;
  static constexpr size_t kGranule = 256;
  static constexpr size_t kLargeGranule = size_t{2} << 20;  // of slabs that are one region

  explicit SlabPool(DeviceUpstream& upstream) : upstream_(upstream) {}
  ~SlabPool() override;
  void* allocate(size_t size_bytes) noexcept override;
  void deallocate(void* address) noexcept override;
  bool commit(void*, size_t) noexcept override { return true; }
  uint64_t trim() noexcept override;
  Stats stats() const noexcept override;
  const char* mode_name() const noexcept override { return "slabs"; }
  // Free ranges and used ones make up each slab, in order and without holes: for tests.
  bool check_integrity() const;

 private:
  struct Range {
    size_t size_bytes = 0;
    bool is_used = false;
  };
  struct Slab {
    uint8_t* begin = nullptr;
    size_t size_bytes = 0;
    std::map<size_t, Range> ranges;  // by offset; they cover the slab
    bool is_free() const { return ranges.size() == 1 && !ranges.begin()->second.is_used; }
  };
  void* take_from(Slab& slab, size_t size_bytes);
  void* take_kept(size_t size_bytes);
  Slab* new_slab(size_t size_bytes);
  uint64_t trim_locked() noexcept;

  DeviceUpstream& upstream_;
  mutable std::mutex mutex_;
  std::vector<std::unique_ptr<Slab>> slabs_;
  uint64_t used_bytes_ = 0, reserved_bytes_ = 0, upstream_calls_ = 0;
};

}  // namespace fastserve
