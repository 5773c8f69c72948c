// Feed-forward blocks: gated (SwiGLU, GeGLU) and plain.
#pragma once
#include "blocks/forward_pass.h"

namespace fastserve {

struct MlpWeights {
  // Either gate and up, or `gate_up` with their rows one after the other; plain blocks have `up` alone.
  Weight gate, up, gate_up;
  Weight up_bias, down_bias;
  Weight down;
};

struct MlpConfig {
  int64_t intermediate = 0;
  kernels::Activation activation = kernels::Activation::kSilu;
};

// hidden += down(activation(gate(norm(hidden))) * up(norm(hidden))) with add_to_hidden; without, the block's output is
// left in workspace.residual for the caller to normalise and add.
void mlp_block(const ForwardPass& pass, const MlpConfig& config, const MlpWeights& weights, const ops::NormSpec& norm,
               bool add_to_hidden);

}  // namespace fastserve
