// Tables of tensor names: those of `transformers` on the left, those of GGUF on the right.
#include "formats/hf_names.h"

#include <charconv>

#include "base/format.h"

namespace fastserve {
namespace {

struct NameRow {
  std::string_view hf, gguf;  // of a module; ".weight" or ".bias" follow on both sides
  HfChange change = HfChange::kNone;
};

constexpr NameRow kTop[] = {{"embed_tokens", "token_embd"}, {"norm", "output_norm"}, {"lm_head", "output"}};
constexpr NameRow kGemmaTop[] = {{"embed_tokens", "token_embd"}, {"norm", "output_norm", HfChange::kPlusOne}};
constexpr NameRow kGpt2Top[] = {
    {"wte", "token_embd"}, {"wpe", "position_embd"}, {"ln_f", "output_norm"}, {"lm_head", "output"}};

constexpr NameRow kLayer[] = {
    {"input_layernorm", "attn_norm"},
    {"self_attn.q_proj", "attn_q", HfChange::kPairs},
    {"self_attn.k_proj", "attn_k", HfChange::kPairs},
    {"self_attn.v_proj", "attn_v"},
    {"self_attn.qkv_proj", "attn_qkv"},
    {"self_attn.o_proj", "attn_output"},
    {"self_attn.q_norm", "attn_q_norm"},
    {"self_attn.k_norm", "attn_k_norm"},
    {"post_attention_layernorm", "ffn_norm"},
    {"mlp.gate_proj", "ffn_gate"},
    {"mlp.up_proj", "ffn_up"},
    {"mlp.gate_up_proj", "ffn_up"},
    {"mlp.down_proj", "ffn_down"},
    {"block_sparse_moe.gate", "ffn_gate_inp"},
    {"mlp.gate", "ffn_gate_inp"},
};
constexpr NameRow kGemmaLayer[] = {
    {"input_layernorm", "attn_norm", HfChange::kPlusOne},
    {"self_attn.q_proj", "attn_q"},
    {"self_attn.k_proj", "attn_k"},
    {"self_attn.v_proj", "attn_v"},
    {"self_attn.o_proj", "attn_output"},
    {"self_attn.q_norm", "attn_q_norm", HfChange::kPlusOne},
    {"self_attn.k_norm", "attn_k_norm", HfChange::kPlusOne},
    {"post_attention_layernorm", "post_attention_norm", HfChange::kPlusOne},
    {"pre_feedforward_layernorm", "ffn_norm", HfChange::kPlusOne},
    {"post_feedforward_layernorm", "post_ffw_norm", HfChange::kPlusOne},
    {"mlp.gate_proj", "ffn_gate"},
    {"mlp.up_proj", "ffn_up"},
    {"mlp.down_proj", "ffn_down"},
};
constexpr NameRow kGpt2Layer[] = {
    {"ln_1", "attn_norm"},
    {"attn.c_attn", "attn_qkv", HfChange::kTranspose},
    {"attn.c_proj", "attn_output", HfChange::kTranspose},
    {"ln_2", "ffn_norm"},
    {"mlp.c_fc", "ffn_up", HfChange::kTranspose},
    {"mlp.c_proj", "ffn_down", HfChange::kTranspose},
};
constexpr NameRow kExpert[] = {
    {"w1", "ffn_gate_exps"},        {"w2", "ffn_down_exps"},        {"w3", "ffn_up_exps"},
    {"gate_proj", "ffn_gate_exps"}, {"down_proj", "ffn_down_exps"}, {"up_proj", "ffn_up_exps"},
};

bool consume(std::string_view& text, std::string_view prefix) {
  if (text.substr(0, prefix.size()) != prefix) return false;
  text.remove_prefix(prefix.size());
  return true;
}

// "12." -> 12
std::optional<uint32_t> consume_index(std::string_view& text) {
  uint32_t index = 0;
  const auto result = std::from_chars(text.data(), text.data() + text.size(), index);
  if (result.ec != std::errc()) return std::nullopt;
  text.remove_prefix(static_cast<size_t>(result.ptr - text.data()));
  if (!consume(text, ".")) return std::nullopt;
  return index;
}

bool ends_with(std::string_view text, std::string_view end) {
  return text.size() >= end.size() && text.substr(text.size() - end.size()) == end;
}

// "self_attn.q_proj.bias" by the table to "attn_q.bias".
template <size_t kCount>
std::optional<HfPlace> look_up(std::string_view name, const NameRow (&table)[kCount]) {
  const size_t dot = name.rfind('.');
  if (dot == std::string_view::npos) return std::nullopt;
  const std::string_view module = name.substr(0, dot), kind = name.substr(dot);
  if (kind != ".weight" && kind != ".bias") return std::nullopt;
  for (const NameRow& row : table) {
    if (row.hf != module) continue;
    HfPlace place{format(row.gguf, kind), row.change};
    if (row.change == HfChange::kTranspose && kind == ".bias") place.change = HfChange::kNone;
    place.is_key = row.gguf == "attn_k";
    return place;
  }
  return std::nullopt;
}

// "7.w1.weight" and "7.up_proj.weight" of one expert; "gate_up_proj" and "down_proj" of all at once.
std::optional<HfPlace> expert_place(std::string_view name, const HfModel& model) {
  if (name == "gate_up_proj" || name == "down_proj") {
    HfPlace place;
    place.gate_and_up = name == "gate_up_proj";
    place.name = place.gate_and_up ? "ffn_gate_exps.weight" : "ffn_down_exps.weight";
    place.all_experts = true;
    return place;
  }
  const auto expert = consume_index(name);
  if (!expert.has_value() || *expert >= model.expert_count || !ends_with(name, ".weight")) return std::nullopt;
  auto place = look_up(name, kExpert);
  if (place.has_value()) place->expert = static_cast<int32_t>(*expert);
  return place;
}

std::optional<HfPlace> layer_place(std::string_view name, const HfModel& model) {
  switch (model.family) {
    case HfFamily::kGemma:
      return look_up(name, kGemmaLayer);
    case HfFamily::kGpt2:
      return look_up(name, kGpt2Layer);
    default:
      break;
  }
  if (model.expert_count != 0 && (consume(name, "block_sparse_moe.experts.") || consume(name, "mlp.experts."))) {
    return expert_place(name, model);
  }
  auto place = look_up(name, kLayer);
  if (place.has_value() && !model.permutes_rotary) place->change = HfChange::kNone;
  return place;
}

}  // namespace

bool hf_name_ignored(std::string_view name) {
  for (std::string_view end : {".attn.bias", ".attn.masked_bias", "rotary_emb.inv_freq"}) {
    if (ends_with(name, end)) return true;
  }
  consume(name, "model.");
  return consume(name, "vision_tower.") || consume(name, "multi_modal_projector.");
}

std::optional<HfPlace> hf_place(std::string_view name, const HfModel& model) {
  // Saved with or without their outer modules, alone or as the text part of a larger model.
  if (!consume(name, "model.language_model.") && !consume(name, "language_model.model.") &&
      !consume(name, "language_model.") && !consume(name, "model.")) {
    consume(name, "transformer.");
  }
  const bool gpt2 = model.family == HfFamily::kGpt2;
  if (!consume(name, gpt2 ? "h." : "layers.")) {
    if (gpt2) return look_up(name, kGpt2Top);
    return model.family == HfFamily::kGemma ? look_up(name, kGemmaTop) : look_up(name, kTop);
  }
  const auto layer = consume_index(name);
  if (!layer.has_value() || *layer >= model.layer_count) return std::nullopt;
  auto place = layer_place(name, model);
  if (place.has_value()) place->name = format("blk.", *layer, ".", place->name);
  return place;
}

}  // namespace fastserve
