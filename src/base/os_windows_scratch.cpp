// Windows: files that go with their last handle.
#ifdef _WIN32
#ifndef NOMINMAX
#define NOMINMAX
#endif
#include <windows.h>

#include <algorithm>
#include <atomic>
#include <new>
#include <string>

#include "base/format.h"
#include "base/os_windows_text.h"
#include "base/scratch_file.h"

namespace fastserve::os {
namespace {

OVERLAPPED at(uint64_t offset_bytes) {
  OVERLAPPED position{};
  position.Offset = static_cast<DWORD>(offset_bytes);
  position.OffsetHigh = static_cast<DWORD>(offset_bytes >> 32);
  return position;
}

class WindowsScratchFile final : public ScratchFile {
 public:
  WindowsScratchFile(HANDLE handle, std::string folder) : handle_(handle), folder_(std::move(folder)) {}
  ~WindowsScratchFile() override { ::CloseHandle(handle_); }
  WindowsScratchFile(const WindowsScratchFile&) = delete;
  WindowsScratchFile& operator=(const WindowsScratchFile&) = delete;

  Status write_at(uint64_t offset_bytes, const void* data, size_t size_bytes) override {
    const auto* bytes = static_cast<const uint8_t*>(data);
    while (size_bytes != 0) {
      OVERLAPPED position = at(offset_bytes);
      DWORD count = 0;
      const auto wanted = static_cast<DWORD>(std::min(size_bytes, kBytesAtOnce));
      if (!::WriteFile(handle_, bytes, wanted, &count, &position)) return failure("writing", ::GetLastError());
      if (count == 0) return failure("writing", ERROR_DISK_FULL);
      bytes += count;
      offset_bytes += count;
      size_bytes -= count;
    }
    return {};
  }

  Status read_at(uint64_t offset_bytes, void* data, size_t size_bytes) override {
    auto* bytes = static_cast<uint8_t*>(data);
    while (size_bytes != 0) {
      OVERLAPPED position = at(offset_bytes);
      DWORD count = 0;
      const auto wanted = static_cast<DWORD>(std::min(size_bytes, kBytesAtOnce));
      if (!::ReadFile(handle_, bytes, wanted, &count, &position)) return failure("reading", ::GetLastError());
      if (count == 0) return Status(StatusCode::kCorrupt, format("a scratch file in \"", folder_, "\" was cut"));
      bytes += count;
      offset_bytes += count;
      size_bytes -= count;
    }
    return {};
  }

 private:
  static constexpr size_t kBytesAtOnce = size_t{1} << 30;
  Status failure(const char* what, DWORD number) const {
    return Status(StatusCode::kIo, format(what, " a scratch file in \"", folder_, "\": ", error_text(number)));
  }

  HANDLE handle_;
  std::string folder_;
};

}  // namespace

Result<std::unique_ptr<ScratchFile>> create_scratch_file(std::string_view folder) {
  static std::atomic<uint32_t> next{0};
  constexpr int kAttemptsMax = 64;
  for (int i = 0; i < kAttemptsMax; ++i) {
    const std::string path = format(folder, "\\fastserve-", ::GetCurrentProcessId(), "-", next.fetch_add(1), ".part");
    const std::wstring wide = to_wide(path);
    if (wide.empty()) return Status(StatusCode::kInvalidArgument, format("\"", path, "\" is no valid UTF-8"));
    HANDLE handle = ::CreateFileW(wide.c_str(), GENERIC_READ | GENERIC_WRITE, 0, nullptr, CREATE_NEW,
                                  FILE_ATTRIBUTE_TEMPORARY | FILE_FLAG_DELETE_ON_CLOSE, nullptr);
    if (handle == INVALID_HANDLE_VALUE) {
      const DWORD number = ::GetLastError();
      if (number == ERROR_FILE_EXISTS || number == ERROR_SHARING_VIOLATION) continue;
      const bool is_missing = number == ERROR_PATH_NOT_FOUND || number == ERROR_FILE_NOT_FOUND;
      return Status(is_missing ? StatusCode::kNotFound : StatusCode::kIo,
                    format("creating a scratch file in \"", folder, "\": ", error_text(number)));
    }
    auto file = std::unique_ptr<ScratchFile>(new (std::nothrow) WindowsScratchFile(handle, std::string(folder)));
    if (file == nullptr) {
      ::CloseHandle(handle);
      return Status::out_of_memory();
    }
    return file;
  }
  return Status(StatusCode::kIo, format("no scratch file can be created in \"", folder, "\""));
}

}  // namespace fastserve::os
#endif  // _WIN32
