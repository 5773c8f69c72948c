// Decoder: the forward pass that most families share. A family file reads its hyperparameters into DecoderConfig and
// names what is special; everything here is driven by that.
#pragma once
#include <string>
#include <vector>

#include "blocks/attention_block.h"
#include "blocks/mlp_block.h"
#include "blocks/moe_block.h"
#include "models/family.h"

namespace fastserve {

// One set of rotary angles, shared by layers.
struct RopeSet {
  float base = 10000.0f;
  float position_scale = 1.0f;  // linear scaling: positions are multiplied by it
  float magnitude = 1.0f;
  std::vector<float> inv_freq;         // filled by Decoder::finish unless the family did
  const float* frequencies = nullptr;  // the same, where kernels read them
};

struct DecoderConfig {
  AttentionConfig attention;         // of every layer, but for what `local` layers change
  std::vector<bool> layer_is_local;  // empty: none
  int32_t local_window = 0;
  int local_rope_set = 0;
  std::vector<RopeSet> rope_sets{1};
  MlpConfig mlp;
  MoeConfig moe;  // expert_count 0: dense
  float norm_eps = 0;
  float embedding_scale = 1.0f;
  float final_softcap = 0;
  bool has_post_norms = false;  // gemma: norm of each block's output before it is added
  bool has_qk_norm = false;
  bool has_qkv_bias = false;       // required; other families take biases where a file has them
  bool has_fused_qkv = false;      // one matrix "attn_qkv"
  bool has_fused_gate_up = false;  // "ffn_up" holds gate and up
  bool has_rope_factors = false;   // "rope_freqs" divides the frequencies where present
};

// "rope.scaling.*": none, or linear.
Status read_rope_scaling(const Hyperparameters& parameters, RopeSet& set);
// "expert_*": how many, how many of them a row uses, how wide. Leaves a dense model alone.
Status read_experts(const Hyperparameters& parameters, DecoderConfig& config);

class Decoder : public ModelDef {
 public:
  std::vector<TensorSpec> tensors() override;
  void bind() override;
  Status finish() override;
  std::vector<DerivedVector> derived() override;
  void embed(const ForwardPass& pass) const override;
  void layer(const ForwardPass& pass, int32_t index) const override;
  void head(const ForwardPass& pass, const int32_t* rows, int32_t row_count, PanelRange panels) const override;

 protected:
  struct Layer {
    Weight attention_norm, mlp_norm, attention_post_norm, mlp_post_norm;
    AttentionWeights attention;
    MlpWeights mlp;
    MoeWeights moe;
  };
  // The keys that nearly every family has: sizes, norm, rope base; then attention's derived values.
  Status read_common(const ModelSource& source, std::string_view architecture);
  // What llama and those that differ from it in little have: the common keys, linear rope scaling, routed experts, and
  // a window that, if there is one, holds in every layer.
  Status read_llama(const ModelSource& source, std::string_view architecture);
  // "attention.sliding_window" (or `fallback`; 0: none) and the layers that have it: those that
  // "attention.sliding_window_pattern" lists, else those of the family's rule.
  template <typename Rule>
  Status read_windows(const ModelSource& source, std::string_view architecture, int32_t fallback, Rule&& is_local) {
    const Hyperparameters parameters(source, architecture);
    FSV_ASSIGN(config_.local_window, parameters.count_or("attention.sliding_window", fallback, 1 << 24));
    if (config_.local_window == 0) return {};
    const MetaValue* pattern = source.find(parameters.key("attention.sliding_window_pattern"));
    const bool is_listed = pattern != nullptr && pattern->type == MetaType::kArray &&
                           pattern->integers.size() >= static_cast<size_t>(shape_.layer_count);
    for (int32_t index = 0; index < shape_.layer_count; ++index) {
      config_.layer_is_local.push_back(is_listed ? pattern->integers[static_cast<size_t>(index)] != 0
                                                 : is_local(index));
    }
    return {};
  }
  // After config_ is complete: what the engine must know.
  void describe_shape();

  DecoderConfig config_;
  std::vector<Layer> layers_;
  Weight embedding_, output_norm_, output_, rope_factors_;

 private:
  void layer_tensors(std::vector<TensorSpec>& specs, Layer& layer, const std::string& prefix);
  AttentionConfig layer_attention(int32_t index) const;
  ops::NormSpec norm(const Weight& weight) const { return {&weight, config_.norm_eps, 0}; }
  void add_post_norm(const ForwardPass& pass, const Weight& weight) const;
};

}  // namespace fastserve
