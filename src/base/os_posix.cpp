// POSIX: memory mappings, files, wait handles. Linux where POSIX is silent.
#ifndef _WIN32
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <climits>
#include <csignal>
#include <cstring>
#include <new>

#ifdef __linux__
#include <linux/futex.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#endif

#include "base/format.h"
#include "base/os.h"
#include "base/os_posix_errors.h"

namespace fastserve::os {
namespace {

constexpr size_t kHugePageBytes = size_t{2} << 20;

StatusCode open_error_code(int number) {
  if (number == ENOENT || number == ENOTDIR) return StatusCode::kNotFound;
  if (number == ENOMEM) return StatusCode::kOutOfMemory;
  return StatusCode::kIo;
}

class PosixFile final : public File {
 public:
  PosixFile(int descriptor, const struct stat& status, std::string path)
      : descriptor_(descriptor), path_(std::move(path)) {
    identity_.device = static_cast<uint64_t>(status.st_dev);
    identity_.inode = static_cast<uint64_t>(status.st_ino);
    identity_.size_bytes = static_cast<uint64_t>(status.st_size);
#ifdef __APPLE__
    const struct timespec& changed = status.st_ctimespec;
#else
    const struct timespec& changed = status.st_ctim;
#endif
    identity_.changed_ns = static_cast<uint64_t>(changed.tv_sec) * 1000000000u + static_cast<uint64_t>(changed.tv_nsec);
  }
  ~PosixFile() override { ::close(descriptor_); }
  uint64_t size_bytes() const override { return identity_.size_bytes; }
  Identity identity() const override { return identity_; }
  std::string_view name() const override { return path_; }

  Status read_at(uint64_t offset_bytes, void* destination, size_t size_bytes) override {
    if (offset_bytes > identity_.size_bytes || size_bytes > identity_.size_bytes - offset_bytes) {
      return Status(StatusCode::kCorrupt, format("\"", path_, "\": ", size_bytes, " bytes at offset ", offset_bytes,
                                                 " lie past the end of the file (", identity_.size_bytes, " bytes)"));
    }
    auto* out = static_cast<uint8_t*>(destination);
    while (size_bytes != 0) {
      const size_t wanted = std::min(size_bytes, size_t{1} << 30);
      const ssize_t count = ::pread(descriptor_, out, wanted, static_cast<off_t>(offset_bytes));
      if (count < 0 && errno == EINTR) continue;
      if (count < 0) {
        const int number = errno;
        return Status(StatusCode::kIo,
                      format("\"", path_, "\": reading at offset ", offset_bytes, ": ", error_text(number)));
      }
      if (count == 0) {
        return Status(StatusCode::kCorrupt,
                      format("\"", path_, "\": the file was cut at offset ", offset_bytes, " while it was read"));
      }
      out += count;
      offset_bytes += static_cast<uint64_t>(count);
      size_bytes -= static_cast<size_t>(count);
    }
    return {};
  }

 private:
  int descriptor_;
  Identity identity_;
  std::string path_;
};

#ifdef __linux__
constexpr int kSetFailuresMax = 8;

class EventHandle final : public WaitHandle {
 public:
  explicit EventHandle(int descriptor) : descriptor_(descriptor) {}
  ~EventHandle() override { ::close(descriptor_); }
  void set() noexcept override {
    const uint64_t one = 1;
    // A counter at its end is set already. Whatever else fails may be over soon: a host may sleep on this handle.
    for (int failures = 0; failures < kSetFailuresMax && ::write(descriptor_, &one, sizeof(one)) < 0;) {
      if (errno == EAGAIN) return;
      if (errno != EINTR) ++failures;
    }
  }
  void clear() noexcept override {
    uint64_t count;
    while (::read(descriptor_, &count, sizeof(count)) < 0 && errno == EINTR) {
    }
  }
  intptr_t native() const noexcept override { return descriptor_; }

 private:
  int descriptor_;
};
#else
class PipeHandle final : public WaitHandle {
 public:
  PipeHandle(int read_end, int write_end) : read_end_(read_end), write_end_(write_end) {}
  ~PipeHandle() override {
    ::close(read_end_);
    ::close(write_end_);
  }
  void set() noexcept override {
    const char byte = 1;  // a full pipe is signalled already
    while (::write(write_end_, &byte, 1) < 0 && errno == EINTR) {
    }
  }
  void clear() noexcept override {
    char bytes[64];
    for (;;) {
      const ssize_t count = ::read(read_end_, bytes, sizeof(bytes));
      if (count < 0 && errno == EINTR) continue;
      if (count <= 0) return;
    }
  }
  intptr_t native() const noexcept override { return read_end_; }

 private:
  int read_end_, write_end_;
};
#endif

}  // namespace

size_t page_size_bytes() noexcept {
  const long size = ::sysconf(_SC_PAGESIZE);
  return size > 0 ? static_cast<size_t>(size) : 4096;
}

void* map_pages(size_t size_bytes, PageSize size) noexcept {
  if (size_bytes == 0) return nullptr;
  void* address = ::mmap(nullptr, size_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (address == MAP_FAILED) return nullptr;
#ifdef MADV_HUGEPAGE
  if (size_bytes >= 2 * kHugePageBytes)  // advice: may be refused
    ::madvise(address, size_bytes, size == PageSize::kHuge ? MADV_HUGEPAGE : MADV_NOHUGEPAGE);
#endif
  return address;
}

void unmap_pages(void* address, size_t size_bytes) noexcept {
  if (address != nullptr) ::munmap(address, size_bytes);
}

void discard_pages(void* address, size_t size_bytes) noexcept {
  // Whole pages inside the range alone: neighbours on shared pages keep their bytes.
  const size_t page = page_size_bytes();
  const uintptr_t begin = reinterpret_cast<uintptr_t>(address), end = begin + size_bytes;
  const uintptr_t first = (begin + page - 1) / page * page, last = end / page * page;
  if (first >= last) {
    std::memset(address, 0, size_bytes);
    return;
  }
#ifdef __linux__
  if (::madvise(reinterpret_cast<void*>(first), last - first, MADV_DONTNEED) != 0)
#endif
  {
    std::memset(reinterpret_cast<void*>(first), 0, last - first);
  }
  std::memset(address, 0, first - begin);
  std::memset(reinterpret_cast<void*>(last), 0, end - last);
}

Result<std::unique_ptr<File>> open_file(std::string_view path) {
  if (path.empty()) return Status(StatusCode::kInvalidArgument, "the path is empty");
  if (path.find('\0') != std::string_view::npos) {
    return Status(StatusCode::kInvalidArgument, "the path holds a NUL character");
  }
  std::string name(path);
  int descriptor;
  do {
    descriptor = ::open(name.c_str(), O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);  // a FIFO must not block us
  } while (descriptor < 0 && errno == EINTR);
  if (descriptor < 0) {
    const int number = errno;
    return Status(open_error_code(number), format("\"", name, "\": ", error_text(number)));
  }
  struct stat status;
  if (::fstat(descriptor, &status) != 0) {
    const int number = errno;
    ::close(descriptor);
    return Status(StatusCode::kIo, format("\"", name, "\": ", error_text(number)));
  }
  if (!S_ISREG(status.st_mode)) {
    ::close(descriptor);
    return Status(StatusCode::kIo,
                  format("\"", name, "\": ", S_ISDIR(status.st_mode) ? "is a directory" : "is not a regular file"));
  }
  auto file = std::unique_ptr<File>(new (std::nothrow) PosixFile(descriptor, status, std::move(name)));
  if (file == nullptr) {
    ::close(descriptor);
    return Status::out_of_memory();
  }
  return file;
}

bool is_directory(std::string_view path) {
  struct stat status;
  return path.find('\0') == std::string_view::npos && ::stat(std::string(path).c_str(), &status) == 0 &&
         S_ISDIR(status.st_mode);
}

Result<std::unique_ptr<WaitHandle>> create_wait_handle() {
#ifdef __linux__
  const int descriptor = ::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  if (descriptor < 0) return Status(StatusCode::kIo, format("eventfd: ", error_text(errno)));
  auto handle = std::unique_ptr<WaitHandle>(new (std::nothrow) EventHandle(descriptor));
  if (handle == nullptr) ::close(descriptor);
#else
  int ends[2];
  if (::pipe(ends) != 0) return Status(StatusCode::kIo, format("pipe: ", error_text(errno)));
  for (int end : ends) {
    ::fcntl(end, F_SETFD, FD_CLOEXEC);
    ::fcntl(end, F_SETFL, O_NONBLOCK);
  }
  auto handle = std::unique_ptr<WaitHandle>(new (std::nothrow) PipeHandle(ends[0], ends[1]));
  if (handle == nullptr) {
    ::close(ends[0]);
    ::close(ends[1]);
  }
#endif
  if (handle == nullptr) return Status::out_of_memory();
  return handle;
}

}  // namespace fastserve::os
#endif  // !_WIN32
