// MemoryMover: who moves bytes of a resource's memory. The host's own is copied by the processor; a device's is out of
// the host's reach and is moved by the device's queues alone.
#pragma once
#include <cstddef>
#include <cstdint>
#include <span>

#include "base/status.h"

namespace fastserve {

// One run of bytes to copy.
struct MoveBytes {
  void* target = nullptr;
  const void* source = nullptr;
  size_t size_bytes = 0;
};

class MemoryMover {
 public:
  virtual ~MemoryMover() = default;
  // From this memory to the host's, and back: done at the return. Any thread; nothing queued may touch the same bytes.
  virtual Status read(std::span<const MoveBytes> moves) = 0;
  virtual Status write(std::span<const MoveBytes> moves) = 0;

  Status read(void* host, const void* source, size_t size_bytes) {
    const MoveBytes move{host, source, size_bytes};
    return read({&move, 1});
  }
  Status write(void* target, const void* host, size_t size_bytes) {
    const MoveBytes move{target, host, size_bytes};
    return write({&move, 1});
  }
};

// For memory that the host can touch. Static storage.
MemoryMover& host_memory_mover();

}  // namespace fastserve
