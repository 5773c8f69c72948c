// Options of the four model types; files from before "type" existed are told apart by what they hold.
#include "text/hf_model.h"

#include <cstdio>

#include "base/format.h"

namespace fastserve {
namespace {

// WordPiece's work grows with the square of it.
constexpr int64_t kWordCharactersMax = 1000;

Result<HfModelType> read_type(const HfNode& node, const HfFile& file) {
  const std::string_view type = node.type();
  if (type == "BPE") return HfModelType::kBpe;
  if (type == "Unigram") return HfModelType::kUnigram;
  if (type == "WordPiece") return HfModelType::kWordPiece;
  if (type == "WordLevel") return HfModelType::kWordLevel;
  if (!type.empty()) return node.unknown();
  if (file.has_merges) return HfModelType::kBpe;
  if (file.vocabulary_is_list) return HfModelType::kUnigram;
  return node.value()["max_input_chars_per_word"].present() ? HfModelType::kWordPiece : HfModelType::kWordLevel;
}

Status read_bpe(const HfNode& node, HfModelOptions& options) {
  FSV_ASSIGN(options.unknown_token, node.text_or("unk_token", ""));
  FSV_ASSIGN(options.continuing_prefix, node.text_or("continuing_subword_prefix", ""));
  FSV_ASSIGN(options.end_suffix, node.text_or("end_of_word_suffix", ""));
  FSV_ASSIGN(options.fuse_unknown, node.flag("fuse_unk", false));
  FSV_ASSIGN(options.byte_fallback, node.flag("byte_fallback", false));
  FSV_ASSIGN(options.ignore_merges, node.flag("ignore_merges", false));
  if (options.continuing_prefix.size() > 256 || options.end_suffix.size() > 256) {
    return node.unsupported("an affix of more than 256 bytes");
  }
  if (node.value()["dropout"].number().value_or(0) != 0) return node.unsupported("dropout");
  return {};
}

Status read_unigram(const HfNode& node, const HfFile& file, HfModelOptions& options) {
  FSV_ASSIGN(const int64_t unknown, node.integer("unk_id", -1));
  if (unknown < -1 || unknown >= static_cast<int64_t>(file.tokens.size())) {
    return node.corrupt(
        format("\"unk_id\" ", unknown, " is out of range, the vocabulary has ", file.tokens.size(), " tokens"));
  }
  options.unknown_id = static_cast<int32_t>(unknown);
  FSV_ASSIGN(options.byte_fallback, node.flag("byte_fallback", false));
  return {};
}

Status read_wordpiece(const HfNode& node, HfModelOptions& options) {
  FSV_ASSIGN(options.unknown_token, node.text_or("unk_token", "[UNK]"));
  FSV_ASSIGN(options.continuing_prefix, node.text_or("continuing_subword_prefix", "##"));
  FSV_ASSIGN(const int64_t characters, node.integer("max_input_chars_per_word", 100));
  if (characters < 0) return node.corrupt("\"max_input_chars_per_word\" is negative");
  if (characters > kWordCharactersMax) {
    return node.unsupported(format("words of ", characters, " characters (at most ", kWordCharactersMax, ")"));
  }
  if (options.continuing_prefix.size() > 256) return node.unsupported("a prefix of more than 256 bytes");
  options.word_characters_max = static_cast<size_t>(characters);
  return {};
}

}  // namespace

std::string_view hf_model_name(HfModelType type) {
  constexpr std::string_view kNames[] = {"BPE", "Unigram", "WordPiece", "WordLevel"};
  return kNames[static_cast<size_t>(type)];
}

Result<HfModelOptions> read_hf_model_options(const HfNode& node, const HfFile& file) {
  HfModelOptions options;
  FSV_ASSIGN(options.type, read_type(node, file));
  if (file.vocabulary_is_list != (options.type == HfModelType::kUnigram)) {
    return node.corrupt(format("the vocabulary of ", hf_model_name(options.type),
                               file.vocabulary_is_list ? " is a list of pairs" : " is no list of tokens and scores"));
  }
  switch (options.type) {
    case HfModelType::kBpe:
      FSV_TRY(read_bpe(node, options));
      break;
    case HfModelType::kUnigram:
      FSV_TRY(read_unigram(node, file, options));
      break;
    case HfModelType::kWordPiece:
      FSV_TRY(read_wordpiece(node, options));
      break;
    case HfModelType::kWordLevel:
      FSV_ASSIGN(options.unknown_token, node.text_or("unk_token", ""));
      break;
  }
  return options;
}

std::array<int32_t, 256> find_byte_tokens(const TokenIndex& all) {
  std::array<int32_t, 256> ids;
  for (unsigned byte = 0; byte < ids.size(); ++byte) {
    char text[8];
    std::snprintf(text, sizeof(text), "<0x%02X>", byte);
    ids[byte] = all.find(text);
  }
  return ids;
}

}  // namespace fastserve
