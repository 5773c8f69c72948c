// Reading of config.json. Old (rope_theta, rope_scaling) and new (rope_parameters) spellings are both understood.
#include "formats/hf_config.h"

#include <cmath>

#include "base/format.h"
#include "formats/hf_rope.h"
#include "formats/hf_view.h"

namespace fastserve {
namespace {

struct Architecture {
  std::string_view class_name;  // in "architectures"
  std::string_view gguf_name;
  HfFamily family;
  std::string_view activation;
};

constexpr Architecture kArchitectures[] = {
    {"LlamaForCausalLM", "llama", HfFamily::kLlama, "silu"},
    {"MistralForCausalLM", "llama", HfFamily::kLlama, "silu"},
    {"MixtralForCausalLM", "llama", HfFamily::kLlama, "silu"},
    {"Qwen2ForCausalLM", "qwen2", HfFamily::kQwen, "silu"},
    {"Qwen3ForCausalLM", "qwen3", HfFamily::kQwen, "silu"},
    {"Qwen3MoeForCausalLM", "qwen3moe", HfFamily::kQwen, "silu"},
    {"Gemma2ForCausalLM", "gemma2", HfFamily::kGemma, "gelu_pytorch_tanh"},
    {"Gemma3ForCausalLM", "gemma3", HfFamily::kGemma, "gelu_pytorch_tanh"},
    {"Gemma3ForConditionalGeneration", "gemma3", HfFamily::kGemma, "gelu_pytorch_tanh"},
    {"Phi3ForCausalLM", "phi3", HfFamily::kPhi3, "silu"},
    {"GPT2LMHeadModel", "gpt2", HfFamily::kGpt2, "gelu_new"},
};

class ConfigReader {
 public:
  ConfigReader(const HfConfigView& view, const Architecture& architecture)
      : view_(view), architecture_(architecture), entries_(model_.metadata, architecture.gguf_name) {}

  Result<HfModel> read() {
    entries_.text("general.architecture", architecture_.gguf_name);
    model_.family = architecture_.family;
    FSV_TRY(check_variants());
    FSV_TRY(read_sizes());
    FSV_TRY(read_attention());
    FSV_TRY(read_windows());
    FSV_TRY(read_experts());
    if (architecture_.family != HfFamily::kGpt2) {
      const HfRopeContext context{architecture_.gguf_name, head_dim_, context_length_};
      FSV_TRY(read_hf_rope(view_, context, entries_, model_.derived));
    }
    FSV_TRY(read_tokens());
    return std::move(model_);
  }

 private:
  bool is_gemma() const { return architecture_.family == HfFamily::kGemma; }
  bool is_gemma3() const { return architecture_.gguf_name == "gemma3"; }

  Status check_variants();
  Status read_sizes();
  Status read_attention();
  Status read_windows();
  Status read_experts();
  Status read_tokens();
  Result<std::vector<bool>> windowed_layers();

  const HfConfigView& view_;
  const Architecture& architecture_;
  HfModel model_;
  HfMetadata entries_;
  int64_t hidden_size_ = 0, head_dim_ = 0, context_length_ = 0;
};

// Options of a family that change what it computes and that no model here implements.
Status ConfigReader::check_variants() {
  const json::Value quantization = view_.find({"quantization_config"});
  if (quantization.present()) {
    return view_.unsupported(format("quantised weights (", quantization["quant_method"].string().value_or("?"), ")"));
  }
  for (std::string_view name : {"hidden_activation", "hidden_act", "activation_function"}) {
    const auto activation = view_.find({name}).string();
    if (!activation.has_value()) continue;
    // Gemma's "hidden_act" is a leftover where "hidden_activation" stands beside it.
    if (*activation != architecture_.activation && !(is_gemma() && *activation == "gelu")) {
      return view_.unsupported(format(name, " ", quoted_name(*activation)));
    }
    break;
  }
  for (std::string_view name : {"mlp_bias", "scale_attn_by_inverse_layer_idx", "use_bidirectional_attention"}) {
    if (view_.find({name}).boolean().value_or(false)) return view_.unsupported(name);
  }
  if (!view_.find({"scale_attn_weights"}).boolean().value_or(true))
    return view_.unsupported("scale_attn_weights false");
  return {};
}

Status ConfigReader::read_sizes() {
  FSV_ASSIGN(const int64_t layers, view_.count({"num_hidden_layers", "n_layer"}, std::nullopt, 1 << 16));
  FSV_ASSIGN(context_length_, view_.count({"max_position_embeddings", "n_positions", "n_ctx"},
                                          is_gemma3() ? std::optional<int64_t>(131072) : std::nullopt, 1 << 30));
  FSV_ASSIGN(hidden_size_, view_.count({"hidden_size", "n_embd"}, std::nullopt, 1 << 24));
  const bool gpt2 = architecture_.family == HfFamily::kGpt2;
  FSV_ASSIGN(const int64_t intermediate,
             view_.count({"intermediate_size", "n_inner"},
                         gpt2 ? std::optional<int64_t>(4 * hidden_size_) : std::nullopt, 1 << 26));
  model_.layer_count = static_cast<uint32_t>(layers);
  entries_.number("block_count", layers);
  entries_.number("context_length", context_length_);
  entries_.number("embedding_length", hidden_size_);
  entries_.number("feed_forward_length", intermediate);
  const json::Value vocabulary = view_.find({"vocab_size"});
  if (vocabulary.present()) {
    FSV_ASSIGN(const int64_t size, view_.count({"vocab_size"}, std::nullopt, 1 << 30));
    entries_.number("vocab_size", size);
  }
  const bool tied_by_default = is_gemma() || gpt2;
  model_.tied_output = is_gemma() || view_.find({"tie_word_embeddings"}).boolean().value_or(tied_by_default);
  return {};
}

Status ConfigReader::read_attention() {
  const auto gemma3_default = [&](int64_t value) { return is_gemma3() ? std::optional<int64_t>(value) : std::nullopt; };
  FSV_ASSIGN(const int64_t heads, view_.count({"num_attention_heads", "n_head"}, gemma3_default(8), 1 << 16));
  FSV_ASSIGN(const int64_t kv_heads, view_.count({"num_key_value_heads"}, gemma3_default(4).value_or(heads), 1 << 16));
  model_.head_count = static_cast<uint32_t>(heads);
  model_.kv_head_count = static_cast<uint32_t>(kv_heads);
  model_.permutes_rotary = architecture_.family == HfFamily::kLlama;
  entries_.number("attention.head_count", heads);
  if (architecture_.family != HfFamily::kGpt2) entries_.number("attention.head_count_kv", kv_heads);
  const bool states_head_dim = view_.find({"head_dim"}).present() || is_gemma();
  FSV_ASSIGN(head_dim_,
             view_.count({"head_dim"}, is_gemma() ? 256 : std::max<int64_t>(hidden_size_ / heads, 1), 65536));
  if (states_head_dim) {
    entries_.number("attention.key_length", head_dim_);
    entries_.number("attention.value_length", head_dim_);
  }
  if (architecture_.family == HfFamily::kGpt2) {
    FSV_ASSIGN(const double eps, view_.real({"layer_norm_epsilon"}, 1e-5));
    entries_.real("attention.layer_norm_epsilon", eps);
  } else {
    FSV_ASSIGN(const double eps, view_.real({"rms_norm_eps"}, 1e-6));
    entries_.real("attention.layer_norm_rms_epsilon", eps);
  }
  if (!is_gemma()) return {};
  FSV_ASSIGN(const double scalar, view_.real({"query_pre_attn_scalar"}, 256));
  if (!(scalar > 0)) return view_.corrupt("\"query_pre_attn_scalar\" is not positive");
  entries_.real("attention.scale", 1.0 / std::sqrt(scalar));
  for (std::string_view name : {"attn_logit_softcapping", "final_logit_softcapping"}) {
    if (!view_.find({name}).present()) continue;
    FSV_ASSIGN(const double cap, view_.real({name}, 0));
    entries_.real(name, cap);
  }
  return {};
}

// Which layers attend within the window, by "layer_types" or by the rule that the family had before that key.
Result<std::vector<bool>> ConfigReader::windowed_layers() {
  const size_t layers = model_.layer_count;
  std::vector<bool> windowed(layers, false);
  const json::Value types = view_.find({"layer_types"});
  if (types.present()) {
    if (types.size() != layers) {
      return view_.corrupt(format("\"layer_types\" has ", types.size(), " entries for ", layers, " layers"));
    }
    for (size_t i = 0; i < layers; ++i) {
      const std::string_view type = types.at(i).string().value_or("");
      if (type != "sliding_attention" && type != "full_attention") {
        return view_.unsupported(format("layers of the type ", quoted_name(type)));
      }
      windowed[i] = type == "sliding_attention";
    }
    return windowed;
  }
  if (architecture_.family == HfFamily::kQwen) {
    FSV_ASSIGN(const int64_t first, view_.count_or_zero({"max_window_layers"}, 28, 1 << 16));
    const bool on = view_.find({"use_sliding_window"}).boolean().value_or(false);
    for (size_t i = 0; i < layers; ++i) windowed[i] = on && static_cast<int64_t>(i) >= first;
  } else if (is_gemma()) {
    FSV_ASSIGN(const int64_t period,
               view_.count({"sliding_window_pattern", "_sliding_window_pattern"}, is_gemma3() ? 6 : 2, 1 << 16));
    for (size_t i = 0; i < layers; ++i) windowed[i] = (i + 1) % static_cast<size_t>(period) != 0;
  } else {
    windowed.assign(layers, true);
  }
  return windowed;
}

Status ConfigReader::read_windows() {
  if (architecture_.family == HfFamily::kGpt2) return {};
  const json::Value size = view_.find({"sliding_window"});
  if (!size.present() && !is_gemma()) {
    if (architecture_.family == HfFamily::kPhi3) entries_.number("attention.sliding_window", 0);
    return {};
  }
  FSV_ASSIGN(const int64_t window, view_.count({"sliding_window"}, 4096, int64_t{1} << 30));
  FSV_ASSIGN(const std::vector<bool> windowed, windowed_layers());
  size_t count = 0;
  for (bool on : windowed) count += on ? 1 : 0;
  if (count == 0 && !is_gemma()) return {};
  entries_.number("attention.sliding_window", window);
  if (count != windowed.size() || is_gemma()) entries_.booleans("attention.sliding_window_pattern", windowed);
  return {};
}

Status ConfigReader::read_experts() {
  if (!view_.find({"num_local_experts", "num_experts"}).present()) return {};
  FSV_ASSIGN(const int64_t experts, view_.count({"num_local_experts", "num_experts"}, std::nullopt, 1 << 16));
  FSV_ASSIGN(const int64_t used, view_.count({"num_experts_per_tok"}, std::nullopt, 1 << 16));
  model_.expert_count = static_cast<uint32_t>(experts);
  entries_.number("expert_count", experts);
  entries_.number("expert_used_count", used);
  if (architecture_.gguf_name != "qwen3moe") return {};
  FSV_ASSIGN(const int64_t intermediate, view_.count({"moe_intermediate_size"}, std::nullopt, 1 << 26));
  entries_.number("expert_feed_forward_length", intermediate);
  entries_.boolean("expert_weights_norm", view_.find({"norm_topk_prob"}).boolean().value_or(false));
  if (view_.find({"mlp_only_layers"}).size() != 0) return view_.unsupported("mlp_only_layers");
  FSV_ASSIGN(const int64_t step, view_.count({"decoder_sparse_step"}, 1, 1 << 16));
  return step == 1 ? Status() : view_.unsupported("decoder_sparse_step above 1");
}

// Ids of special tokens; a list of end tokens gives its first here and all of them in a key of ours.
Status ConfigReader::read_tokens() {
  constexpr std::pair<std::string_view, std::string_view> kIds[] = {
      {"bos_token_id", "tokenizer.ggml.bos_token_id"},
      {"eos_token_id", "tokenizer.ggml.eos_token_id"},
      {"pad_token_id", "tokenizer.ggml.padding_token_id"},
  };
  for (const auto& [name, key] : kIds) {
    json::Value value = view_.find({name});
    if (value.is_array()) {
      std::vector<int64_t> ids;
      for (size_t i = 0; i < value.size(); ++i) ids.push_back(value.at(i).integer().value_or(-1));
      entries_.integers(format("fastserve.", name, "s"), ids);
      value = value.at(0);
    }
    const auto id = value.integer();
    if (id.has_value() && *id >= 0 && *id <= INT32_MAX) entries_.number_of(key, *id);
  }
  return {};
}

}  // namespace

Result<HfModel> read_hf_config(json::Value config, std::string_view file_name) {
  const HfConfigView view(config, file_name);
  if (!config.is_object()) return view.corrupt("is no JSON object");
  const std::string_view class_name = config["architectures"].at(0).string().value_or("");
  for (const Architecture& architecture : kArchitectures) {
    if (architecture.class_name == class_name) return ConfigReader(view, architecture).read();
  }
  return view.unsupported(format("the architecture ", quoted_name(class_name)));
}

}  // namespace fastserve
