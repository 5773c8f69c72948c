// Gemma 3: norms around every block and on q and k, GeGLU, scaled embeddings; five layers that see a window with their
// own rotary base, then one that sees everything. (Norm weights come as 1 + w.)
#include <cmath>

#include "models/decoder.h"

namespace fastserve {
namespace {

constexpr int32_t kWindowPattern = 6;  // every sixth layer is global
constexpr float kLocalRopeBase = 10000.0f;
constexpr int32_t kLayersOf27B = 62;  // this one scales attention by an equal share of the width

class Gemma3 final : public Decoder {
 public:
  Status configure(const ModelSource& source, std::string_view architecture) {
    const Hyperparameters parameters(source, architecture);
    FSV_TRY(read_common(source, architecture));
    FSV_TRY(read_rope_scaling(parameters, config_.rope_sets[0]));
    AttentionConfig& attention = config_.attention;
    attention.rope_kind = kernels::RopeKind::kHalves;
    const float equal_share = static_cast<float>(shape_.hidden_size) / static_cast<float>(attention.head_count);
    if (shape_.layer_count == kLayersOf27B && !parameters.has("attention.scale")) {
      attention.scale = 1.0f / std::sqrt(equal_share);
    }
    FSV_ASSIGN(attention.softcap, parameters.number_or("attn_logit_softcapping", 0));
    FSV_ASSIGN(config_.final_softcap, parameters.number_or("final_logit_softcapping", 0));
    FSV_TRY(read_windows(source, architecture, 0, [](int32_t index) { return (index + 1) % kWindowPattern != 0; }));
    RopeSet local;
    FSV_ASSIGN(local.base, parameters.number_or("rope.freq_base_swa", kLocalRopeBase));
    config_.rope_sets.push_back(local);
    config_.local_rope_set = 1;
    config_.embedding_scale = std::sqrt(static_cast<float>(shape_.hidden_size));
    config_.mlp.activation = kernels::Activation::kGeluTanh;
    config_.has_post_norms = true;
    config_.has_qk_norm = true;
    describe_shape();
    return {};
  }
};

}  // namespace

Result<std::unique_ptr<ModelDef>> create_gemma3(const ModelSource& source, std::string_view architecture) {
  return configured<Gemma3>(source, architecture);
}

}  // namespace fastserve
