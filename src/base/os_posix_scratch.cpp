// POSIX: files that have no name from the beginning, or from right after it.
#ifndef _WIN32
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <new>
#include <string>

#include "base/format.h"
#include "base/os_posix_errors.h"
#include "base/scratch_file.h"

namespace fastserve::os {
namespace {

constexpr size_t kBytesAtOnce = size_t{1} << 30;

class PosixScratchFile final : public ScratchFile {
 public:
  PosixScratchFile(int descriptor, std::string folder) : descriptor_(descriptor), folder_(std::move(folder)) {}
  ~PosixScratchFile() override { ::close(descriptor_); }
  PosixScratchFile(const PosixScratchFile&) = delete;
  PosixScratchFile& operator=(const PosixScratchFile&) = delete;

  Status write_at(uint64_t offset_bytes, const void* data, size_t size_bytes) override {
    const auto* bytes = static_cast<const uint8_t*>(data);
    while (size_bytes != 0) {
      const ssize_t count =
          ::pwrite(descriptor_, bytes, std::min(size_bytes, kBytesAtOnce), static_cast<off_t>(offset_bytes));
      if (count < 0 && errno == EINTR) continue;
      if (count <= 0) return failure("writing", count == 0 ? ENOSPC : errno);
      bytes += count;
      offset_bytes += static_cast<uint64_t>(count);
      size_bytes -= static_cast<size_t>(count);
    }
    return {};
  }

  Status read_at(uint64_t offset_bytes, void* data, size_t size_bytes) override {
    auto* bytes = static_cast<uint8_t*>(data);
    while (size_bytes != 0) {
      const ssize_t count =
          ::pread(descriptor_, bytes, std::min(size_bytes, kBytesAtOnce), static_cast<off_t>(offset_bytes));
      if (count < 0 && errno == EINTR) continue;
      if (count < 0) return failure("reading", errno);
      if (count == 0) return Status(StatusCode::kCorrupt, format("a scratch file in \"", folder_, "\" was cut"));
      bytes += count;
      offset_bytes += static_cast<uint64_t>(count);
      size_bytes -= static_cast<size_t>(count);
    }
    return {};
  }

 private:
  Status failure(const char* what, int number) const {
    return Status(StatusCode::kIo, format(what, " a scratch file in \"", folder_, "\": ", error_text(number)));
  }

  int descriptor_;
  std::string folder_;
};

template <typename Open>
int open_retried(Open&& open) {
  int descriptor;
  do {
    descriptor = open();
  } while (descriptor < 0 && errno == EINTR);
  return descriptor;
}

// Where the file system knows no nameless files.
int open_and_unlink(const std::string& folder) {
  static std::atomic<uint32_t> next{0};
  constexpr int kAttemptsMax = 64;
  for (int i = 0; i < kAttemptsMax; ++i) {
    const std::string path = format(folder, "/fastserve-", ::getpid(), "-", next.fetch_add(1), ".part");
    const int descriptor =
        open_retried([&] { return ::open(path.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600); });
    if (descriptor >= 0) ::unlink(path.c_str());
    if (descriptor >= 0 || errno != EEXIST) return descriptor;
  }
  return -1;
}

}  // namespace

Result<std::unique_ptr<ScratchFile>> create_scratch_file(std::string_view folder) {
  const std::string path(folder);
  int descriptor = -1;
#ifdef O_TMPFILE
  descriptor = open_retried([&] { return ::open(path.c_str(), O_TMPFILE | O_RDWR | O_EXCL | O_CLOEXEC, 0600); });
#endif
  if (descriptor < 0) descriptor = open_and_unlink(path);
  if (descriptor < 0) {
    const int number = errno;
    const StatusCode code = number == ENOENT || number == ENOTDIR ? StatusCode::kNotFound : StatusCode::kIo;
    return Status(code, format("creating a scratch file in \"", path, "\": ", error_text(number)));
  }
  auto file = std::unique_ptr<ScratchFile>(new (std::nothrow) PosixScratchFile(descriptor, path));
  if (file == nullptr) {
    ::close(descriptor);
    return Status::out_of_memory();
  }
  return file;
}

}  // namespace fastserve::os
#endif  // !_WIN32
