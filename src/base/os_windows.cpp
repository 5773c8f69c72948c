// Windows: memory mappings, files, wait handles, threads, waiting on a word. Paths are UTF-8 outside, UTF-16 inside.
#ifdef _WIN32
#define WIN32_LEAN_AND_MEAN
#define NOMINMAX
#include <process.h>
#include <windows.h>

#include <algorithm>
#include <cstring>
#include <new>

#include "base/format.h"
#include "base/os.h"
#include "base/os_windows_text.h"

#ifdef _MSC_VER
#pragma comment(lib, "Synchronization.lib")
#endif

namespace fastserve::os {
namespace {

StatusCode open_error_code(DWORD number) {
  if (number == ERROR_FILE_NOT_FOUND || number == ERROR_PATH_NOT_FOUND) return StatusCode::kNotFound;
  if (number == ERROR_NOT_ENOUGH_MEMORY || number == ERROR_OUTOFMEMORY) return StatusCode::kOutOfMemory;
  return StatusCode::kIo;
}

uint64_t join_words(DWORD high, DWORD low) { return static_cast<uint64_t>(high) << 32 | low; }

class WindowsFile final : public File {
 public:
  WindowsFile(HANDLE handle, const BY_HANDLE_FILE_INFORMATION& information, std::string path)
      : handle_(handle), path_(std::move(path)) {
    identity_.device = information.dwVolumeSerialNumber;
    identity_.inode = join_words(information.nFileIndexHigh, information.nFileIndexLow);
    identity_.size_bytes = join_words(information.nFileSizeHigh, information.nFileSizeLow);
    const FILETIME& changed = information.ftLastWriteTime;  // in units of 100 ns
    identity_.changed_ns = join_words(changed.dwHighDateTime, changed.dwLowDateTime) * 100;
  }
  ~WindowsFile() override { ::CloseHandle(handle_); }
  uint64_t size_bytes() const override { return identity_.size_bytes; }
  std::string_view name() const override { return path_; }
  Identity identity() const override { return identity_; }

  Status read_at(uint64_t offset_bytes, void* destination, size_t size_bytes) override {
    if (offset_bytes > identity_.size_bytes || size_bytes > identity_.size_bytes - offset_bytes) {
      return Status(StatusCode::kCorrupt, format("\"", path_, "\": ", size_bytes, " bytes at offset ", offset_bytes,
                                                 " lie past the end of the file (", identity_.size_bytes, " bytes)"));
    }
    auto* out = static_cast<uint8_t*>(destination);
    while (size_bytes != 0) {
      OVERLAPPED position{};
      position.Offset = static_cast<DWORD>(offset_bytes);
      position.OffsetHigh = static_cast<DWORD>(offset_bytes >> 32);
      DWORD count = 0;
      const auto wanted = static_cast<DWORD>(std::min(size_bytes, size_t{1} << 30));
      const DWORD number = ::ReadFile(handle_, out, wanted, &count, &position) ? 0 : ::GetLastError();
      if (number != 0 && number != ERROR_HANDLE_EOF) {
        return Status(StatusCode::kIo,
                      format("\"", path_, "\": reading at offset ", offset_bytes, ": ", error_text(number)));
      }
      if (count == 0) {
        return Status(StatusCode::kCorrupt,
                      format("\"", path_, "\": the file was cut at offset ", offset_bytes, " while it was read"));
      }
      out += count;
      offset_bytes += count;
      size_bytes -= count;
    }
    return {};
  }

 private:
  HANDLE handle_;
  Identity identity_;
  std::string path_;
};

class EventHandle final : public WaitHandle {
 public:
  explicit EventHandle(HANDLE event) : event_(event) {}
  ~EventHandle() override { ::CloseHandle(event_); }
  void set() noexcept override { ::SetEvent(event_); }
  void clear() noexcept override { ::ResetEvent(event_); }
  intptr_t native() const noexcept override { return reinterpret_cast<intptr_t>(event_); }

 private:
  HANDLE event_;
};

}  // namespace

size_t page_size_bytes() noexcept {
  SYSTEM_INFO information;
  ::GetSystemInfo(&information);
  return information.dwPageSize;
}

void* map_pages(size_t size_bytes, PageSize) noexcept {
  if (size_bytes == 0) return nullptr;
  return ::VirtualAlloc(nullptr, size_bytes, MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE);
}

void unmap_pages(void* address, size_t) noexcept {
  if (address != nullptr) ::VirtualFree(address, 0, MEM_RELEASE);
}

void discard_pages(void* address, size_t size_bytes) noexcept {
  // Zeroed first, so that pages which the system keeps read as zero too. Decommitting would be surer, but committing
  // again may fail, and then the host would crash on its next access.
  std::memset(address, 0, size_bytes);
  const size_t page = page_size_bytes();
  const uintptr_t begin = reinterpret_cast<uintptr_t>(address), end = begin + size_bytes;
  const uintptr_t first = (begin + page - 1) / page * page, last = end / page * page;
  if (first < last) ::VirtualAlloc(reinterpret_cast<void*>(first), last - first, MEM_RESET, PAGE_READWRITE);
}

Result<std::unique_ptr<File>> open_file(std::string_view path) {
  if (path.empty()) return Status(StatusCode::kInvalidArgument, "the path is empty");
  if (path.find('\0') != std::string_view::npos) {
    return Status(StatusCode::kInvalidArgument, "the path holds a NUL character");
  }
  std::string name(path);
  const std::wstring wide = to_wide(path);
  if (wide.empty()) return Status(StatusCode::kInvalidArgument, "the path is no valid UTF-8");
  const DWORD sharing = FILE_SHARE_READ | FILE_SHARE_WRITE | FILE_SHARE_DELETE;
  // FILE_FLAG_BACKUP_SEMANTICS opens folders too, so that they can be named as such.
  HANDLE handle = ::CreateFileW(wide.c_str(), GENERIC_READ, sharing, nullptr, OPEN_EXISTING,
                                FILE_ATTRIBUTE_NORMAL | FILE_FLAG_BACKUP_SEMANTICS, nullptr);
  if (handle == INVALID_HANDLE_VALUE) {
    const DWORD number = ::GetLastError();
    return Status(open_error_code(number), format("\"", name, "\": ", error_text(number)));
  }
  BY_HANDLE_FILE_INFORMATION information;
  if (::GetFileType(handle) != FILE_TYPE_DISK || !::GetFileInformationByHandle(handle, &information)) {
    ::CloseHandle(handle);
    return Status(StatusCode::kIo, format("\"", name, "\": is not a regular file"));
  }
  if ((information.dwFileAttributes & FILE_ATTRIBUTE_DIRECTORY) != 0) {
    ::CloseHandle(handle);
    return Status(StatusCode::kIo, format("\"", name, "\": is a directory"));
  }
  auto file = std::unique_ptr<File>(new (std::nothrow) WindowsFile(handle, information, std::move(name)));
  if (file == nullptr) {
    ::CloseHandle(handle);
    return Status::out_of_memory();
  }
  return file;
}

bool is_directory(std::string_view path) {
  if (path.find('\0') != std::string_view::npos) return false;
  const std::wstring wide = to_wide(path);
  if (wide.empty()) return false;
  const DWORD attributes = ::GetFileAttributesW(wide.c_str());
  return attributes != INVALID_FILE_ATTRIBUTES && (attributes & FILE_ATTRIBUTE_DIRECTORY) != 0;
}

Result<std::unique_ptr<WaitHandle>> create_wait_handle() {
  HANDLE event = ::CreateEventW(nullptr, TRUE, FALSE, nullptr);
  if (event == nullptr) return Status(StatusCode::kIo, format("CreateEvent: ", error_text(::GetLastError())));
  auto handle = std::unique_ptr<WaitHandle>(new (std::nothrow) EventHandle(event));
  if (handle == nullptr) {
    ::CloseHandle(event);
    return Status::out_of_memory();
  }
  return handle;
}

struct Thread::Handle {
  HANDLE thread;
  void (*entry)(void*);
  void* argument;
};

Thread::Thread(Thread&& other) noexcept : handle_(std::exchange(other.handle_, nullptr)) {}
Thread& Thread::operator=(Thread&& other) noexcept {
  if (this != &other) {
    join();
    handle_ = std::exchange(other.handle_, nullptr);
  }
  return *this;
}
Thread::~Thread() { join(); }

Result<Thread> Thread::start(const char* name, void (*entry)(void*), void* argument, const ThreadSettings& settings) {
  constexpr unsigned kStackBytes = 1u << 20;
  auto* handle = new (std::nothrow) Handle{nullptr, entry, argument};
  if (handle == nullptr) return Status::out_of_memory();
  const uintptr_t thread = ::_beginthreadex(
      nullptr, kStackBytes,
      [](void* raw) -> unsigned {
        auto* self = static_cast<Handle*>(raw);
        self->entry(self->argument);
        return 0;
      },
      handle, STACK_SIZE_PARAM_IS_A_RESERVATION, nullptr);
  if (thread == 0) {
    delete handle;
    return Status(StatusCode::kOutOfMemory, format("cannot start the thread \"", name, "\""));
  }
  handle->thread = reinterpret_cast<HANDLE>(thread);
  constexpr int kPriorities[] = {THREAD_PRIORITY_NORMAL, THREAD_PRIORITY_BELOW_NORMAL, THREAD_PRIORITY_LOWEST};
  ::SetThreadPriority(handle->thread, kPriorities[static_cast<int>(settings.priority)]);
  DWORD_PTR mask = 0;  // of the process's own group of at most 64 processors
  for (const uint32_t cpu : settings.cpus) mask |= cpu < 8 * sizeof(mask) ? DWORD_PTR{1} << cpu : 0;
  if (!settings.cpus.empty()) ::SetThreadAffinityMask(handle->thread, mask);  // refused: it runs anywhere
  Thread result;
  result.handle_ = handle;
  return result;
}

void Thread::join() noexcept {
  if (handle_ == nullptr) return;
  ::WaitForSingleObject(handle_->thread, INFINITE);
  ::CloseHandle(handle_->thread);
  delete handle_;
  handle_ = nullptr;
}

void wait_on_word(const uint32_t* word, uint32_t expected) noexcept {
  ::WaitOnAddress(const_cast<uint32_t*>(word), &expected, sizeof(expected), INFINITE);
}
void wake_all_on_word(const uint32_t* word) noexcept { ::WakeByAddressAll(const_cast<uint32_t*>(word)); }

}  // namespace fastserve::os
#endif  // _WIN32
