// "normalizer" of tokenizer.json.
#include <array>
#include <optional>

#include "text/hf_components.h"

namespace fastserve {
namespace {

constexpr size_t kAffixBytesMax = 4096;

std::optional<std::string> decode_base64(std::string_view text) {
  std::array<int8_t, 256> values;
  values.fill(-1);
  constexpr std::string_view kAlphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  for (size_t i = 0; i < kAlphabet.size(); ++i) values[static_cast<uint8_t>(kAlphabet[i])] = static_cast<int8_t>(i);
  while (!text.empty() && text.back() == '=') text.remove_suffix(1);
  std::string out;
  out.reserve(text.size() * 3 / 4);
  uint32_t bits = 0, count = 0;
  for (const char c : text) {
    const int8_t value = values[static_cast<uint8_t>(c)];
    if (value < 0) return std::nullopt;
    bits = (bits << 6 | static_cast<uint32_t>(value)) & 0xFFFFFF;
    count += 6;
    if (count < 8) continue;
    count -= 8;
    out.push_back(static_cast<char>(bits >> count));
  }
  return out;
}

Result<std::string> read_affix(const HfNode& node, std::string_view key) {
  FSV_ASSIGN(std::string text, node.text(key));
  if (text.size() > kAffixBytesMax) return node.unsupported("text of more than 4096 bytes");
  return text;
}

Result<std::unique_ptr<Normalizer>> read_bert(const HfNode& node) {
  BertNormalizerOptions options;
  FSV_ASSIGN(options.clean_text, node.flag("clean_text", true));
  FSV_ASSIGN(options.space_chinese, node.flag("handle_chinese_chars", true));
  FSV_ASSIGN(options.lowercase, node.flag("lowercase", true));
  FSV_ASSIGN(options.strip_accents, node.flag("strip_accents", options.lowercase));
  return create_bert_normalizer(options);
}

Result<std::unique_ptr<Normalizer>> read_precompiled(const HfNode& node) {
  FSV_ASSIGN(const std::string encoded, node.text_or("precompiled_charsmap", ""));
  const std::optional<std::string> map = decode_base64(encoded);
  if (!map.has_value()) return node.corrupt("\"precompiled_charsmap\" is not base64");
  auto created = create_character_map_normalizer(*map, true);
  if (!created.ok()) return node.corrupt(created.status().message());
  return created;
}

Result<std::unique_ptr<Normalizer>> read_sequence(const HfNode& node) {
  const HfNode list = node.member("normalizers");
  if (!list.value().is_array()) return node.corrupt("\"normalizers\" is no list");
  std::vector<std::unique_ptr<Normalizer>> steps;
  for (size_t i = 0; i < list.value().size(); ++i) {
    FSV_ASSIGN(auto step, read_hf_normalizer(list.element(i)));
    if (step == nullptr) return list.element(i).unknown();
    steps.push_back(std::move(step));
  }
  return create_sequence_normalizer(std::move(steps));
}

}  // namespace

Result<std::unique_ptr<Matcher>> read_hf_pattern(const HfNode& node) {
  const HfNode pattern = node.member("pattern");
  if (const auto literal = pattern.value()["String"].string(); literal.has_value()) {
    if (literal->empty()) return pattern.unsupported("an empty text");
    return create_literal_matcher(std::string(*literal));
  }
  const auto expression = pattern.value()["Regex"].string();
  if (!expression.has_value()) return pattern.corrupt("is neither \"String\" nor \"Regex\"");
  auto regex = Regex::compile(*expression);
  if (!regex.ok()) return Status(regex.status().code(), pattern.corrupt(regex.status().message()).message());
  return create_regex_matcher(regex.take());
}

Result<std::unique_ptr<Normalizer>> read_hf_normalizer(const HfNode& node) {
  using unicode::NormalForm;
  if (node.is_null()) return std::unique_ptr<Normalizer>();
  const std::string_view type = node.type();
  if (type == "Sequence") return read_sequence(node);
  if (type == "NFC") return create_form_normalizer(NormalForm::kNfc);
  if (type == "NFD") return create_form_normalizer(NormalForm::kNfd);
  if (type == "NFKC") return create_form_normalizer(NormalForm::kNfkc);
  if (type == "NFKD") return create_form_normalizer(NormalForm::kNfkd);
  if (type == "Lowercase") return create_lowercase_normalizer();
  if (type == "StripAccents") return create_strip_accents_normalizer();
  if (type == "Nmt") return create_nmt_normalizer();
  if (type == "ByteLevel") return create_byte_level_normalizer();
  if (type == "BertNormalizer") return read_bert(node);
  if (type == "Precompiled") return read_precompiled(node);
  if (type == "Strip") {
    FSV_ASSIGN(const bool left, node.flag("strip_left", true));
    FSV_ASSIGN(const bool right, node.flag("strip_right", true));
    return create_strip_normalizer(left, right);
  }
  if (type == "Prepend") {
    FSV_ASSIGN(std::string prefix, read_affix(node, "prepend"));
    return create_prepend_normalizer(std::move(prefix));
  }
  if (type == "Replace") {
    FSV_ASSIGN(std::string content, read_affix(node, "content"));
    FSV_ASSIGN(std::unique_ptr<Matcher> pattern, read_hf_pattern(node));
    return create_replace_normalizer(std::move(pattern), std::move(content));
  }
  return node.unknown();
}

}  // namespace fastserve
