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
  void* allocate(size_t size_bytes, size_t alignment, MemoryUse) noexcept override {
    const size_t mapped = mapped_bytes(size_bytes);
    if (mapped == 0 || alignment > os::page_size_bytes()) return nullptr;
    return os::map_pages(mapped);
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
