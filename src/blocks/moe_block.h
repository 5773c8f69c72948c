// Feed-forward with routed experts: each row goes through its most likely experts, weighted.
#pragma once
#include "blocks/forward_pass.h"

namespace fastserve {

struct MoeWeights {
  Weight router;          // [expert_count][hidden]
  Weight gate, up, down;  // stacked: expert e is rows [e*n, (e+1)*n)
};

struct MoeConfig {
  int32_t expert_count = 0;
  int32_t experts_used = 0;  // of each row
  int64_t intermediate = 0;
  bool renormalize = true;  // the chosen experts' weights sum to 1
  kernels::Activation activation = kernels::Activation::kSilu;
};

// hidden += sum over chosen experts, in order of their index, of weight * expert(norm(hidden)).
void moe_block(const ForwardPass& pass, const MoeConfig& config, const MoeWeights& weights, const ops::NormSpec& norm);

}  // namespace fastserve
