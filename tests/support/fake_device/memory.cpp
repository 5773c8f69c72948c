// The fake device's memory: one reserved stretch of addresses, of which allocated parts open while work runs.
#include <sys/mman.h>

#include <cstdlib>
#include <map>
#include <mutex>

#include "support/fake_device/fake_device.h"

namespace fastserve::test {
namespace {

constexpr size_t kArenaBytes = size_t{64} << 30;  // of addresses
constexpr size_t kPage = 4096;

struct Arena {
  std::recursive_mutex mutex;
  uint8_t* begin =
      static_cast<uint8_t*>(mmap(nullptr, kArenaBytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0));
  size_t next = 0;                    // addresses are never used twice: stale ones fault
  std::map<uint8_t*, size_t> opened;  // blocks and mapped pages
  std::map<uint8_t*, size_t> ranges;
  std::map<uint8_t*, size_t> host_sizes;
  uint64_t used_bytes = 0;
};

Arena& arena() {
  static auto* const made = new Arena;
  return *made;
}

size_t whole_pages(size_t size_bytes) { return (size_bytes + kPage - 1) / kPage * kPage; }

uint8_t* next_addresses(Arena& a, size_t size_bytes, size_t alignment) {
  a.next = (a.next + alignment - 1) / alignment * alignment;
  if (a.begin == MAP_FAILED || size_bytes > kArenaBytes - a.next) return nullptr;
  uint8_t* address = a.begin + a.next;
  a.next += whole_pages(size_bytes) + kPage;
  return address;
}

bool has_room(const Arena& a, size_t size_bytes) {
  const uint64_t most = control().memory_bytes != 0 ? control().memory_bytes.load() : uint64_t{4} << 30;
  return size_bytes <= most && a.used_bytes <= most - size_bytes;
}

// Freed bytes are given back and fault from then on.
void close_block(Arena& a, std::map<uint8_t*, size_t>::iterator block) {
  a.used_bytes -= block->second;
  madvise(block->first, whole_pages(block->second), MADV_DONTNEED);
  mprotect(block->first, whole_pages(block->second), PROT_NONE);
  a.opened.erase(block);
}

}  // namespace

MemoryOpened::MemoryOpened() {
  arena().mutex.lock();
  for (const auto& [address, size] : arena().opened) mprotect(address, whole_pages(size), PROT_READ | PROT_WRITE);
}

MemoryOpened::~MemoryOpened() {
  for (const auto& [address, size] : arena().opened) mprotect(address, whole_pages(size), PROT_NONE);
  arena().mutex.unlock();
}

void* take_block(size_t size_bytes) {
  Arena& a = arena();
  const std::lock_guard lock(a.mutex);
  if (!has_room(a, size_bytes)) return nullptr;
  uint8_t* address = next_addresses(a, size_bytes, kPage);
  if (address == nullptr) return nullptr;
  a.opened[address] = size_bytes;
  a.used_bytes += size_bytes;
  ++control().blocks_live;
  return address;
}

bool give_block(void* address) {
  Arena& a = arena();
  const std::lock_guard lock(a.mutex);
  const auto found = a.opened.find(static_cast<uint8_t*>(address));
  if (found == a.opened.end()) return false;
  close_block(a, found);
  --control().blocks_live;
  return true;
}

void* take_range(size_t size_bytes) {
  Arena& a = arena();
  const std::lock_guard lock(a.mutex);
  uint8_t* address = next_addresses(a, size_bytes, size_t{2} << 20);
  if (address != nullptr) a.ranges[address] = size_bytes;
  if (address != nullptr) ++control().ranges_live;
  return address;
}

void give_range(void* address) {
  Arena& a = arena();
  const std::lock_guard lock(a.mutex);
  if (a.ranges.erase(static_cast<uint8_t*>(address)) != 0) --control().ranges_live;
}

bool open_pages(void* address, size_t size_bytes) {
  Arena& a = arena();
  const std::lock_guard lock(a.mutex);
  if (!has_room(a, size_bytes)) return false;
  a.opened[static_cast<uint8_t*>(address)] = size_bytes;
  a.used_bytes += size_bytes;
  ++control().pages_live;
  return true;
}

void close_pages(void* address) {
  Arena& a = arena();
  const std::lock_guard lock(a.mutex);
  const auto found = a.opened.find(static_cast<uint8_t*>(address));
  if (found == a.opened.end()) return;
  close_block(a, found);
  --control().pages_live;
}

void* take_host_block(size_t size_bytes) {
  void* address = std::aligned_alloc(256, (size_bytes + 255) / 256 * 256);
  if (address == nullptr) return nullptr;
  const std::lock_guard lock(arena().mutex);
  arena().host_sizes[static_cast<uint8_t*>(address)] = size_bytes;
  ++control().host_blocks_live;
  return address;
}

void give_host_block(void* address) {
  {
    const std::lock_guard lock(arena().mutex);
    arena().host_sizes.erase(static_cast<uint8_t*>(address));
    --control().host_blocks_live;
  }
  std::free(address);
}

bool is_host_block(const void* address) {
  const std::lock_guard lock(arena().mutex);
  const auto* at = static_cast<const uint8_t*>(address);
  auto after = arena().host_sizes.upper_bound(const_cast<uint8_t*>(at));
  if (after == arena().host_sizes.begin()) return false;
  --after;
  return at < after->first + after->second;
}

}  // namespace fastserve::test
