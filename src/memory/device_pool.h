// DevicePool: a device's memory, taken from its driver in large pieces and handed out again without asking it. Two
// modes behind one interface: slabs (plain allocations, which any context supports) and pages (address ranges in which
// pages are mapped one by one, maybe ahead by a thread). What is handed back stays for the next who asks, until trim().
//
// Reuse is in stream order: whoever gives memory back has waited for, or has queued before, all that touches it.
// Thread-safe. Bookkeeping lies on the heap; a failure to extend it is out of memory.
#pragma once
#include <atomic>
#include <condition_variable>
#include <map>
#include <memory>
#include <mutex>
#include <vector>

#include "base/os.h"
#include "memory/memory_resource.h"

namespace fastserve {

// The driver's side.
class DeviceUpstream {
 public:
  virtual ~DeviceUpstream() = default;
  virtual void* allocate(size_t size_bytes) noexcept = 0;  // null: out of memory, or the device is lost
  virtual void release(void* address) noexcept = 0;
  // Pages; sizes are multiples of page_bytes(), and 0 there means that there are none.
  virtual size_t page_bytes() const noexcept = 0;
  virtual void* reserve(size_t size_bytes) noexcept = 0;
  virtual void unreserve(void* address, size_t size_bytes) noexcept = 0;
  virtual bool map(void* address, size_t size_bytes) noexcept = 0;
  virtual void unmap(void* address, size_t size_bytes) noexcept = 0;
};

enum class DevicePoolMode : uint32_t { kAuto = 0, kSlabs = 1, kPages = 2 };

class DevicePool {
 public:
  struct Stats {
    uint64_t used_bytes = 0;      // handed out, rounded up as they were
    uint64_t reserved_bytes = 0;  // of the device's memory, used or kept
    uint64_t upstream_calls = 0;  // so far; none in a steady state
  };
  virtual ~DevicePool() = default;
  // At a multiple of 256 bytes; null when there is not so much. Pages may not be behind it yet: see commit.
  virtual void* allocate(size_t size_bytes) noexcept = 0;
  virtual void deallocate(void* address) noexcept = 0;
  // Returns when [address, address + size_bytes) of an allocation has memory behind it; false: there is none left.
  virtual bool commit(void* address, size_t size_bytes) noexcept = 0;
  // Gives the driver back what is kept and not used; returns how much.
  virtual uint64_t trim() noexcept = 0;
  virtual Stats stats() const noexcept = 0;
  virtual const char* mode_name() const noexcept = 0;
};

// kPages where the upstream has none is kUnsupported; kAuto takes them where it has. `maps_ahead`: pages are mapped by
// a thread of the pool's own from the allocation on; else by whoever commits.
Result<std::unique_ptr<DevicePool>> create_device_pool(DeviceUpstream& upstream, DevicePoolMode mode, bool maps_ahead);

}  // namespace fastserve
