// GPT-2: layer norms with biases, learned positions, one fused qkv matrix, a plain GELU feed-forward, tied output.
#include <algorithm>
#include <cmath>

#include "base/format.h"
#include "blocks/attention_block.h"
#include "blocks/mlp_block.h"
#include "models/family.h"
#include "ops/elementwise.h"

namespace fastserve {
namespace {

class Gpt2 final : public ModelDef {
 public:
  Status configure(const ModelSource& source, std::string_view architecture);
  std::vector<TensorSpec> tensors() override;
  void bind() override {
    if (!output_.present()) output_ = embedding_;
  }
  void embed(const ForwardPass& pass) const override;
  void layer(const ForwardPass& pass, int32_t index) const override;
  void head(const ForwardPass& pass, const int32_t* rows, int32_t row_count, PanelRange panels) const override;

 private:
  struct Layer {
    Weight attention_norm, attention_norm_bias, mlp_norm, mlp_norm_bias;
    AttentionWeights attention;
    MlpWeights mlp;
  };

  AttentionConfig attention_;
  MlpConfig mlp_;
  float norm_eps_ = 0;
  std::vector<Layer> layers_;
  Weight embedding_, positions_, output_norm_, output_norm_bias_, output_;
};

Status Gpt2::configure(const ModelSource& source, std::string_view architecture) {
  const Hyperparameters parameters(source, architecture);
  FSV_ASSIGN(shape_.layer_count, parameters.count("block_count", 1024));
  FSV_ASSIGN(shape_.hidden_size, parameters.count("embedding_length", 1 << 17));
  FSV_ASSIGN(shape_.head_count, parameters.count("attention.head_count", 1024));
  FSV_ASSIGN(shape_.context_tokens, parameters.count("context_length", 1 << 24));
  FSV_ASSIGN(const int32_t intermediate, parameters.count_or("feed_forward_length", 4 * shape_.hidden_size, 1 << 20));
  FSV_ASSIGN(norm_eps_, parameters.number("attention.layer_norm_epsilon"));
  FSV_ASSIGN(shape_.vocabulary_size, vocabulary_rows(source, "token_embd.weight"));
  if (shape_.hidden_size % shape_.head_count != 0) {
    return Status(StatusCode::kCorrupt, format(parameters.key("embedding_length"), " is ", shape_.hidden_size,
                                               ", not a multiple of ", shape_.head_count, " heads"));
  }
  shape_.kv_head_count = shape_.head_count;
  shape_.context_is_hard = true;  // there is no position beyond the table
  shape_.has_logit_maxima = true;
  attention_.head_count = attention_.kv_head_count = shape_.head_count;
  attention_.head_dim = attention_.value_dim = shape_.hidden_size / shape_.head_count;
  attention_.scale = 1.0f / std::sqrt(static_cast<float>(attention_.head_dim));
  attention_.rotary = false;
  mlp_.intermediate = intermediate;
  mlp_.activation = kernels::Activation::kGeluTanh;
  shape_.kv_layers.assign(static_cast<size_t>(shape_.layer_count),
                          {attention_.kv_head_count, attention_.head_dim, attention_.value_dim, 0});
  WorkspaceShape& workspace = shape_.workspace;
  workspace.hidden = shape_.hidden_size;
  workspace.qkv = attention_.qkv_size();
  workspace.attention_out = shape_.hidden_size;
  workspace.gate_up = intermediate;
  workspace.input_max = std::max<int64_t>(shape_.hidden_size, intermediate);
  workspace.vocabulary = shape_.vocabulary_size;
  workspace.rope_set_count = 0;
  return {};
}

std::vector<TensorSpec> Gpt2::tensors() {
  const int64_t hidden = shape_.hidden_size, wide = mlp_.intermediate;
  std::vector<TensorSpec> specs;
  add_matrix(specs, "token_embd.weight", shape_.vocabulary_size, hidden, embedding_);
  add_matrix(specs, "position_embd.weight", shape_.context_tokens, hidden, positions_);
  add_vector(specs, "output_norm.weight", hidden, output_norm_);
  add_vector(specs, "output_norm.bias", hidden, output_norm_bias_);
  add_matrix(specs, "output.weight", shape_.vocabulary_size, hidden, output_, false);
  layers_.resize(static_cast<size_t>(shape_.layer_count));
  for (size_t index = 0; index < layers_.size(); ++index) {
    Layer& layer = layers_[index];
    const std::string prefix = format("blk.", index, ".");
    add_vector(specs, prefix + "attn_norm.weight", hidden, layer.attention_norm);
    add_vector(specs, prefix + "attn_norm.bias", hidden, layer.attention_norm_bias);
    add_matrix(specs, prefix + "attn_qkv.weight", 3 * hidden, hidden, layer.attention.qkv);
    add_vector(specs, prefix + "attn_qkv.bias", 3 * hidden, layer.attention.qkv_bias);
    add_matrix(specs, prefix + "attn_output.weight", hidden, hidden, layer.attention.out);
    add_vector(specs, prefix + "attn_output.bias", hidden, layer.attention.out_bias);
    add_vector(specs, prefix + "ffn_norm.weight", hidden, layer.mlp_norm);
    add_vector(specs, prefix + "ffn_norm.bias", hidden, layer.mlp_norm_bias);
    add_matrix(specs, prefix + "ffn_up.weight", wide, hidden, layer.mlp.up);
    add_vector(specs, prefix + "ffn_up.bias", wide, layer.mlp.up_bias);
    add_matrix(specs, prefix + "ffn_down.weight", hidden, wide, layer.mlp.down);
    add_vector(specs, prefix + "ffn_down.bias", hidden, layer.mlp.down_bias);
  }
  return specs;
}

void Gpt2::embed(const ForwardPass& pass) const {
  const Rows hidden = pass.hidden();
  const Rows positions = pass.workspace->residual(pass.batch.row_count);
  ops::get_rows(*pass.device, embedding_, pass.batch.token_ids, 1.0f, hidden);
  ops::get_rows(*pass.device, positions_, pass.batch.positions, 1.0f, positions);
  ops::add(*pass.device, hidden, positions);
}

void Gpt2::layer(const ForwardPass& pass, int32_t index) const {
  const Layer& layer = layers_[static_cast<size_t>(index)];
  const ops::NormSpec before_attention{&layer.attention_norm, norm_eps_, 0, &layer.attention_norm_bias};
  attention_block(pass, index, attention_, layer.attention, before_attention, true);
  const ops::NormSpec before_mlp{&layer.mlp_norm, norm_eps_, 0, &layer.mlp_norm_bias};
  mlp_block(pass, mlp_, layer.mlp, before_mlp, true);
}

void Gpt2::head(const ForwardPass& pass, const int32_t* rows, int32_t row_count, PanelRange panels) const {
  (void)output_head(pass, rows, row_count, {&output_norm_, norm_eps_, 0, &output_norm_bias_}, output_, panels,
                    shape_.has_logit_maxima);
}

}  // namespace

Result<std::unique_ptr<ModelDef>> create_gpt2(const ModelSource& source, std::string_view architecture) {
  return configured<Gpt2>(source, architecture);
}

}  // namespace fastserve
