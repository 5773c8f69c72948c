// What the kernels of attention share: arguments, and scores.
#pragma once
#include "kernels/cuda/kv_cache.cuh"
#include "kernels/device_kernels.h"

namespace fastserve::kernels::cuda {

struct Attending {
  KvPlaces places;
  const KvView* sequences;
  int32_t sequence_count;
  int32_t head_count, group;  // query heads, and those of one kv head
  const float* q;
  int64_t q_stride;
  float scale, softcap;
  int32_t window, bidirectional;
  const float* sinks;
  float* output;
  int64_t output_stride;
  int32_t row_begin, row_end;
  float* partial;  // split kernel: [row][head][split][2 + value_dim]
  int32_t splits;  // of a row, at most
};

__device__ __forceinline__ float cap_score(float score, float softcap) {
  return softcap > 0.0f ? softcap * tanhf(score / softcap) : score;
}

// Rows of one sequence many at a time, by tensor cores; not for kF32. False: this shape goes another way.
bool suits_prefill(const DeviceAttentionArgs& args);
DeviceResult launch_prefill(DeviceQueue* queue, const DeviceAttentionArgs& args, const Attending& attending,
                            DeviceMessage* message);

}  // namespace fastserve::kernels::cuda
