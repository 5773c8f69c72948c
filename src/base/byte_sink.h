// ByteSink: takes bytes in order, piece by piece: a file, a host's callback.
#pragma once
#include <cstddef>
#include <cstdint>

#include "base/status.h"

namespace fastserve {

class ByteSink {
 public:
  virtual ~ByteSink() = default;
  // Before the first piece: how many bytes there will be in all.
  virtual Status begin(uint64_t total_bytes) = 0;
  // After a failure nothing more is written.
  virtual Status write(const void* data, size_t size_bytes) = 0;
};

}  // namespace fastserve
