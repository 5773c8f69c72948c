// Everything that differs between operating systems; implemented in os_posix*.cpp and os_windows*.cpp alone.
#pragma once
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"

namespace fastserve::os {

// Zeroed, page-aligned memory of the process's own mapping; null on failure. Huge pages are asked for, or declined:
// the first touch of one takes as long as clearing 2 MiB, and longer where a hypervisor must find them first.
enum class PageSize { kSmall, kHuge };
void* map_pages(size_t size_bytes, PageSize size) noexcept;
void unmap_pages(void* address, size_t size_bytes) noexcept;
// Gives the physical pages of a range back; the range stays mapped and reads as zero afterwards.
void discard_pages(void* address, size_t size_bytes) noexcept;
size_t page_size_bytes() noexcept;

// A file opened for reading at positions; closed by the destructor. Paths are UTF-8.
class File {
 public:
  virtual ~File() = default;
  virtual uint64_t size_bytes() const = 0;
  virtual std::string_view name() const { return "file"; }  // for messages: the path, where there is one
  // Identity of the file's content as far as the system knows: device, inode, size, time of change.
  struct Identity {
    uint64_t device = 0, inode = 0, size_bytes = 0, changed_ns = 0;
    bool operator==(const Identity&) const = default;
  };
  virtual Identity identity() const = 0;
  // Reads exactly `size_bytes` bytes or fails (a file that ends early: kCorrupt). Threads may read at once.
  virtual Status read_at(uint64_t offset_bytes, void* destination, size_t size_bytes) = 0;
};
Result<std::unique_ptr<File>> open_file(std::string_view path);
bool is_directory(std::string_view path);

// A shared library loaded into the process; unloaded by the destructor.
class SharedLibrary {
 public:
  virtual ~SharedLibrary() = default;
  virtual void* find(const char* symbol) const noexcept = 0;  // null where it has none of that name
};
// kNotFound only where there is no such file. Its own dependencies are looked for as the system does.
Result<std::unique_ptr<SharedLibrary>> open_shared_library(const std::string& path);
// The folder of the module (library or program) that this code is part of; "." where the system does not say.
std::string own_folder();

// CPUs this process may use by affinity mask and cgroup quota, at least 1; and the machine's.
uint32_t usable_cpu_count();
uint32_t logical_cpu_count();
struct CacheSizes {
  uint32_t l1d_bytes = 0, l2_bytes = 0, l3_bytes = 0;
};
CacheSizes cache_sizes();
uint64_t physical_memory_bytes();
uint64_t available_memory_bytes();
std::string cpu_name();

// A level-triggered signal that hosts can poll: eventfd or pipe on POSIX, a manual-reset event on Windows.
class WaitHandle {
 public:
  virtual ~WaitHandle() = default;
  virtual void set() noexcept = 0;
  virtual void clear() noexcept = 0;
  virtual intptr_t native() const noexcept = 0;
};
Result<std::unique_ptr<WaitHandle>> create_wait_handle();

enum class ThreadPriority : uint32_t { kNormal = 0, kLow = 1, kLowest = 2 };
// What a host decides about the library's threads.
struct ThreadSettings {
  ThreadPriority priority = ThreadPriority::kNormal;
  std::vector<uint32_t> cpus;  // empty: those of the process
};

// A joinable thread with a stated stack; creation failure is a Status, not an exception. Signals are blocked in it.
class Thread {
 public:
  Thread() = default;
  Thread(Thread&&) noexcept;
  Thread& operator=(Thread&&) noexcept;
  ~Thread();  // joins
  static Result<Thread> start(const char* name, void (*entry)(void*), void* argument,
                              const ThreadSettings& settings = {});
  void join() noexcept;
  bool joinable() const { return handle_ != nullptr; }
  struct Handle;

 private:
  Handle* handle_ = nullptr;
};

// Sleeps until *word != expected or someone wakes it (futex); may return early.
void wait_on_word(const uint32_t* word, uint32_t expected) noexcept;
void wake_all_on_word(const uint32_t* word) noexcept;

}  // namespace fastserve::os
