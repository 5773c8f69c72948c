// operator new and delete over the private mimalloc (FASTSERVE_HAVE_MIMALLOC) or malloc, with counting and failing
// for tests (FASTSERVE_HEAP_HOOKS). Not part of fastserve_core: whoever links this file takes over the operators.
#include "base/heap.h"

#include <cstddef>
#include <cstdlib>
#include <new>

#if defined(FASTSERVE_HAVE_MIMALLOC)
#include <mimalloc.h>
#elif defined(__GLIBC__)
#include <malloc.h>
#endif

namespace {

#if defined(FASTSERVE_HAVE_MIMALLOC)
void* raw_allocate(size_t size_bytes) noexcept { return mi_malloc(size_bytes); }
void* raw_allocate_aligned(size_t size_bytes, size_t alignment) noexcept {
  return mi_malloc_aligned(size_bytes, alignment);
}
void raw_free(void* address) noexcept { mi_free(address); }
size_t usable_bytes(void* address) noexcept { return mi_usable_size(address); }
#else
void* raw_allocate(size_t size_bytes) noexcept { return std::malloc(size_bytes == 0 ? 1 : size_bytes); }
void* raw_allocate_aligned(size_t size_bytes, size_t alignment) noexcept {
  if (alignment <= alignof(std::max_align_t)) return raw_allocate(size_bytes);
  if (size_bytes > SIZE_MAX - alignment) return nullptr;
  // aligned_alloc wants a multiple of the alignment.
  return std::aligned_alloc(alignment, (size_bytes + alignment) & ~(alignment - 1));
}
void raw_free(void* address) noexcept { std::free(address); }
#if defined(__GLIBC__)
size_t usable_bytes(void* address) noexcept { return malloc_usable_size(address); }
#else
size_t usable_bytes(void*) noexcept { return 0; }
#endif
#endif

// What lies on the heap counts for the account of the thread that put it there.
void account_for(void* address, int64_t sign) noexcept {
  if (address == nullptr) return;
  fastserve::HeapAccount* account = fastserve::HeapAccount::current();
  if (account != nullptr) account->add(sign * static_cast<int64_t>(usable_bytes(address)));
}

#if defined(FASTSERVE_HEAP_HOOKS)
std::atomic<uint64_t> allocation_count{0}, free_count{0}, failure_count{0};
// Allocations until the one that fails; 0: none fails.
std::atomic<uint64_t> countdown{0};
std::atomic<bool> fail_all_after{false};

// Whether the allocation that is about to happen must fail.
bool must_fail() noexcept {
  uint64_t left = countdown.load(std::memory_order_relaxed);
  while (left != 0) {
    const uint64_t next = left > 1 ? left - 1 : (fail_all_after.load(std::memory_order_relaxed) ? 1 : 0);
    if (countdown.compare_exchange_weak(left, next, std::memory_order_relaxed)) {
      if (left != 1) return false;
      failure_count.fetch_add(1, std::memory_order_relaxed);
      return true;
    }
  }
  return false;
}
void count_allocation(const void* address) noexcept {
  if (address != nullptr) allocation_count.fetch_add(1, std::memory_order_relaxed);
}
void count_free(const void* address) noexcept {
  if (address != nullptr) free_count.fetch_add(1, std::memory_order_relaxed);
}
#else
constexpr bool must_fail() noexcept { return false; }
void count_allocation(const void*) noexcept {}
void count_free(const void*) noexcept {}
#endif

void* allocate(size_t size_bytes) noexcept {
  if (must_fail()) return nullptr;
  void* address = raw_allocate(size_bytes);
  account_for(address, 1);
  count_allocation(address);
  return address;
}

void* allocate_aligned(size_t size_bytes, std::align_val_t alignment) noexcept {
  if (must_fail()) return nullptr;
  void* address = raw_allocate_aligned(size_bytes, static_cast<size_t>(alignment));
  account_for(address, 1);
  count_allocation(address);
  return address;
}

void release(void* address) noexcept {
  account_for(address, -1);
  count_free(address);
  raw_free(address);
}

// The host's new-handler is not ours to call: failure is an exception here, and a status at the boundary.
void* or_throw(void* address) {
  if (address == nullptr) throw std::bad_alloc();
  return address;
}

}  // namespace

#if defined(FASTSERVE_HEAP_HOOKS)
namespace fastserve::heap_hooks {

Counts counts() noexcept { return {allocation_count.load(), free_count.load(), failure_count.load()}; }

void fail_at(uint64_t n, bool and_all_after) noexcept {
  fail_all_after.store(and_all_after);
  countdown.store(n);
}

}  // namespace fastserve::heap_hooks
#endif

void* operator new(size_t size) { return or_throw(allocate(size)); }
void* operator new[](size_t size) { return or_throw(allocate(size)); }
void* operator new(size_t size, const std::nothrow_t&) noexcept { return allocate(size); }
void* operator new[](size_t size, const std::nothrow_t&) noexcept { return allocate(size); }
void* operator new(size_t size, std::align_val_t alignment) { return or_throw(allocate_aligned(size, alignment)); }
void* operator new[](size_t size, std::align_val_t alignment) { return or_throw(allocate_aligned(size, alignment)); }
void* operator new(size_t size, std::align_val_t alignment, const std::nothrow_t&) noexcept {
  return allocate_aligned(size, alignment);
}
void* operator new[](size_t size, std::align_val_t alignment, const std::nothrow_t&) noexcept {
  return allocate_aligned(size, alignment);
}

void operator delete(void* address) noexcept { release(address); }
void operator delete[](void* address) noexcept { release(address); }
void operator delete(void* address, size_t) noexcept { release(address); }
void operator delete[](void* address, size_t) noexcept { release(address); }
void operator delete(void* address, const std::nothrow_t&) noexcept { release(address); }
void operator delete[](void* address, const std::nothrow_t&) noexcept { release(address); }
void operator delete(void* address, std::align_val_t) noexcept { release(address); }
void operator delete[](void* address, std::align_val_t) noexcept { release(address); }
void operator delete(void* address, size_t, std::align_val_t) noexcept { release(address); }
void operator delete[](void* address, size_t, std::align_val_t) noexcept { release(address); }
void operator delete(void* address, std::align_val_t, const std::nothrow_t&) noexcept { release(address); }
void operator delete[](void* address, std::align_val_t, const std::nothrow_t&) noexcept { release(address); }
