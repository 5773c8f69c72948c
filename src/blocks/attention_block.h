// Self-attention with grouped heads over the paged cache: project, (norm), rotate, append, attend, project, add.
#pragma once
#include "blocks/forward_pass.h"
#include "ops/attention.h"

namespace fastserve {

struct AttentionWeights {
  // Either q, k and v, or `qkv` with their rows one after the other.
  Weight q, k, v, qkv;
  Weight q_bias, k_bias, v_bias, qkv_bias, out_bias;
  Weight out;
  Weight q_norm, k_norm;  // over each head; absent in most families
};

struct AttentionConfig {
  int32_t head_count = 0;
  int32_t kv_head_count = 0;
  int32_t head_dim = 0;
  int32_t value_dim = 0;
  float scale = 0;
  float softcap = 0;
  int32_t window = 0;
  bool rotary = true;
  kernels::RopeKind rope_kind = kernels::RopeKind::kAdjacent;
  int32_t rope_pairs = 0;
  int rope_set = 0;  // which angles of the workspace
  float qk_norm_eps = 0;

  int64_t q_size() const { return int64_t{head_count} * head_dim; }
  int64_t k_size() const { return int64_t{kv_head_count} * head_dim; }
  int64_t v_size() const { return int64_t{kv_head_count} * value_dim; }
  int64_t qkv_size() const { return q_size() + k_size() + v_size(); }
};

// hidden += out(attention(norm(hidden))) with add_to_hidden. Without, the block's output is left in
// workspace.residual for the caller to normalise and add (families with post-norms).
void attention_block(const ForwardPass& pass, int32_t layer, const AttentionConfig& config,
                     const AttentionWeights& weights, const ops::NormSpec& norm, bool add_to_hidden);

}  // namespace fastserve
