// Gemma 2: norms around every block, GeGLU, scaled embeddings, soft caps on scores and logits; every other layer sees a
// window. (Norm weights come as 1 + w.)
#include <cmath>

#include "models/decoder.h"

namespace fastserve {
namespace {

constexpr int32_t kLayersOf27B = 46;  // this one scales attention by an equal share of the width

class Gemma2 final : public Decoder {
 public:
  Status configure(const ModelSource& source, std::string_view architecture) {
    const Hyperparameters parameters(source, architecture);
    FSV_TRY(read_common(source, architecture));
    AttentionConfig& attention = config_.attention;
    attention.rope_kind = kernels::RopeKind::kHalves;
    const float equal_share = static_cast<float>(shape_.hidden_size) / static_cast<float>(attention.head_count);
    if (shape_.layer_count == kLayersOf27B && !parameters.has("attention.scale")) {
      attention.scale = 1.0f / std::sqrt(equal_share);
    }
    FSV_ASSIGN(attention.softcap, parameters.number_or("attn_logit_softcapping", 50.0f));
    FSV_ASSIGN(config_.final_softcap, parameters.number_or("final_logit_softcapping", 30.0f));
    FSV_TRY(read_windows(source, architecture, 4096, [](int32_t index) { return index % 2 == 0; }));
    config_.embedding_scale = std::sqrt(static_cast<float>(shape_.hidden_size));
    config_.mlp.activation = kernels::Activation::kGeluTanh;
    config_.has_post_norms = true;
    describe_shape();
    return {};
  }
};

}  // namespace

Result<std::unique_ptr<ModelDef>> create_gemma2(const ModelSource& source, std::string_view architecture) {
  return configured<Gemma2>(source, architecture);
}

}  // namespace fastserve
