// page_memory(): blocks of at least a page straight from the system, each with a mapping of its own.
#include "base/os.h"
#include "memory/memory_resource.h"

namespace fastserve {
namespace {

// Whole pages, 0 when that overflows.
size_t mapped_bytes(size_t size_bytes) noexcept {
  const size_t page = os::page_size_bytes();
  if (size_bytes > SIZE_MAX - page) return 0;
  return (size_bytes + page - 1) / page * page;
}

class PageMemory final : public MemoryResource {
 public:
  // KV and activations are first touched while texts grow, bit by bit, by steps whose time a host may have measured
  // out: there a page fault must be short. Weights are touched by loads, and read as a whole.
  void* allocate(size_t size_bytes, size_t alignment, MemoryUse use) noexcept override {
    const size_t mapped = mapped_bytes(size_bytes);
    if (mapped == 0 || alignment > os::page_size_bytes()) return nullptr;
    return os::map_pages(mapped, use == MemoryUse::kWeights ? os::PageSize::kHuge : os::PageSize::kSmall);
  }
  void deallocate(void* address, size_t size_bytes, size_t, MemoryUse) noexcept override {
    os::unmap_pages(address, mapped_bytes(size_bytes));
  }
};

}  // namespace

MemoryResource& page_memory() {
  static PageMemory memory;
  return memory;
}

}  // namespace fastserve
