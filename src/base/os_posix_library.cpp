// POSIX: loading of shared libraries.
#ifndef _WIN32
#include <dlfcn.h>
#include <sys/stat.h>

#include "base/format.h"
#include "base/os.h"

namespace fastserve::os {
namespace {

class PosixLibrary final : public SharedLibrary {
 public:
  explicit PosixLibrary(void* handle) : handle_(handle) {}
  ~PosixLibrary() override { ::dlclose(handle_); }
  void* find(const char* symbol) const noexcept override { return ::dlsym(handle_, symbol); }

 private:
  void* handle_;
};

}  // namespace

Result<std::unique_ptr<SharedLibrary>> open_shared_library(const std::string& path) {
  struct stat status;
  if (::stat(path.c_str(), &status) != 0) return Status(StatusCode::kNotFound, format("there is no \"", path, "\""));
  void* handle = ::dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (handle == nullptr) {
    const char* reason = ::dlerror();
    return Status(StatusCode::kIo,
                  format("cannot load \"", path, "\": ", reason != nullptr ? reason : "unknown reason"));
  }
  auto library = std::unique_ptr<SharedLibrary>(new (std::nothrow) PosixLibrary(handle));
  if (library == nullptr) {
    ::dlclose(handle);
    return Status::out_of_memory();
  }
  return library;
}

std::string own_folder() {
  static const char anchor = 0;  // an address in this module
  Dl_info information{};
  if (::dladdr(&anchor, &information) == 0 || information.dli_fname == nullptr) return ".";
  const std::string path = information.dli_fname;
  const size_t slash = path.rfind('/');
  return slash == std::string::npos ? "." : path.substr(0, slash);
}

}  // namespace fastserve::os
#endif
