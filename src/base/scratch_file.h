// Files without a name, for what the library keeps for a while: gone with the object, and with a process that is
// killed; implemented in os_posix_scratch.cpp and os_windows_scratch.cpp.
#pragma once
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string_view>

#include "base/status.h"

namespace fastserve::os {

// Read and written at positions. Threads may call at once; nobody else can open it.
class ScratchFile {
 public:
  virtual ~ScratchFile() = default;
  virtual Status write_at(uint64_t offset_bytes, const void* data, size_t size_bytes) = 0;
  // Exactly that many bytes; fewer are kCorrupt.
  virtual Status read_at(uint64_t offset_bytes, void* data, size_t size_bytes) = 0;
};
Result<std::unique_ptr<ScratchFile>> create_scratch_file(std::string_view folder);

}  // namespace fastserve::os
