// Maxima of blocks of logits.
#include <limits>

#include "kernels/cpu/cpu_kernels.h"

namespace fastserve::kernels::reference {

void block_max(const BlockMaxArgs* args) {
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  for (int64_t row = 0; row < args->rows; ++row) {
    const float* values = args->input + row * args->input_stride;
    for (int64_t block = args->block_begin; block < args->block_end; ++block) {
      const int64_t begin = block * kLogitBlock;
      const int64_t end = begin + kLogitBlock < args->cols ? begin + kLogitBlock : args->cols;
      float largest = -kInfinity;
      for (int64_t i = begin; i < end; ++i) {
        if (!(values[i] < kInfinity)) {
          largest = std::numeric_limits<float>::quiet_NaN();
          break;
        }
        if (values[i] > largest) largest = values[i];
      }
      args->output[row * args->output_stride + block] = largest;
    }
  }
}

}  // namespace fastserve::kernels::reference
