// Phi-3, Phi-3.5 and Phi-4: a llama with q, k, v and gate, up fused in one matrix each; long contexts divide the rotary
// frequencies by factors that come as tensors.
#include <algorithm>
#include <cmath>

#include "models/decoder.h"

namespace fastserve {
namespace {

class Phi3 final : public Decoder {
 public:
  Status configure(const ModelSource& source, std::string_view architecture) {
    const Hyperparameters parameters(source, architecture);
    FSV_TRY(read_common(source, architecture));
    config_.attention.rope_kind = kernels::RopeKind::kHalves;
    FSV_TRY(read_windows(source, architecture, 0, [](int32_t) { return true; }));
    FSV_ASSIGN(original_context_,
               parameters.count_or("rope.scaling.original_context_length", shape_.context_tokens, 1 << 24));
    FSV_ASSIGN(magnitude_, parameters.number_or("rope.scaling.attn_factor", long_magnitude()));
    config_.has_fused_qkv = true;
    config_.has_fused_gate_up = true;
    describe_shape();
    return {};
  }

  std::vector<TensorSpec> tensors() override {
    std::vector<TensorSpec> specs = Decoder::tensors();
    const int64_t pairs = config_.attention.rope_pairs;
    add_vector(specs, "rope_factors_long.weight", pairs, long_factors_, false);
    specs.back().on_host = true;
    add_vector(specs, "rope_factors_short.weight", pairs, short_factors_, false);
    specs.back().on_host = true;
    return specs;
  }

  // A model made for long contexts uses its long factors throughout, so that a sequence's keys stay valid as it grows.
  Status finish() override {
    FSV_TRY(Decoder::finish());
    const bool is_long = shape_.context_tokens > original_context_;
    const Weight& factors = is_long ? long_factors_ : short_factors_;
    if (!factors.present()) return {};
    RopeSet& set = config_.rope_sets[0];
    for (size_t i = 0; i < set.inv_freq.size(); ++i) set.inv_freq[i] /= factors.vector[i];
    set.magnitude = is_long ? magnitude_ : 1.0f;
    return {};
  }

 private:
  // sqrt(1 + ln(scale) / ln(original context)): the published correction of attention at long contexts.
  float long_magnitude() const {
    const double original = std::max(original_context_, 2);
    const double scale = shape_.context_tokens / original;
    return scale <= 1.0 ? 1.0f : static_cast<float>(std::sqrt(1.0 + std::log(scale) / std::log(original)));
  }

  int32_t original_context_ = 0;
  float magnitude_ = 1.0f;
  Weight long_factors_, short_factors_;
};

}  // namespace

Result<std::unique_ptr<ModelDef>> create_phi3(const ModelSource& source, std::string_view architecture) {
  return configured<Phi3>(source, architecture);
}

}  // namespace fastserve
