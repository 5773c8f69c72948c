// Rotary position embedding: the angles of a step, and the rotation of heads by them.
#include <cmath>

#include "kernels/cpu/cpu_kernels.h"

namespace fastserve::kernels::reference {

void rope_angles(const RopeAnglesArgs* args) {
  for (int64_t row = args->row_begin; row < args->row_end; ++row) {
    const float position = static_cast<float>(args->positions[row]);
    float* cosines = args->cosines + row * args->pair_count;
    float* sines = args->sines + row * args->pair_count;
    for (int32_t i = 0; i < args->pair_count; ++i) {
      const float angle = position * args->inv_freq[i];
      // In double, so that the reduction of large angles costs no digit; then rounded once.
      cosines[i] = static_cast<float>(std::cos(static_cast<double>(angle))) * args->magnitude;
      sines[i] = static_cast<float>(std::sin(static_cast<double>(angle))) * args->magnitude;
    }
  }
}

void rope(const RopeArgs* args) {
  const int32_t pairs = args->rope_dims / 2;
  const bool adjacent = args->kind == RopeKind::kAdjacent;
  const int32_t step = adjacent ? 2 : 1;
  const int32_t partner = adjacent ? 1 : pairs;
  for (int64_t row = args->row_begin; row < args->row_end; ++row) {
    const float* cosines = args->cosines + row * pairs;
    const float* sines = args->sines + row * pairs;
    for (int32_t h = 0; h < args->head_count; ++h) {
      float* head = args->data + row * args->row_stride + static_cast<int64_t>(h) * args->head_dim;
      for (int32_t i = 0; i < pairs; ++i) {
        float* first = head + i * step;
        float* second = first + partner;
        const float a = *first, b = *second;
        *first = a * cosines[i] - b * sines[i];
        *second = b * cosines[i] + a * sines[i];
      }
    }
  }
}

}  // namespace fastserve::kernels::reference
