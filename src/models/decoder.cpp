// The shared decoder.
#include "models/decoder.h"

#include <algorithm>
#include <cmath>

#include "base/format.h"
#include "ops/elementwise.h"
#include "ops/norm.h"

namespace fastserve {
Status read_rope_scaling(const Hyperparameters& parameters, RopeSet& set) {
  FSV_ASSIGN(const std::string_view type, parameters.text_or("rope.scaling.type", "none"));
  if (type == "none") return {};
  if (type != "linear") {
    return Status(StatusCode::kUnsupported, format("rope scaling \"", type, "\" is not supported"));
  }
  FSV_ASSIGN(const float factor, parameters.number("rope.scaling.factor"));
  if (!(factor > 0)) return Status(StatusCode::kCorrupt, parameters.key("rope.scaling.factor") + " is not positive");
  set.position_scale = 1.0f / factor;
  return {};
}

Status read_experts(const Hyperparameters& parameters, DecoderConfig& config) {
  constexpr int32_t kExpertsMax = 4096;
  MoeConfig& moe = config.moe;
  FSV_ASSIGN(moe.expert_count, parameters.count_or("expert_count", 0, kExpertsMax));
  if (moe.expert_count == 0) return {};
  FSV_ASSIGN(moe.experts_used, parameters.count("expert_used_count", moe.expert_count));
  const auto dense = static_cast<int32_t>(config.mlp.intermediate);
  FSV_ASSIGN(const int32_t intermediate, parameters.count_or("expert_feed_forward_length", dense, 1 << 20));
  if (intermediate < 1) {
    return Status(StatusCode::kCorrupt, parameters.key("expert_feed_forward_length") + " is missing");
  }
  moe.intermediate = intermediate;
  FSV_ASSIGN(moe.renormalize, parameters.flag_or("expert_weights_norm", true));
  return {};
}

Status Decoder::read_common(const ModelSource& source, std::string_view architecture) {
  const Hyperparameters parameters(source, architecture);
  AttentionConfig& attention = config_.attention;
  FSV_ASSIGN(shape_.layer_count, parameters.count("block_count", 1024));
  FSV_ASSIGN(shape_.hidden_size, parameters.count("embedding_length", 1 << 17));
  FSV_ASSIGN(attention.head_count, parameters.count("attention.head_count", 1024));
  FSV_ASSIGN(attention.kv_head_count, parameters.count_or("attention.head_count_kv", attention.head_count, 1024));
  FSV_ASSIGN(shape_.context_tokens, parameters.count("context_length", 1 << 24));
  FSV_ASSIGN(const int32_t intermediate, parameters.count_or("feed_forward_length", 0, 1 << 20));
  FSV_ASSIGN(config_.norm_eps, parameters.number("attention.layer_norm_rms_epsilon"));
  FSV_ASSIGN(config_.rope_sets[0].base, parameters.number_or("rope.freq_base", 10000.0f));
  FSV_ASSIGN(shape_.vocabulary_size, vocabulary_rows(source, "token_embd.weight"));
  const int32_t head_dim = shape_.hidden_size / attention.head_count;
  FSV_ASSIGN(attention.head_dim, parameters.count_or("attention.key_length", head_dim, 1024));
  FSV_ASSIGN(attention.value_dim, parameters.count_or("attention.value_length", attention.head_dim, 1024));
  FSV_ASSIGN(const int32_t rope_dims, parameters.count_or("rope.dimension_count", attention.head_dim, 1024));
  if (attention.kv_head_count < 1 || attention.head_count % attention.kv_head_count != 0) {
    return Status(StatusCode::kCorrupt, format(parameters.key("attention.head_count"), " is ", attention.head_count,
                                               ", not a multiple of head_count_kv ", attention.kv_head_count));
  }
  if (attention.head_dim < 2 || attention.value_dim < 1 || rope_dims < 2 || rope_dims > attention.head_dim ||
      rope_dims % 2 != 0) {
    return Status(StatusCode::kCorrupt, format("heads of ", attention.head_dim, " dimensions with ", rope_dims,
                                               " rotary ones are not possible"));
  }
  if (!(config_.rope_sets[0].base > 0)) {
    return Status(StatusCode::kCorrupt, parameters.key("rope.freq_base") + " is not positive");
  }
  const float usual_scale = 1.0f / std::sqrt(static_cast<float>(attention.head_dim));
  FSV_ASSIGN(attention.scale, parameters.number_or("attention.scale", usual_scale));
  attention.rope_pairs = rope_dims / 2;
  attention.qk_norm_eps = config_.norm_eps;
  config_.mlp.intermediate = intermediate;
  return {};
}

Status Decoder::read_llama(const ModelSource& source, std::string_view architecture) {
  const Hyperparameters parameters(source, architecture);
  FSV_TRY(read_common(source, architecture));
  FSV_TRY(read_rope_scaling(parameters, config_.rope_sets[0]));
  FSV_TRY(read_experts(parameters, config_));
  return read_windows(source, architecture, 0, [](int32_t) { return true; });
}

AttentionConfig Decoder::layer_attention(int32_t index) const {
  AttentionConfig attention = config_.attention;
  if (!config_.layer_is_local.empty() && config_.layer_is_local[static_cast<size_t>(index)]) {
    attention.window = config_.local_window;
    attention.rope_set = config_.local_rope_set;
  }
  return attention;
}

void Decoder::describe_shape() {
  shape_.head_count = config_.attention.head_count;
  shape_.kv_head_count = config_.attention.kv_head_count;
  for (int32_t index = 0; index < shape_.layer_count; ++index) {
    const AttentionConfig attention = layer_attention(index);
    shape_.kv_layers.push_back({attention.kv_head_count, attention.head_dim, attention.value_dim, attention.window});
  }
  shape_.has_logit_maxima = config_.final_softcap <= 0;  // a cap comes after them
  WorkspaceShape& workspace = shape_.workspace;
  const int64_t intermediate = std::max(config_.mlp.intermediate, config_.moe.intermediate);
  workspace.hidden = shape_.hidden_size;
  workspace.qkv = config_.attention.qkv_size();
  workspace.attention_out = int64_t{config_.attention.head_count} * config_.attention.value_dim;
  workspace.gate_up = 2 * intermediate;
  workspace.input_max = std::max({workspace.hidden, workspace.attention_out, intermediate});
  workspace.vocabulary = shape_.vocabulary_size;
  workspace.rope_pairs = config_.attention.rope_pairs;
  workspace.rope_set_count = static_cast<int64_t>(config_.rope_sets.size());
  workspace.expert_count = config_.moe.expert_count;
  workspace.experts_used = config_.moe.experts_used;
}

std::vector<TensorSpec> Decoder::tensors() {
  const int64_t hidden = shape_.hidden_size;
  std::vector<TensorSpec> specs;
  add_matrix(specs, "token_embd.weight", shape_.vocabulary_size, hidden, embedding_);
  add_vector(specs, "output_norm.weight", hidden, output_norm_);
  add_matrix(specs, "output.weight", shape_.vocabulary_size, hidden, output_, false);
  if (config_.has_rope_factors) {
    add_vector(specs, "rope_freqs.weight", config_.attention.rope_pairs, rope_factors_, false);
    specs.back().on_host = true;
  }
  layers_.resize(static_cast<size_t>(shape_.layer_count));
  for (size_t index = 0; index < layers_.size(); ++index) {
    layer_tensors(specs, layers_[index], format("blk.", index, "."));
  }
  return specs;
}

void Decoder::layer_tensors(std::vector<TensorSpec>& specs, Layer& layer, const std::string& prefix) {
  const AttentionConfig& attention = config_.attention;
  const int64_t hidden = shape_.hidden_size, wide = config_.mlp.intermediate;
  add_vector(specs, prefix + "attn_norm.weight", hidden, layer.attention_norm);
  if (config_.has_fused_qkv) {
    add_matrix(specs, prefix + "attn_qkv.weight", attention.qkv_size(), hidden, layer.attention.qkv);
    add_vector(specs, prefix + "attn_qkv.bias", attention.qkv_size(), layer.attention.qkv_bias, config_.has_qkv_bias);
  } else {
    add_matrix(specs, prefix + "attn_q.weight", attention.q_size(), hidden, layer.attention.q);
    add_matrix(specs, prefix + "attn_k.weight", attention.k_size(), hidden, layer.attention.k);
    add_matrix(specs, prefix + "attn_v.weight", attention.v_size(), hidden, layer.attention.v);
    add_vector(specs, prefix + "attn_q.bias", attention.q_size(), layer.attention.q_bias, config_.has_qkv_bias);
    add_vector(specs, prefix + "attn_k.bias", attention.k_size(), layer.attention.k_bias, config_.has_qkv_bias);
    add_vector(specs, prefix + "attn_v.bias", attention.v_size(), layer.attention.v_bias, config_.has_qkv_bias);
  }
  if (config_.has_qk_norm) {
    add_vector(specs, prefix + "attn_q_norm.weight", attention.head_dim, layer.attention.q_norm);
    add_vector(specs, prefix + "attn_k_norm.weight", attention.head_dim, layer.attention.k_norm);
  }
  const int64_t attended = int64_t{attention.head_count} * attention.value_dim;
  add_matrix(specs, prefix + "attn_output.weight", hidden, attended, layer.attention.out);
  add_vector(specs, prefix + "attn_output.bias", hidden, layer.attention.out_bias, false);
  add_vector(specs, prefix + "ffn_norm.weight", hidden, layer.mlp_norm);
  if (config_.has_post_norms) {
    add_vector(specs, prefix + "post_attention_norm.weight", hidden, layer.attention_post_norm);
    add_vector(specs, prefix + "post_ffw_norm.weight", hidden, layer.mlp_post_norm);
  }
  if (config_.moe.expert_count > 0) {
    const int64_t experts = config_.moe.expert_count, expert_wide = config_.moe.intermediate;
    add_matrix(specs, prefix + "ffn_gate_inp.weight", experts, hidden, layer.moe.router);
    add_matrix(specs, prefix + "ffn_gate_exps.weight", expert_wide, hidden, layer.moe.gate, true, experts);
    add_matrix(specs, prefix + "ffn_up_exps.weight", expert_wide, hidden, layer.moe.up, true, experts);
    add_matrix(specs, prefix + "ffn_down_exps.weight", hidden, expert_wide, layer.moe.down, true, experts);
    return;
  }
  if (config_.has_fused_gate_up) {
    add_matrix(specs, prefix + "ffn_up.weight", 2 * wide, hidden, layer.mlp.gate_up);
  } else {
    add_matrix(specs, prefix + "ffn_gate.weight", wide, hidden, layer.mlp.gate);
    add_matrix(specs, prefix + "ffn_up.weight", wide, hidden, layer.mlp.up);
  }
  add_matrix(specs, prefix + "ffn_down.weight", hidden, wide, layer.mlp.down);
}

void Decoder::bind() {
  if (!output_.present()) output_ = embedding_;  // tied
}

Status Decoder::finish() {
  for (RopeSet& set : config_.rope_sets) {
    if (set.inv_freq.empty()) {
      set.inv_freq = rope_frequencies(set.base, config_.attention.rope_pairs * 2);
      for (size_t i = 0; i < set.inv_freq.size(); ++i) {
        set.inv_freq[i] *= set.position_scale;
        if (rope_factors_.present()) set.inv_freq[i] /= rope_factors_.vector[i];
      }
    }
    set.frequencies = set.inv_freq.data();
  }
  return {};
}

std::vector<DerivedVector> Decoder::derived() {
  std::vector<DerivedVector> vectors;
  for (RopeSet& set : config_.rope_sets) vectors.push_back({&set.inv_freq, &set.frequencies});
  return vectors;
}

void Decoder::embed(const ForwardPass& pass) const {
  const Workspace& workspace = *pass.workspace;
  const Rows hidden = pass.hidden();
  ops::get_rows(*pass.device, embedding_, pass.batch.token_ids, config_.embedding_scale, hidden);
  for (size_t set = 0; set < config_.rope_sets.size(); ++set) {
    const RopeSet& rope = config_.rope_sets[set];
    ops::rope_angles(*pass.device, pass.batch.positions, pass.batch.row_count, rope.frequencies,
                     config_.attention.rope_pairs, rope.magnitude, workspace.cosines(static_cast<int>(set)),
                     workspace.sines(static_cast<int>(set)));
  }
}

void Decoder::add_post_norm(const ForwardPass& pass, const Weight& weight) const {
  const Rows output = pass.workspace->residual(pass.batch.row_count);
  ops::rms_norm(*pass.device, output, weight, config_.norm_eps, 0, output);
  ops::add(*pass.device, pass.hidden(), output);
}

void Decoder::layer(const ForwardPass& pass, int32_t index) const {
  const Layer& layer = layers_[static_cast<size_t>(index)];
  const bool adds_directly = !config_.has_post_norms;
  attention_block(pass, index, layer_attention(index), layer.attention, norm(layer.attention_norm), adds_directly);
  if (!adds_directly) add_post_norm(pass, layer.attention_post_norm);
  if (config_.moe.expert_count > 0) {
    moe_block(pass, config_.moe, layer.moe, norm(layer.mlp_norm));
    return;
  }
  mlp_block(pass, config_.mlp, layer.mlp, norm(layer.mlp_norm), adds_directly);
  if (!adds_directly) add_post_norm(pass, layer.mlp_post_norm);
}

void Decoder::head(const ForwardPass& pass, const int32_t* rows, int32_t row_count, PanelRange panels) const {
  const Rows logits = output_head(pass, rows, row_count, norm(output_norm_), output_, panels, shape_.has_logit_maxima);
  if (config_.final_softcap > 0) ops::softcap(*pass.device, logits, config_.final_softcap);
}

}  // namespace fastserve
