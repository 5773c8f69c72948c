// From TokenizerData, as GGUF metadata has it, to a pipeline: byte-level BPE ("gpt2"), SentencePiece's BPE ("llama")
// and Unigram ("t5"), WordPiece ("bert").
#include <optional>

#include "base/format.h"
#include "text/bpe_model.h"
#include "text/byte_level.h"
#include "text/pipeline_tokenizer.h"
#include "text/replace_all.h"
#include "text/spm_model.h"
#include "text/unigram_model.h"
#include "text/word_pre_tokenizers.h"
#include "text/wordpiece_model.h"

namespace fastserve {
namespace {

enum class TokenType : int32_t { kNormal = 1, kUnknown = 2, kControl = 3, kUserDefined = 4, kUnused = 5, kByte = 6 };

constexpr std::string_view kSpaceMark = "\xE2\x96\x81";  // U+2581, SentencePiece's space

TokenType type_of(const TokenizerData& data, size_t id) {
  return data.types.empty() ? TokenType::kNormal : static_cast<TokenType>(data.types[id]);
}

uint32_t attributes_of(TokenType type) {
  switch (type) {
    case TokenType::kControl:
      return kTokenControl;
    case TokenType::kUnknown:
      return kTokenControl | kTokenUnknown;
    case TokenType::kUserDefined:
      return kTokenUserDefined;
    case TokenType::kByte:
      return kTokenByte;
    default:
      return 0;
  }
}

bool is_literal(TokenType type) {
  return type == TokenType::kControl || type == TokenType::kUserDefined || type == TokenType::kUnknown;
}

Status check_id(std::string_view what, int32_t id, size_t count) {
  if (id < 0 || static_cast<size_t>(id) < count) return {};
  return Status(StatusCode::kCorrupt,
                format("tokenizer: ", what, " id ", id, " is out of range, the vocabulary has ", count, " tokens"));
}

Status check_data(const TokenizerData& data) {
  const size_t count = data.tokens.size();
  if (count == 0) return Status(StatusCode::kCorrupt, "tokenizer: the vocabulary is empty");
  if (count > INT32_MAX / 2) return Status(StatusCode::kCorrupt, format("tokenizer: too many tokens (", count, ")"));
  size_t size_bytes = 0;
  for (const std::string& token : data.tokens) size_bytes += token.size();
  if (size_bytes > INT32_MAX) return Status(StatusCode::kCorrupt, "tokenizer: the vocabulary is larger than 2 GiB");
  if (!data.types.empty() && data.types.size() != count) {
    return Status(StatusCode::kCorrupt,
                  format("tokenizer: ", data.types.size(), " token types for ", count, " tokens"));
  }
  if (!data.scores.empty() && data.scores.size() != count) {
    return Status(StatusCode::kCorrupt,
                  format("tokenizer: ", data.scores.size(), " token scores for ", count, " tokens"));
  }
  FSV_TRY(check_id("bos", data.bos_id, count));
  FSV_TRY(check_id("eos", data.eos_id, count));
  FSV_TRY(check_id("eot", data.eot_id, count));
  FSV_TRY(check_id("unknown", data.unknown_id, count));
  return check_id("padding", data.padding_id, count);
}

std::string with_spaces(std::string_view token) { return replace_all(token, kSpaceMark, " "); }

// What a token stands for. Vocabularies of bytes hold printable characters for them, SentencePiece's U+2581 for a
// space and "<0x0A>" for a byte; control and user-defined tokens are written as they are.
std::string text_of(const TokenizerData& data, size_t id, bool byte_level) {
  const std::string& token = data.tokens[id];
  const TokenType type = type_of(data, id);
  if (type == TokenType::kByte) {
    if (const int byte = byte_of_token(token); byte >= 0) return std::string(1, static_cast<char>(byte));
  }
  if (byte_level) {
    std::optional<std::string> bytes = is_literal(type) ? std::nullopt : byte_level_decode(token);
    return bytes ? std::move(*bytes) : token;
  }
  return type == TokenType::kControl || type == TokenType::kUnknown ? token : with_spaces(token);
}

// What all kinds have in common. Of equal texts a plain token is found first, then user-defined ones; control and byte
// tokens are found by no text.
Pipeline start_pipeline(const TokenizerData& data, std::string name, bool byte_level) {
  Pipeline pipeline;
  pipeline.name = std::move(name);
  auto vocabulary = std::make_shared<Vocabulary>();
  vocabulary->texts.reserve(data.tokens.size(), data.tokens.size() * 8);
  for (size_t id = 0; id < data.tokens.size(); ++id) {
    const TokenType type = type_of(data, id);
    vocabulary->texts.push_back(text_of(data, id, byte_level));
    pipeline.attributes.push_back(attributes_of(type));
    if (is_literal(type)) {
      pipeline.added.push_back(
          {.id = static_cast<int32_t>(id), .text = data.tokens[id], .control = type != TokenType::kUserDefined});
    }
  }
  vocabulary->index = TokenIndex(&vocabulary->texts);
  for (const bool user_defined : {false, true}) {
    for (size_t id = 0; id < data.tokens.size(); ++id) {
      const TokenType type = type_of(data, id);
      // No text of bytes becomes a token that is not made of bytes' characters.
      const bool plain = !is_literal(type) && type != TokenType::kByte &&
                         (!byte_level || byte_level_decode(data.tokens[id]).has_value());
      if (user_defined ? type == TokenType::kUserDefined : plain) vocabulary->index.insert(static_cast<int32_t>(id));
    }
  }
  pipeline.token_bytes = std::shared_ptr<const StringTable>(vocabulary, &vocabulary->texts);
  pipeline.vocabulary = std::move(vocabulary);
  pipeline.bos_id = data.bos_id;
  pipeline.eos_id = data.eos_id;
  pipeline.eot_id = data.eot_id;
  if (data.add_bos && data.bos_id >= 0) pipeline.prefix_ids.push_back(data.bos_id);
  if (data.add_eos && data.eos_id >= 0) pipeline.suffix_ids.push_back(data.eos_id);
  return pipeline;
}

Result<std::unique_ptr<Tokenizer>> create_byte_bpe(const TokenizerData& data) {
  FSV_ASSIGN(NamedPreTokenizer pre_tokenizer, create_pre_tokenizer(data.pre));
  Pipeline pipeline =
      start_pipeline(data, format("gpt2/", data.pre.empty() ? "default" : std::string_view(data.pre)), true);
  const Vocabulary& vocabulary = *pipeline.vocabulary;
  // Bytes without a token are dropped, as Hugging Face and llama.cpp do (SmolLM2 lacks six control characters): the
  // unknown token is a control token in such vocabularies, which no text may turn into.
  BpeOptions options;
  options.byte_level = true;
  options.ignore_merges = pre_tokenizer.traits.ignore_merges;
  for (size_t byte = 0; byte < options.byte_ids.size(); ++byte) {
    const char text = static_cast<char>(byte);
    options.byte_ids[byte] = vocabulary.index.find({&text, 1});
  }
  TokenIndex all(&vocabulary.texts);
  for (size_t id = 0; id < vocabulary.texts.size(); ++id) all.insert(static_cast<int32_t>(id));
  if (data.merges.size() > INT32_MAX / 2) return Status(StatusCode::kCorrupt, "tokenizer: too many merges");
  BpeBuilder builder(pipeline.vocabulary, data.merges.size(), std::move(options));
  for (size_t rank = 0; rank < data.merges.size(); ++rank) {
    std::string_view left, right;
    if (!split_merge(data.merges[rank], left, right)) {
      return Status(StatusCode::kCorrupt,
                    format("tokenizer: merge ", rank, " is not two tokens: '", data.merges[rank], "'"));
    }
    FSV_TRY(builder.add(left, right, all));
  }
  pipeline.model = builder.finish();
  pipeline.pre_tokenizer = std::move(pre_tokenizer.splitter);
  if (pre_tokenizer.traits.compose) pipeline.normalizer = create_form_normalizer(unicode::NormalForm::kNfc);
  return create_pipeline_tokenizer(std::move(pipeline));
}

// Spaces stay spaces here: a literal U+2581 in a text counts as one, as it does to SentencePiece.
Result<std::unique_ptr<Normalizer>> create_spm_normalizer(const TokenizerData& data) {
  std::vector<std::unique_ptr<Normalizer>> steps;
  if (!data.character_map.empty()) {
    FSV_ASSIGN(auto map, create_character_map_normalizer(data.character_map, false));
    steps.push_back(std::move(map));
  }
  // A U+2581 is no space while runs of spaces are made one; at the end it is.
  if (data.remove_extra_spaces) steps.push_back(create_collapse_spaces_normalizer());
  steps.push_back(create_replace_normalizer(create_literal_matcher(std::string(kSpaceMark)), " "));
  if (data.remove_extra_spaces) steps.push_back(create_strip_spaces_normalizer());
  if (data.add_space_prefix) steps.push_back(create_prepend_normalizer(" "));
  return create_sequence_normalizer(std::move(steps));
}

std::vector<int32_t> byte_ids_of(const TokenizerData& data) {
  std::vector<int32_t> ids(256, -1);
  for (size_t id = 0; id < data.tokens.size(); ++id) {
    if (type_of(data, id) != TokenType::kByte) continue;
    if (const int byte = byte_of_token(data.tokens[id]); byte >= 0) {
      ids[static_cast<size_t>(byte)] = static_cast<int32_t>(id);
    }
  }
  return ids;
}

Result<std::unique_ptr<Tokenizer>> create_sentencepiece(const TokenizerData& data) {
  if (data.scores.empty()) return Status(StatusCode::kCorrupt, "tokenizer: the vocabulary has no scores");
  Pipeline pipeline = start_pipeline(data, data.model, false);
  if (data.model == "t5") {
    pipeline.model = create_unigram_model(pipeline.vocabulary, {data.scores.begin(), data.scores.end()},
                                          {data.unknown_id, byte_ids_of(data), true});
  } else {
    pipeline.model = create_spm_model(pipeline.vocabulary, data.scores, byte_ids_of(data), data.unknown_id);
  }
  FSV_ASSIGN(pipeline.normalizer, create_spm_normalizer(data));
  // SentencePiece looks for user-defined pieces in normalised text: runs of spaces, written so or as U+2581.
  for (AddedToken& token : pipeline.added) {
    if (!token.control && with_spaces(token.text).find(' ') != std::string::npos) token.normalized = true;
  }
  pipeline.leading_spaces_dropped = data.add_space_prefix ? 1 : 0;
  return create_pipeline_tokenizer(std::move(pipeline));
}

// GGUF writes U+2581 before the tokens that begin words and takes "##" from the others.
Result<std::unique_ptr<Tokenizer>> create_bert(const TokenizerData& data) {
  Pipeline pipeline = start_pipeline(data, "bert", false);
  auto vocabulary = std::make_shared<Vocabulary>();
  auto token_bytes = std::make_shared<StringTable>();
  for (size_t id = 0; id < data.tokens.size(); ++id) {
    const std::string_view token = data.tokens[id];
    const bool begins_word = token.starts_with(kSpaceMark) && token != kSpaceMark;  // alone it is "##" and U+2581
    const std::string_view word = begins_word ? token.substr(kSpaceMark.size()) : token;
    const bool literal = is_literal(type_of(data, id));
    vocabulary->texts.push_back(literal || begins_word ? std::string(word) : format("##", word));
    token_bytes->push_back(literal || !begins_word ? std::string(word) : wordpiece_text(format(" ", word)));
  }
  vocabulary->index = TokenIndex(&vocabulary->texts);
  for (size_t id = 0; id < data.tokens.size(); ++id) {
    if (!is_literal(type_of(data, id))) vocabulary->index.insert(static_cast<int32_t>(id));
  }
  pipeline.vocabulary = vocabulary;
  pipeline.token_bytes = token_bytes;
  pipeline.model = create_wordpiece_model(std::move(vocabulary), {.unknown_id = data.unknown_id});
  pipeline.normalizer = create_bert_normalizer({.strip_accents = data.lowercase, .lowercase = data.lowercase});
  pipeline.pre_tokenizer = create_bert_pre_tokenizer();
  pipeline.leading_spaces_dropped = 1;
  return create_pipeline_tokenizer(std::move(pipeline));
}

}  // namespace

Result<std::unique_ptr<Tokenizer>> create_tokenizer(TokenizerData data) {
  FSV_TRY(check_data(data));
  if (data.model == "gpt2") return create_byte_bpe(data);
  if (data.model == "llama" || data.model == "t5") return create_sentencepiece(data);
  if (data.model == "bert") return create_bert(data);
  return Status(StatusCode::kUnsupported, format("unknown tokenizer model '", data.model, "'"));
}

}  // namespace fastserve
