// Windows: files that appear complete or not at all.
#ifdef _WIN32
#ifndef NOMINMAX
#define NOMINMAX
#endif
#include <windows.h>

#include <algorithm>
#include <utility>

#include "base/file_name.h"
#include "base/format.h"
#include "base/os_windows_text.h"
#include "base/output_file.h"

namespace fastserve::os {
namespace {

class WindowsOutputFile final : public OutputFile {
 public:
  WindowsOutputFile(std::string_view folder, std::string_view name)
      : path_(format(folder, "\\", name)),
        wide_path_(to_wide(path_)),
        wide_partial_(to_wide(format(folder, "\\", partial_file_name(name)))) {}
  ~WindowsOutputFile() override {
    close();
    if (is_partial_) ::DeleteFileW(wide_partial_.c_str());
  }
  WindowsOutputFile(const WindowsOutputFile&) = delete;
  WindowsOutputFile& operator=(const WindowsOutputFile&) = delete;

  Status create() {
    if (wide_path_.empty() || wide_partial_.empty()) {
      return Status(StatusCode::kInvalidArgument, format("\"", path_, "\" is no valid UTF-8, or too long"));
    }
    // What a process that died left goes; what one has open cannot be deleted.
    if (!::DeleteFileW(wide_partial_.c_str()) && ::GetLastError() == ERROR_SHARING_VIOLATION) return is_under_way();
    handle_ =
        ::CreateFileW(wide_partial_.c_str(), GENERIC_WRITE, 0, nullptr, CREATE_NEW, FILE_ATTRIBUTE_NORMAL, nullptr);
    if (handle_ == INVALID_HANDLE_VALUE) {
      const DWORD number = ::GetLastError();
      return number == ERROR_FILE_EXISTS || number == ERROR_SHARING_VIOLATION ? is_under_way() : failure("creating");
    }
    is_partial_ = true;
    return {};
  }

  Status begin(uint64_t) override { return {}; }
  Status write(const void* data, size_t size_bytes) override {
    const auto* bytes = static_cast<const uint8_t*>(data);
    while (size_bytes != 0) {
      const auto wanted = static_cast<DWORD>(std::min(size_bytes, size_t{1} << 30));
      DWORD count = 0;
      if (!::WriteFile(handle_, bytes, wanted, &count, nullptr)) return failure("writing");
      if (count == 0) {
        ::SetLastError(ERROR_DISK_FULL);
        return failure("writing");
      }
      bytes += count;
      size_bytes -= count;
    }
    return {};
  }

  Status commit() override {
    if (!::FlushFileBuffers(handle_)) return failure("writing");
    if (!close()) return failure("closing");
    constexpr DWORD kFlags = MOVEFILE_REPLACE_EXISTING | MOVEFILE_WRITE_THROUGH;
    if (!::MoveFileExW(wide_partial_.c_str(), wide_path_.c_str(), kFlags)) return failure("renaming");
    is_partial_ = false;
    return {};
  }

 private:
  bool close() {
    const HANDLE closed = std::exchange(handle_, INVALID_HANDLE_VALUE);
    return closed == INVALID_HANDLE_VALUE || ::CloseHandle(closed) != 0;
  }
  Status is_under_way() const {
    return Status(StatusCode::kWrongState, format("\"", path_, "\" is being written already: one writer at a time"));
  }
  Status failure(std::string_view what) const {
    const DWORD number = ::GetLastError();
    const StatusCode code = number == ERROR_PATH_NOT_FOUND ? StatusCode::kNotFound
                            : number == ERROR_NOT_ENOUGH_MEMORY || number == ERROR_OUTOFMEMORY
                                ? StatusCode::kOutOfMemory
                                : StatusCode::kIo;
    return Status(code, format(what, " \"", path_, "\": ", error_text(number)));
  }

  const std::string path_;
  const std::wstring wide_path_, wide_partial_;
  HANDLE handle_ = INVALID_HANDLE_VALUE;
  bool is_partial_ = false;  // the file is there under its other name
};

}  // namespace

Result<std::unique_ptr<OutputFile>> create_output_file(std::string_view folder, std::string_view name) {
  auto file = std::make_unique<WindowsOutputFile>(folder, name);
  FSV_TRY(file->create());
  return std::unique_ptr<OutputFile>(std::move(file));
}

}  // namespace fastserve::os
#endif  // _WIN32
