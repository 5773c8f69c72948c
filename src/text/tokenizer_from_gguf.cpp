// From GGUF's arrays to a pipeline, in stages over the tokens and merges: byte-level BPE ("gpt2"), SentencePiece's BPE
// ("llama") and Unigram ("t5"), WordPiece ("bert").
#include <optional>
#include <utility>

#include "base/format.h"
#include "text/bpe_model.h"
#include "text/byte_level.h"
#include "text/gguf_tokenizer.h"
#include "text/pipeline_tokenizer.h"
#include "text/replace_all.h"
#include "text/spm_model.h"
#include "text/staged_load.h"
#include "text/unigram_model.h"
#include "text/word_pre_tokenizers.h"
#include "text/wordpiece_model.h"

namespace fastserve {
namespace {

enum class TokenType : int32_t { kNormal = 1, kUnknown = 2, kControl = 3, kUserDefined = 4, kUnused = 5, kByte = 6 };
enum class Kind { kByteBpe, kSpm, kUnigram, kBert };
enum class GgufStage { kStart, kTexts, kSlots, kPlain, kUserDefined, kAll, kModel, kMerges, kFinish, kPipeline, kDone };

constexpr std::string_view kSpaceMark = "\xE2\x96\x81";  // U+2581, SentencePiece's space
constexpr int64_t kTypeMax = 6;

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

Status corrupt(std::string_view text) { return Status(StatusCode::kCorrupt, format("tokenizer: ", text)); }

Status check_id(std::string_view what, int32_t id, size_t count) {
  if (id < 0 || static_cast<size_t>(id) < count) return {};
  return corrupt(format(what, " id ", id, " is out of range, the vocabulary has ", count, " tokens"));
}

Status check_data(const GgufTokenizerData& data) {
  const size_t count = data.tokens != nullptr ? data.tokens->size() : 0;
  if (count == 0) return corrupt("the vocabulary is empty");
  if (count > INT32_MAX / 2) return corrupt(format("too many tokens (", count, ")"));
  if (data.tokens->size_bytes() > INT32_MAX) return corrupt("the vocabulary is larger than 2 GiB");
  if (data.merges != nullptr && data.merges->size() > INT32_MAX / 2) return corrupt("too many merges");
  if (!data.types.empty() && data.types.size() != count) {
    return corrupt(format(data.types.size(), " token types for ", count, " tokens"));
  }
  if (!data.scores.empty() && data.scores.size() != count) {
    return corrupt(format(data.scores.size(), " token scores for ", count, " tokens"));
  }
  FSV_TRY(check_id("bos", data.bos_id, count));
  FSV_TRY(check_id("eos", data.eos_id, count));
  FSV_TRY(check_id("eot", data.eot_id, count));
  FSV_TRY(check_id("unknown", data.unknown_id, count));
  return check_id("padding", data.padding_id, count);
}

Result<Kind> kind_of(const GgufTokenizerData& data) {
  if (data.model == "gpt2") return Kind::kByteBpe;
  if (data.model == "bert") return Kind::kBert;
  if (data.model != "llama" && data.model != "t5") {
    return Status(StatusCode::kUnsupported, format("unknown tokenizer model '", data.model, "'"));
  }
  if (data.scores.empty()) return corrupt("the vocabulary has no scores");
  return data.model == "t5" ? Kind::kUnigram : Kind::kSpm;
}

std::string with_spaces(std::string_view token) { return replace_all(token, kSpaceMark, " "); }

// What a token stands for. Vocabularies of bytes hold printable characters for them, SentencePiece's U+2581 for a
// space and "<0x0A>" for a byte; control and user-defined tokens are written as they are.
std::string text_of(std::string_view token, TokenType type, bool byte_level) {
  if (type == TokenType::kByte) {
    if (const int byte = byte_of_token(token); byte >= 0) return std::string(1, static_cast<char>(byte));
  }
  if (byte_level) {
    std::optional<std::string> bytes = is_literal(type) ? std::nullopt : byte_level_decode(token);
    return bytes ? std::move(*bytes) : std::string(token);
  }
  return type == TokenType::kControl || type == TokenType::kUnknown ? std::string(token) : with_spaces(token);
}

// Spaces stay spaces here: a literal U+2581 in a text counts as one, as it does to SentencePiece.
Result<std::unique_ptr<Normalizer>> create_spm_normalizer(const GgufTokenizerData& data) {
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

}  // namespace

class GgufTokenizerLoader::Work : StagedLoad<GgufStage> {
 public:
  explicit Work(GgufTokenizerData data) : data_(std::move(data)) {}
  Result<bool> step() {
    FSV_TRY(run_stage());
    return stage_ == Stage::kDone;
  }
  std::unique_ptr<Tokenizer> take() { return std::move(tokenizer_); }

 private:
  Status run_stage();
  Status start();
  Status add_text(size_t id);
  void add_bert_text(std::string_view token, bool literal);
  void make_slots();
  bool is_plain(size_t id) const;
  void start_merges();
  void step_model();
  Status add_merge(size_t rank);
  Status finish_sentencepiece();
  Status finish();

  size_t token_count() const { return data_.tokens->size(); }
  size_t merge_count() const { return data_.merges != nullptr ? data_.merges->size() : 0; }
  TokenType type_of(size_t id) const {
    return data_.types.empty() ? TokenType::kNormal : static_cast<TokenType>(data_.types[id]);
  }

  GgufTokenizerData data_;
  Kind kind_ = Kind::kByteBpe;
  NamedPreTokenizer pre_tokenizer_;
  std::shared_ptr<Vocabulary> vocabulary_ = std::make_shared<Vocabulary>();
  std::shared_ptr<StringTable> bytes_;  // of tokens, where they are not what the model matches
  std::vector<int32_t> byte_ids_;
  std::optional<TokenIndex> all_;  // of every token, for merges
  std::optional<BpeBuilder> bpe_;
  std::optional<SpmBuilder> spm_;
  std::optional<UnigramBuilder> unigram_;
  Pipeline pipeline_;
  std::optional<PipelineBuilder> builder_;
  std::unique_ptr<Tokenizer> tokenizer_;
};

Status GgufTokenizerLoader::Work::run_stage() {
  const auto is_user_defined = [&](size_t id) { return type_of(id) == TokenType::kUserDefined; };
  const auto insert = [&](size_t id, bool wanted) {
    if (wanted) vocabulary_->index.insert(static_cast<int32_t>(id));
    return Status();
  };
  switch (stage_) {
    case Stage::kStart:
      return start();
    case Stage::kTexts:
      return advance(token_count(), Stage::kSlots, [&](size_t id) { return add_text(id); });
    case Stage::kSlots:
      make_slots();
      return {};
    // Of equal texts a plain token is found first, then user-defined ones; control and byte tokens are found by none.
    case Stage::kPlain:
      return advance(token_count(), kind_ == Kind::kBert ? Stage::kModel : Stage::kUserDefined,
                     [&](size_t id) { return insert(id, is_plain(id)); });
    case Stage::kUserDefined:
      return advance(token_count(), kind_ == Kind::kByteBpe ? Stage::kAll : Stage::kModel,
                     [&](size_t id) { return insert(id, is_user_defined(id)); });
    case Stage::kAll:
      return advance(token_count(), Stage::kModel, [&](size_t id) {
        all_->insert(static_cast<int32_t>(id));
        return Status();
      });
    case Stage::kModel:
      step_model();
      return {};
    case Stage::kMerges:
      return advance(merge_count(), Stage::kFinish, [&](size_t rank) { return add_merge(rank); });
    case Stage::kFinish:
      return finish();
    case Stage::kPipeline:
      if (!builder_->step()) return {};
      tokenizer_ = builder_->finish();
      go_to(Stage::kDone);
      return {};
    case Stage::kDone:
      break;
  }
  return {};
}

Status GgufTokenizerLoader::Work::start() {
  FSV_TRY(check_data(data_));
  FSV_ASSIGN(kind_, kind_of(data_));
  if (kind_ == Kind::kByteBpe) {
    FSV_ASSIGN(pre_tokenizer_, create_pre_tokenizer(data_.pre));
  }
  vocabulary_->texts.reserve(token_count(), data_.tokens->size_bytes());
  if (kind_ == Kind::kBert) {
    bytes_ = std::make_shared<StringTable>();
    bytes_->reserve(token_count(), data_.tokens->size_bytes());
  }
  pipeline_.attributes.reserve(token_count());
  byte_ids_.assign(256, -1);
  go_to(Stage::kTexts);
  return {};
}

Status GgufTokenizerLoader::Work::add_text(size_t id) {
  if (!data_.types.empty() && (data_.types[id] < 0 || data_.types[id] > kTypeMax)) {
    return corrupt(format("token ", id, " has the unknown type ", data_.types[id]));
  }
  const TokenType type = type_of(id);
  const std::string_view token = (*data_.tokens)[id];
  pipeline_.attributes.push_back(attributes_of(type));
  if (is_literal(type)) {
    pipeline_.added.push_back(
        {.id = static_cast<int32_t>(id), .text = std::string(token), .control = type != TokenType::kUserDefined});
  }
  if (type == TokenType::kByte) {
    if (const int byte = byte_of_token(token); byte >= 0) {
      byte_ids_[static_cast<size_t>(byte)] = static_cast<int32_t>(id);
    }
  }
  if (kind_ == Kind::kBert) {
    add_bert_text(token, is_literal(type));
  } else {
    vocabulary_->texts.push_back(text_of(token, type, kind_ == Kind::kByteBpe));
  }
  return {};
}

// GGUF writes U+2581 before the tokens that begin words and takes "##" from the others.
void GgufTokenizerLoader::Work::add_bert_text(std::string_view token, bool literal) {
  const bool begins_word = token.starts_with(kSpaceMark) && token != kSpaceMark;  // alone it is "##" and U+2581
  const std::string_view word = begins_word ? token.substr(kSpaceMark.size()) : token;
  vocabulary_->texts.push_back(literal || begins_word ? std::string(word) : format("##", word));
  bytes_->push_back(literal || !begins_word ? std::string(word) : wordpiece_text(format(" ", word)));
}

// The tables that texts are looked up in, a part of their slots at a time.
void GgufTokenizerLoader::Work::make_slots() {
  if (next_++ == 0) {
    vocabulary_->index = TokenIndex(&vocabulary_->texts);
    if (kind_ == Kind::kByteBpe) all_.emplace(&vocabulary_->texts);
  }
  if (!vocabulary_->index.fill_part()) return;
  if (!all_.has_value() || all_->fill_part()) go_to(Stage::kPlain);
}

// No text of bytes becomes a token that is not made of bytes' characters.
bool GgufTokenizerLoader::Work::is_plain(size_t id) const {
  const TokenType type = type_of(id);
  if (is_literal(type)) return false;
  if (kind_ == Kind::kBert) return true;
  return type != TokenType::kByte && (kind_ != Kind::kByteBpe || byte_level_decode((*data_.tokens)[id]).has_value());
}

void GgufTokenizerLoader::Work::step_model() {
  switch (kind_) {
    case Kind::kByteBpe:
      if (!bpe_.has_value()) start_merges();
      if (bpe_->fill_part()) go_to(Stage::kMerges);
      return;
    case Kind::kSpm:
      if (!spm_.has_value()) spm_.emplace(vocabulary_, data_.scores, std::move(byte_ids_), data_.unknown_id);
      if (!spm_->step()) return;
      pipeline_.model = spm_->finish();
      break;
    case Kind::kUnigram:
      if (!unigram_.has_value()) {
        unigram_.emplace(vocabulary_, std::vector<double>(data_.scores.begin(), data_.scores.end()),
                         UnigramOptions{data_.unknown_id, std::move(byte_ids_), true});
      }
      if (!unigram_->step()) return;
      pipeline_.model = unigram_->finish();
      break;
    case Kind::kBert:
      pipeline_.model = create_wordpiece_model(vocabulary_, {.unknown_id = data_.unknown_id});
      break;
  }
  go_to(Stage::kFinish);
}

// Bytes without a token are dropped, as Hugging Face and llama.cpp do (SmolLM2 lacks six control characters): the
// unknown token is a control token in such vocabularies, which no text may turn into.
void GgufTokenizerLoader::Work::start_merges() {
  BpeOptions options;
  options.byte_level = true;
  options.ignore_merges = pre_tokenizer_.traits.ignore_merges;
  for (size_t byte = 0; byte < options.byte_ids.size(); ++byte) {
    const char text = static_cast<char>(byte);
    options.byte_ids[byte] = vocabulary_->index.find({&text, 1});
  }
  bpe_.emplace(vocabulary_, merge_count(), std::move(options));
}

Status GgufTokenizerLoader::Work::add_merge(size_t rank) {
  const std::string_view merge = (*data_.merges)[rank];
  std::string_view left, right;
  if (!split_merge(merge, left, right)) return corrupt(format("merge ", rank, " is not two tokens: '", merge, "'"));
  return bpe_->add(left, right, *all_);
}

Status GgufTokenizerLoader::Work::finish_sentencepiece() {
  FSV_ASSIGN(pipeline_.normalizer, create_spm_normalizer(data_));
  // SentencePiece looks for user-defined pieces in normalised text: runs of spaces, written so or as U+2581.
  for (AddedToken& token : pipeline_.added) {
    if (!token.control && with_spaces(token.text).find(' ') != std::string::npos) token.normalized = true;
  }
  pipeline_.leading_spaces_dropped = data_.add_space_prefix ? 1 : 0;
  return {};
}

Status GgufTokenizerLoader::Work::finish() {
  pipeline_.name = data_.model;
  switch (kind_) {
    case Kind::kByteBpe:
      pipeline_.name = format("gpt2/", data_.pre.empty() ? "default" : std::string_view(data_.pre));
      pipeline_.model = bpe_->finish();
      pipeline_.pre_tokenizer = std::move(pre_tokenizer_.splitter);
      if (pre_tokenizer_.traits.compose) pipeline_.normalizer = create_form_normalizer(unicode::NormalForm::kNfc);
      all_.reset();
      break;
    case Kind::kSpm:
    case Kind::kUnigram:
      FSV_TRY(finish_sentencepiece());
      break;
    case Kind::kBert:
      pipeline_.normalizer = create_bert_normalizer({.strip_accents = data_.lowercase, .lowercase = data_.lowercase});
      pipeline_.pre_tokenizer = create_bert_pre_tokenizer();
      pipeline_.leading_spaces_dropped = 1;
      break;
  }
  pipeline_.token_bytes =
      bytes_ != nullptr ? std::move(bytes_) : std::shared_ptr<StringTable>(vocabulary_, &vocabulary_->texts);
  pipeline_.vocabulary = std::move(vocabulary_);
  pipeline_.bos_id = data_.bos_id;
  pipeline_.eos_id = data_.eos_id;
  pipeline_.eot_id = data_.eot_id;
  if (data_.add_bos && data_.bos_id >= 0) pipeline_.prefix_ids.push_back(data_.bos_id);
  if (data_.add_eos && data_.eos_id >= 0) pipeline_.suffix_ids.push_back(data_.eos_id);
  builder_.emplace(std::move(pipeline_));
  go_to(Stage::kPipeline);
  return {};
}

GgufTokenizerLoader::GgufTokenizerLoader(GgufTokenizerData data) : work_(std::make_unique<Work>(std::move(data))) {}
GgufTokenizerLoader::~GgufTokenizerLoader() = default;
Result<bool> GgufTokenizerLoader::step() { return work_->step(); }
std::unique_ptr<Tokenizer> GgufTokenizerLoader::take() { return work_->take(); }

Result<std::unique_ptr<Tokenizer>> create_tokenizer(GgufTokenizerData data) {
  GgufTokenizerLoader loader(std::move(data));
  for (bool done = false; !done;) {
    FSV_ASSIGN(done, loader.step());
  }
  return loader.take();
}

}  // namespace fastserve
