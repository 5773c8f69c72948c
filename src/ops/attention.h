// Rotary positions, KV append and attention over the paged cache.
#pragma once
#include "backend/device.h"
#include "tensor/weight.h"

namespace fastserve::ops {

struct RopeAngles {
  const float* cosines = nullptr;  // [rows][pair_count]
  const float* sines = nullptr;
  int32_t pair_count = 0;
};

// Fills cos and sin of every row's position: once a step for all layers that share inv_freq.
void rope_angles(const Device& device, const int32_t* positions, int64_t row_count, const float* inv_freq,
                 int32_t pair_count, float magnitude, float* cosines, float* sines);
void rope(const Device& device, const Rows& heads, int32_t head_count, int32_t head_dim, kernels::RopeKind kind,
          const RopeAngles& angles);

// The sequences of a batch in one group of layers. The bounds are for devices, whose views the host cannot read: the
// last position of any row + 1, and the rows of one sequence.
struct KvViews {
  const kernels::KvView* sequences = nullptr;
  int32_t sequence_count = 0;
  int32_t key_count_max = 0;
  int32_t sequence_rows_max = 0;
};
void kv_append(const Device& device, const kernels::KvLayer& layer, const KvViews& views, const Rows& k, const Rows& v);

// What lies between the projection and attention.
struct RopeAppendSpec {
  int32_t head_count = 0;
  kernels::RopeKind kind = kernels::RopeKind::kAdjacent;
  RopeAngles angles;               // pair_count 0: heads are not rotated
  const Weight* q_norm = nullptr;  // of each head; null or absent: none
  const Weight* k_norm = nullptr;
  float norm_eps = 0;
};
// Norms and rotates the heads of q and k, which lie side by side, then appends k and v. Afterwards k may be either.
void rope_append(const Device& device, const RopeAppendSpec& spec, const kernels::KvLayer& layer, const KvViews& views,
                 const Rows& q, const Rows& k, const Rows& v);

struct AttentionSpec {
  int32_t head_count = 0;
  float scale = 1;
  float softcap = 0;
  int32_t window = 0;
  bool bidirectional = false;
  const float* sinks = nullptr;
};
// Rows of q and output are the batch's; work is shared among threads by keys read.
void attention(const Device& device, const kernels::KvLayer& layer, const KvViews& views, const AttentionSpec& spec,
               const Rows& q, const Rows& output);

}  // namespace fastserve::ops
