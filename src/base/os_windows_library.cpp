// Windows: loading of shared libraries.
#ifdef _WIN32
#ifndef NOMINMAX
#define NOMINMAX
#endif
#include <windows.h>

#include "base/format.h"
#include "base/os.h"
#include "base/os_windows_text.h"

namespace fastserve::os {
namespace {

class WindowsLibrary final : public SharedLibrary {
 public:
  explicit WindowsLibrary(HMODULE handle) : handle_(handle) {}
  ~WindowsLibrary() override { ::FreeLibrary(handle_); }
  void* find(const char* symbol) const noexcept override {
    return reinterpret_cast<void*>(::GetProcAddress(handle_, symbol));
  }

 private:
  HMODULE handle_;
};

}  // namespace

Result<std::unique_ptr<SharedLibrary>> open_shared_library(const std::string& path) {
  const std::wstring wide = to_wide(path);
  if (::GetFileAttributesW(wide.c_str()) == INVALID_FILE_ATTRIBUTES) {
    return Status(StatusCode::kNotFound, format("there is no \"", path, "\""));
  }
  HMODULE handle =
      ::LoadLibraryExW(wide.c_str(), nullptr, LOAD_LIBRARY_SEARCH_DLL_LOAD_DIR | LOAD_LIBRARY_SEARCH_DEFAULT_DIRS);
  if (handle == nullptr) {
    return Status(StatusCode::kIo, format("cannot load \"", path, "\": error ", uint64_t{::GetLastError()}));
  }
  auto library = std::unique_ptr<SharedLibrary>(new (std::nothrow) WindowsLibrary(handle));
  if (library == nullptr) {
    ::FreeLibrary(handle);
    return Status::out_of_memory();
  }
  return library;
}

std::string own_folder() {
  static const char anchor = 0;  // an address in this module
  HMODULE module = nullptr;
  const DWORD flags = GET_MODULE_HANDLE_EX_FLAG_FROM_ADDRESS | GET_MODULE_HANDLE_EX_FLAG_UNCHANGED_REFCOUNT;
  wchar_t wide[MAX_PATH] = {};
  if (!::GetModuleHandleExW(flags, reinterpret_cast<LPCWSTR>(&anchor), &module)) return ".";
  const DWORD length = ::GetModuleFileNameW(module, wide, MAX_PATH);
  if (length == 0 || length == MAX_PATH) return ".";
  std::string path(static_cast<size_t>(length) * 4, '\0');
  const int size = ::WideCharToMultiByte(CP_UTF8, 0, wide, static_cast<int>(length), path.data(),
                                         static_cast<int>(path.size()), nullptr, nullptr);
  path.resize(static_cast<size_t>(size));
  const size_t slash = path.find_last_of("\\/");
  return slash == std::string::npos ? "." : path.substr(0, slash);
}

}  // namespace fastserve::os
#endif
