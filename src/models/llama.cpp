// The llama family: RMS norms, grouped-query attention with rotary positions, SwiGLU. Also SmolLM, TinyLlama, Mistral
// and Llama 3.x as GGUF files label them ("llama"), with the rope factors that Llama 3.x brings as a tensor.
#include <algorithm>
#include <cmath>

#include "base/format.h"
#include "blocks/attention_block.h"
#include "blocks/mlp_block.h"
#include "models/family.h"
#include "ops/elementwise.h"

namespace fastserve {
namespace {

struct LlamaLayer {
  Weight attention_norm, mlp_norm;
  AttentionWeights attention;
  MlpWeights mlp;
};

class Llama final : public ModelDef {
 public:
  Status configure(const ModelSource& source, std::string_view architecture);
  std::vector<TensorSpec> tensors() override;
  Status finish() override;
  void embed(const ForwardPass& pass) const override;
  void layer(const ForwardPass& pass, int32_t index) const override;
  void head(const ForwardPass& pass, const int32_t* rows, int32_t row_count) const override;

 private:
  void describe_shape();

  AttentionConfig attention_;
  MlpConfig mlp_;
  float norm_eps_ = 0;
  float rope_base_ = 0;
  float rope_position_scale_ = 1;
  std::vector<LlamaLayer> layers_;
  Weight embedding_, output_norm_, output_, rope_factors_;
  std::vector<float> inv_freq_;
};

Status Llama::configure(const ModelSource& source, std::string_view architecture) {
  const Hyperparameters parameters(source, architecture);
  FSV_ASSIGN(shape_.layer_count, parameters.count("block_count", 1024));
  FSV_ASSIGN(shape_.hidden_size, parameters.count("embedding_length", 1 << 17));
  FSV_ASSIGN(shape_.head_count, parameters.count("attention.head_count", 1024));
  FSV_ASSIGN(shape_.kv_head_count, parameters.count_or("attention.head_count_kv", shape_.head_count, 1024));
  FSV_ASSIGN(shape_.context_tokens, parameters.count("context_length", 1 << 24));
  FSV_ASSIGN(const int32_t intermediate, parameters.count("feed_forward_length", 1 << 20));
  FSV_ASSIGN(norm_eps_, parameters.number("attention.layer_norm_rms_epsilon"));
  FSV_ASSIGN(rope_base_, parameters.number_or("rope.freq_base", 10000.0f));
  FSV_ASSIGN(shape_.vocabulary_size, vocabulary_rows(source, "token_embd.weight"));
  const int32_t head_dim_default = shape_.hidden_size / shape_.head_count;
  FSV_ASSIGN(attention_.head_dim, parameters.count_or("attention.key_length", head_dim_default, 1024));
  FSV_ASSIGN(attention_.value_dim, parameters.count_or("attention.value_length", attention_.head_dim, 1024));
  FSV_ASSIGN(const int32_t rope_dims, parameters.count_or("rope.dimension_count", attention_.head_dim, 1024));
  FSV_ASSIGN(const std::string_view scaling, parameters.text_or("rope.scaling.type", "none"));
  if (scaling == "linear") {
    FSV_ASSIGN(const float factor, parameters.number("rope.scaling.factor"));
    if (!(factor > 0)) return Status(StatusCode::kCorrupt, parameters.key("rope.scaling.factor") + " is not positive");
    rope_position_scale_ = 1.0f / factor;
  } else if (scaling != "none") {
    return Status(StatusCode::kUnsupported, format("rope scaling \"", scaling, "\" is not supported"));
  }
  if (parameters.has("expert_count")) {
    FSV_ASSIGN(const int32_t experts, parameters.count_or("expert_count", 0, 1 << 16));
    if (experts > 0) return Status(StatusCode::kUnsupported, "llama with routed experts is not supported");
  }
  if (shape_.kv_head_count < 1 || shape_.head_count % shape_.kv_head_count != 0) {
    return Status(StatusCode::kCorrupt, format("head_count ", shape_.head_count, " is not a multiple of head_count_kv ",
                                               shape_.kv_head_count));
  }
  if (attention_.head_dim < 2 || attention_.value_dim < 1 || rope_dims < 2 || rope_dims > attention_.head_dim ||
      rope_dims % 2 != 0) {
    return Status(StatusCode::kCorrupt,
                  format("head size ", attention_.head_dim, " with ", rope_dims, " rotary dimensions is not possible"));
  }
  attention_.head_count = shape_.head_count;
  attention_.kv_head_count = shape_.kv_head_count;
  attention_.scale = 1.0f / std::sqrt(static_cast<float>(attention_.head_dim));
  attention_.rope_pairs = rope_dims / 2;
  mlp_.intermediate = intermediate;
  describe_shape();
  return {};
}

void Llama::describe_shape() {
  shape_.kv_layers.assign(static_cast<size_t>(shape_.layer_count),
                          {attention_.kv_head_count, attention_.head_dim, attention_.value_dim, attention_.window});
  WorkspaceShape& workspace = shape_.workspace;
  workspace.hidden = shape_.hidden_size;
  workspace.qkv = attention_.qkv_size();
  workspace.attention_out = int64_t{attention_.head_count} * attention_.value_dim;
  workspace.gate_up = 2 * mlp_.intermediate;
  workspace.input_max = std::max({workspace.hidden, workspace.attention_out, mlp_.intermediate});
  workspace.vocabulary = shape_.vocabulary_size;
  workspace.rope_pairs = attention_.rope_pairs;
}

std::vector<TensorSpec> Llama::tensors() {
  const int64_t hidden = shape_.hidden_size, out_size = shape_.workspace.attention_out;
  std::vector<TensorSpec> specs;
  auto matrix = [&](std::string name, int64_t rows, int64_t cols, Weight& weight, bool required = true) {
    specs.push_back({std::move(name), TensorRole::kMatrix, rows, cols, &weight, required});
  };
  auto vector = [&](std::string name, int64_t size, Weight& weight, bool required = true) {
    specs.push_back({std::move(name), TensorRole::kVector, size, 1, &weight, required});
  };
  matrix("token_embd.weight", shape_.vocabulary_size, hidden, embedding_);
  vector("output_norm.weight", hidden, output_norm_);
  matrix("output.weight", shape_.vocabulary_size, hidden, output_, false);
  vector("rope_freqs.weight", attention_.rope_pairs, rope_factors_, false);
  layers_.resize(static_cast<size_t>(shape_.layer_count));
  for (size_t index = 0; index < layers_.size(); ++index) {
    LlamaLayer& layer = layers_[index];
    const std::string prefix = format("blk.", index, ".");
    vector(prefix + "attn_norm.weight", hidden, layer.attention_norm);
    matrix(prefix + "attn_q.weight", attention_.q_size(), hidden, layer.attention.q);
    matrix(prefix + "attn_k.weight", attention_.k_size(), hidden, layer.attention.k);
    matrix(prefix + "attn_v.weight", attention_.v_size(), hidden, layer.attention.v);
    vector(prefix + "attn_q.bias", attention_.q_size(), layer.attention.q_bias, false);
    vector(prefix + "attn_k.bias", attention_.k_size(), layer.attention.k_bias, false);
    vector(prefix + "attn_v.bias", attention_.v_size(), layer.attention.v_bias, false);
    matrix(prefix + "attn_output.weight", hidden, out_size, layer.attention.out);
    vector(prefix + "attn_output.bias", hidden, layer.attention.out_bias, false);
    vector(prefix + "ffn_norm.weight", hidden, layer.mlp_norm);
    matrix(prefix + "ffn_gate.weight", mlp_.intermediate, hidden, layer.mlp.gate);
    matrix(prefix + "ffn_up.weight", mlp_.intermediate, hidden, layer.mlp.up);
    matrix(prefix + "ffn_down.weight", hidden, mlp_.intermediate, layer.mlp.down);
  }
  return specs;
}

Status Llama::finish() {
  if (!output_.present()) output_ = embedding_;  // tied
  inv_freq_ = rope_frequencies(rope_base_, attention_.rope_pairs * 2);
  for (size_t i = 0; i < inv_freq_.size(); ++i) {
    inv_freq_[i] *= rope_position_scale_;
    if (rope_factors_.present()) inv_freq_[i] /= rope_factors_.vector[i];
  }
  return {};
}

void Llama::embed(const ForwardPass& pass) const {
  const Rows hidden = pass.workspace->hidden(pass.batch.row_count);
  ops::get_rows(*pass.device, embedding_, pass.batch.token_ids, 1.0f, hidden);
  ops::rope_angles(*pass.device, pass.batch.positions, pass.batch.row_count, inv_freq_.data(), attention_.rope_pairs,
                   1.0f, pass.workspace->cosines(0), pass.workspace->sines(0));
}

void Llama::layer(const ForwardPass& pass, int32_t index) const {
  const LlamaLayer& layer = layers_[static_cast<size_t>(index)];
  attention_block(pass, index, attention_, layer.attention, {&layer.attention_norm, norm_eps_, 0}, true);
  mlp_block(pass, mlp_, layer.mlp, {&layer.mlp_norm, norm_eps_, 0}, true);
}

void Llama::head(const ForwardPass& pass, const int32_t* rows, int32_t row_count) const {
  output_head(pass, rows, row_count, {&output_norm_, norm_eps_, 0}, output_);
}

}  // namespace

Result<std::unique_ptr<ModelDef>> create_llama(const ModelSource& source, std::string_view architecture) {
  auto model = std::make_unique<Llama>();
  FSV_TRY(model->configure(source, architecture));
  return std::unique_ptr<ModelDef>(std::move(model));
}

}  // namespace fastserve
