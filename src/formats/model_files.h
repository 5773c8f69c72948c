// ModelFiles: where the files of a model come from: the system, one buffer in memory, or (in api/) the host's
// callbacks.
#pragma once
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "base/os.h"
#include "base/status.h"

namespace fastserve {

class ModelFiles {
 public:
  virtual ~ModelFiles() = default;
  // Threads may call at once. A file must not outlive the ModelFiles that opened it.
  virtual Result<std::unique_ptr<os::File>> open(std::string_view name) = 0;
  // Whether `name` is a folder, whose files have the names "<name>/<file>".
  virtual bool is_folder(std::string_view name) = 0;
  // Whoever lent this learns when it is no longer needed, from now on: not where the call that brought it failed.
  virtual void arm() noexcept {}
};

// The system's files, by their paths.
std::shared_ptr<ModelFiles> system_files();

// A model that is one file in memory, whatever name it is opened by. The bytes are borrowed until `release` (which may
// be empty) is called: by the destructor, once, if arm() was.
std::shared_ptr<ModelFiles> memory_files(const void* data, size_t size_bytes, std::function<void()> release);

// An identity that no other file has: what cannot be recognised when it comes again.
os::File::Identity unique_identity();

}  // namespace fastserve
