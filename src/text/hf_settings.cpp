// Special tokens, ends of generation and the rules on BOS and EOS from the files beside tokenizer.json.
#include <optional>

#include "base/json.h"
#include "text/hf_tokenizer.h"

namespace fastserve {
namespace {

Result<json::Document> parse_optional(const std::string& text, std::string_view name) {
  return json::parse(text.empty() ? std::string_view("{}") : std::string_view(text), name);
}

// A token is its text, or an object with the text as "content".
std::optional<std::string> token_text(json::Value value) {
  if (value.is_object()) value = value["content"];
  const auto text = value.string();
  return text.has_value() ? std::optional<std::string>(*text) : std::nullopt;
}

// One id or a list of them.
std::vector<int32_t> token_ids(json::Value value) {
  std::vector<int32_t> ids;
  const auto add = [&](json::Value entry) {
    const auto id = entry.integer();
    if (id.has_value() && *id >= 0 && *id <= INT32_MAX) ids.push_back(static_cast<int32_t>(*id));
  };
  if (value.is_array()) {
    for (size_t i = 0; i < value.size(); ++i) add(value.at(i));
  } else {
    add(value);
  }
  return ids;
}

int rule_of(json::Value value) {
  const auto flag = value.boolean();
  return !flag.has_value() ? 0 : *flag ? 1 : -1;
}

}  // namespace

Result<HfSettings> read_hf_settings(const HfSettingsFiles& files) {
  FSV_ASSIGN(const json::Document config, parse_optional(files.tokenizer_config, "tokenizer_config.json"));
  FSV_ASSIGN(const json::Document map, parse_optional(files.special_tokens_map, "special_tokens_map.json"));
  FSV_ASSIGN(const json::Document generation, parse_optional(files.generation_config, "generation_config.json"));
  HfSettings settings;
  // A token that tokenizer_config.json sets to null is none.
  const auto read_token = [&](std::string_view name, int32_t id_elsewhere, std::string& text, int32_t& id) {
    const json::Value here = config.root()[name].present() ? config.root()[name] : map.root()[name];
    if (here.present()) {
      text = token_text(here).value_or("");
    } else {
      id = id_elsewhere;
    }
  };
  read_token("bos_token", files.bos_id, settings.bos_token, settings.bos_id);
  read_token("eos_token", files.eos_id, settings.eos_token, settings.eos_id);
  settings.end_ids = token_ids(generation.root()["eos_token_id"]);
  if (settings.end_ids.empty()) {
    settings.end_ids = files.end_ids;
    if (files.eos_id >= 0) settings.end_ids.push_back(files.eos_id);
  }
  settings.add_bos = rule_of(config.root()["add_bos_token"]);
  settings.add_eos = rule_of(config.root()["add_eos_token"]);
  return settings;
}

}  // namespace fastserve
