// The shared part of the Gemma families' configuration.
#include "models/gemma.h"

#include <cmath>

namespace fastserve {

Status Gemma::read_gemma(const ModelSource& source, std::string_view architecture, int32_t layers_of_27b,
                         float score_cap, float logit_cap) {
  const Hyperparameters parameters(source, architecture);
  FSV_TRY(read_common(source, architecture));
  AttentionConfig& attention = config_.attention;
  attention.rope_kind = kernels::RopeKind::kHalves;
  const float equal_share = static_cast<float>(shape_.hidden_size) / static_cast<float>(attention.head_count);
  if (shape_.layer_count == layers_of_27b && !parameters.has("attention.scale")) {
    attention.scale = 1.0f / std::sqrt(equal_share);
  }
  FSV_ASSIGN(attention.softcap, parameters.number_or("attn_logit_softcapping", score_cap));
  FSV_ASSIGN(config_.final_softcap, parameters.number_or("final_logit_softcapping", logit_cap));
  config_.embedding_scale = std::sqrt(static_cast<float>(shape_.hidden_size));
  config_.mlp.activation = kernels::Activation::kGeluTanh;
  config_.has_post_norms = true;
  return {};
}

}  // namespace fastserve
