// Maxima of blocks of logits on Vec, for include after a vec16.h.
#pragma once
#include "kernels/cpu/simd/simd_math.h"

namespace fastserve::kernels {
namespace {

inline float block_max_of(const float* values, int64_t count) {
  const Vec infinity = splat(__builtin_inff()), nothing = splat(-__builtin_inff());
  Vec largest = nothing, invalid = zero();
  const auto look_at = [&](Vec v) {
    largest = max_of(v, largest);
    invalid = invalid + choose_less(v, infinity, zero(), splat(1.0f));
  };
  int64_t i = 0;
  for (; i + kLanes <= count; i += kLanes) look_at(load(values + i));
  if (i < count) {
    const int rest = static_cast<int>(count - i);
    look_at(keep_lanes(load_first(values + i, rest), 0, rest, nothing));
  }
  return sum_lanes(invalid) > 0.0f ? __builtin_nanf("") : max_lanes(largest);
}

inline void block_max_all(const BlockMaxArgs& args) {
  for (int64_t row = 0; row < args.rows; ++row) {
    const float* values = args.input + row * args.input_stride;
    float* out = args.output + row * args.output_stride;
    for (int64_t block = args.block_begin; block < args.block_end; ++block) {
      const int64_t begin = block * kLogitBlock, left = args.cols - begin;
      out[block] = block_max_of(values + begin, left < kLogitBlock ? left : kLogitBlock);
    }
  }
}

}  // namespace
}  // namespace fastserve::kernels
