// What tells a model's weights and hyperparameters from those of any other, also of the same shape: for what is saved
// beside them.
#pragma once
#include <atomic>
#include <cstdint>

#include "formats/model_source.h"

namespace fastserve {

// Of the metadata that a forward pass depends on (rope, windows, caps, norms ...), of names, types and shapes of the
// tensors, and of every 256th row of their bytes, which are added while a load reads them, in any pieces and by any
// thread. The same for the same model in every process and version.
class ModelFingerprint {
 public:
  void add_header(const ModelSource& source);
  // Whole rows [row_begin, row_begin + size_bytes / row_bytes) as they stand in the file.
  void add_rows(const TensorInfo& tensor, int64_t row_begin, int64_t row_bytes, const uint8_t* bytes,
                size_t size_bytes) noexcept;
  uint64_t value() const noexcept { return sum_.load(std::memory_order_relaxed); }

 private:
  std::atomic<uint64_t> sum_{0};  // of what each part adds: their order does not matter
};

}  // namespace fastserve
