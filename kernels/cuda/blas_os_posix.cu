// Where cuBLASLt lies: in a folder that the host named, or where the system's loader looks for it.
#if !defined(_WIN32)
#include <dlfcn.h>

#include <cstdio>

#include "kernels/cuda/blas.h"

namespace fastserve::kernels::cuda {

void* open_blas_library(const char* folder, DeviceMessage* note) {
  static const char* const kNames[] = {"libcublasLt.so.13", "libcublasLt.so.12"};  // of the same functions
  const bool has_folder = folder != nullptr && folder[0] != '\0';
  for (const char* name : kNames) {
    char path[4096];
    const int length = snprintf(path, sizeof path, "%s%s%s", has_folder ? folder : "", has_folder ? "/" : "", name);
    if (length >= static_cast<int>(sizeof path)) continue;
    void* library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (library != nullptr) return library;
  }
  const char* reason = dlerror();
  snprintf(note->text, sizeof note->text, "no cuBLASLt, our own kernels compute all products: %s",
           reason != nullptr ? reason : "it cannot be opened");
  return nullptr;
}

void* find_blas_function(void* library, const char* name) { return dlsym(library, name); }

void close_blas_library(void* library) { dlclose(library); }

}  // namespace fastserve::kernels::cuda
#endif
