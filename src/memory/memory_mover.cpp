// host_memory_mover().
#include "memory/memory_mover.h"

#include <cstring>

namespace fastserve {
namespace {

class HostMover final : public MemoryMover {
 public:
  Status read(std::span<const MoveBytes> moves) override {
    for (const MoveBytes& move : moves) std::memcpy(move.target, move.source, move.size_bytes);
    return {};
  }
  Status write(std::span<const MoveBytes> moves) override { return read(moves); }
};

}  // namespace

MemoryMover& host_memory_mover() {
  static HostMover mover;
  return mover;
}

}  // namespace fastserve
