// A loaded weight: a packed matrix, or a float vector. Views only; the loader owns the bytes.
#pragma once
#include <cstdint>

#include "kernels/kernel_api.h"

namespace fastserve {

struct Weight {
  kernels::PackedMatrix matrix{};  // layout kNone when absent or a vector
  const float* vector = nullptr;   // of `rows` floats
  int64_t rows = 0;
  int64_t cols = 0;
  bool present() const { return vector != nullptr || matrix.data != nullptr; }
};

// Float rows in memory: data[row * stride + col].
struct Rows {
  float* data = nullptr;
  int64_t stride = 0;
  int64_t count = 0;
  int64_t cols = 0;
  float* row(int64_t index) const { return data + index * stride; }
};

}  // namespace fastserve
