// From tokenizer.json to a pipeline, in stages over the vocabulary's tokens and merges.
#include "text/hf_tokenizer.h"

#include <optional>
#include <utility>

#include "base/format.h"
#include "text/byte_level.h"
#include "text/hf_components.h"
#include "text/hf_decoder.h"
#include "text/hf_file.h"
#include "text/hf_model.h"
#include "text/hf_vocabulary.h"
#include "text/staged_load.h"
#include "text/unigram_model.h"
#include "text/wordpiece_model.h"

namespace fastserve {
namespace {

enum class HfStage {
  kStart,
  kVocabulary,
  kComponents,
  kTexts,
  kSlots,
  kIndex,
  kModel,
  kMerges,
  kFinish,
  kPipeline,
  kDone
};

// Offsets into a table are 32 bits.
Status append_bytes(StringTable& table, std::string_view bytes) {
  table.push_back(bytes);
  if (table.size_bytes() <= INT32_MAX) return {};
  return Status(StatusCode::kCorrupt, "tokenizer.json: tokens of 2 GiB");
}

Status named(const Status& status) { return Status(status.code(), format("tokenizer.json: ", status.message())); }

}  // namespace

class HfTokenizerLoader::Work : StagedLoad<HfStage> {
 public:
  explicit Work(HfSettings settings) : settings_(std::move(settings)) {}

  Status push(std::string_view piece) { return reader_.push(piece); }
  Result<bool> step();
  std::unique_ptr<Tokenizer> take() { return std::move(tokenizer_); }

 private:
  Status run_stage();
  Status start();
  Status read_vocabulary();
  Status read_components();
  Status add_texts();
  void make_slots();
  Status add_to_index();
  Status start_model();
  Status step_model();
  void start_merges();
  void start_unigram();
  Status add_merges();
  Status finish();

  HfNode part(std::string_view name) const { return {file_.rest.root()[name], std::string(name)}; }
  int32_t find_id(std::string_view name) const;
  int32_t find_special(std::string_view name, int32_t id) const;
  Status read_affixes();
  void set_end_ids();

  HfSettings settings_;
  HfFileReader reader_;
  HfFile file_;

  std::optional<HfVocabulary> tokens_;
  std::optional<HfDecoder> decoder_;
  HfModelOptions model_;
  bool on_bytes_ = false;      // byte-level BPE that looks at the bytes instead of the characters for them
  bool shares_bytes_ = false;  // what tokens stand for is what the model matches
  std::shared_ptr<Vocabulary> vocabulary_ = std::make_shared<Vocabulary>();
  std::shared_ptr<StringTable> bytes_ = std::make_shared<StringTable>(), first_bytes_;
  std::optional<TokenIndex> all_;
  std::optional<BpeBuilder> bpe_;
  std::optional<UnigramBuilder> unigram_;
  Pipeline pipeline_;
  std::optional<PipelineBuilder> builder_;
  std::unique_ptr<Tokenizer> tokenizer_;
};

Result<bool> HfTokenizerLoader::Work::step() {
  FSV_TRY(run_stage());
  return stage_ == Stage::kDone;
}

Status HfTokenizerLoader::Work::run_stage() {
  switch (stage_) {
    case Stage::kStart:
      return start();
    case Stage::kVocabulary:
      return read_vocabulary();
    case Stage::kComponents:
      return read_components();
    case Stage::kTexts:
      return add_texts();
    case Stage::kSlots:
      make_slots();
      return {};
    case Stage::kIndex:
      return add_to_index();
    case Stage::kModel:
      return step_model();
    case Stage::kMerges:
      return add_merges();
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

Status HfTokenizerLoader::Work::start() {
  auto file = reader_.finish();
  if (!file.ok()) return named(file.status());
  file_ = file.take();
  FSV_ASSIGN(model_, read_hf_model_options(part("model"), file_));
  FSV_ASSIGN(tokens_, HfVocabulary::begin(file_));
  go_to(Stage::kVocabulary);
  return {};
}

Status HfTokenizerLoader::Work::read_vocabulary() {
  FSV_ASSIGN(const bool done, tokens_->step());
  if (done) go_to(Stage::kComponents);
  return {};
}

Status HfTokenizerLoader::Work::read_components() {
  FSV_ASSIGN(decoder_, HfDecoder::read(part("decoder")));
  const HfNode pre_tokenizer = part("pre_tokenizer");
  on_bytes_ = model_.type == HfModelType::kBpe && ends_in_byte_level(pre_tokenizer) && !model_.byte_fallback &&
              model_.continuing_prefix.empty() && model_.end_suffix.empty();
  shares_bytes_ = on_bytes_ && decoder_->is_byte_level();
  FSV_ASSIGN(pipeline_.pre_tokenizer, read_hf_pre_tokenizer(pre_tokenizer, on_bytes_));
  FSV_ASSIGN(pipeline_.normalizer, read_hf_normalizer(part("normalizer")));
  vocabulary_->texts.reserve(tokens_->size(), file_.tokens.size_bytes());
  if (!shares_bytes_) bytes_->reserve(tokens_->size(), file_.tokens.size_bytes());
  if (decoder_->regards_first()) first_bytes_ = std::make_shared<StringTable>();
  pipeline_.attributes.reserve(tokens_->size());
  go_to(Stage::kTexts);
  return {};
}

Status HfTokenizerLoader::Work::add_texts() {
  return advance(tokens_->size(), Stage::kSlots, [&](size_t id) -> Status {
    const std::string_view name = tokens_->name(id);
    std::optional<std::string> decoded;
    if (on_bytes_ && !tokens_->is_special(id)) decoded = byte_level_decode(name);
    vocabulary_->texts.push_back(decoded.has_value() ? std::string_view(*decoded) : name);
    if (!shares_bytes_) {
      FSV_ASSIGN(const std::string bytes, decoder_->bytes_of(name, false));
      FSV_TRY(append_bytes(*bytes_, name.empty() ? std::string_view() : bytes));
    }
    if (first_bytes_ != nullptr) {
      FSV_ASSIGN(const std::string bytes, decoder_->bytes_of(name, true));
      FSV_TRY(append_bytes(*first_bytes_, bytes));
    }
    uint32_t attributes = 0;
    if (tokens_->is_special(id)) {
      attributes |= kTokenControl;
    } else if (tokens_->is_added(id)) {
      attributes |= kTokenUserDefined;
    }
    if (model_.byte_fallback && byte_of_token(name) >= 0) attributes |= kTokenByte;
    pipeline_.attributes.push_back(attributes);
    return {};
  });
}

// The tables that texts are looked up in, a part of their slots at a time.
void HfTokenizerLoader::Work::make_slots() {
  if (next_++ == 0) {
    vocabulary_->index = TokenIndex(&vocabulary_->texts);
    all_.emplace(&vocabulary_->texts);
  }
  if (vocabulary_->index.fill_part() && all_->fill_part()) go_to(Stage::kIndex);
}

// What the model may match: no special tokens, and where it looks at bytes nothing that is not made of them.
Status HfTokenizerLoader::Work::add_to_index() {
  return advance(tokens_->size(), Stage::kModel, [&](size_t item) -> Status {
    const size_t id = tokens_->size() - 1 - item;  // of equal texts the last counts
    if (tokens_->name(id).empty()) return {};
    all_->insert(static_cast<int32_t>(id));
    const bool plain = tokens_->is_in_model(id) && !tokens_->is_special(id) &&
                       (!on_bytes_ || byte_level_decode(tokens_->name(id)).has_value());
    if (plain) vocabulary_->index.insert(static_cast<int32_t>(id));
    return {};
  });
}

int32_t HfTokenizerLoader::Work::find_id(std::string_view name) const {
  if (name.empty()) return -1;
  for (const AddedToken& token : tokens_->added()) {
    if (token.text == name) return token.id;
  }
  if (!on_bytes_) return all_->find(name);
  const std::optional<std::string> bytes = byte_level_decode(name);
  return all_->find(bytes.has_value() ? std::string_view(*bytes) : name);
}

int32_t HfTokenizerLoader::Work::find_special(std::string_view name, int32_t id) const {
  const int32_t found = name.empty() ? id : find_id(name);
  return found >= 0 && static_cast<size_t>(found) < tokens_->size() ? found : -1;
}

Status HfTokenizerLoader::Work::start_model() {
  pipeline_.bos_id = find_special(settings_.bos_token, settings_.bos_id);
  pipeline_.eos_id = find_special(settings_.eos_token, settings_.eos_id);
  if (model_.type != HfModelType::kUnigram) model_.unknown_id = find_id(model_.unknown_token);
  if (model_.type == HfModelType::kWordPiece && model_.unknown_id < 0) {
    return part("model").corrupt(format("the unknown token '", model_.unknown_token, "' is not in the vocabulary"));
  }
  if (model_.unknown_id >= 0) pipeline_.attributes[static_cast<size_t>(model_.unknown_id)] |= kTokenUnknown;
  // No text becomes a token that begins or ends texts, even where a file has one of them for the unknown.
  if (model_.unknown_id == pipeline_.eos_id || model_.unknown_id == pipeline_.bos_id) model_.unknown_id = -1;
  switch (model_.type) {
    case HfModelType::kBpe:
      start_merges();
      break;
    case HfModelType::kUnigram:
      start_unigram();
      break;
    case HfModelType::kWordPiece:
      pipeline_.model = create_wordpiece_model(
          vocabulary_, {model_.unknown_id, model_.continuing_prefix, model_.word_characters_max});
      break;
    case HfModelType::kWordLevel:
      pipeline_.model = create_word_level_model(vocabulary_, model_.unknown_id);
      break;
  }
  return {};
}

Status HfTokenizerLoader::Work::step_model() {
  if (next_++ == 0) return start_model();
  if (bpe_.has_value()) {
    if (bpe_->fill_part()) go_to(Stage::kMerges);
    return {};
  }
  if (unigram_.has_value()) {
    if (!unigram_->step()) return {};
    pipeline_.model = unigram_->finish();
  }
  go_to(Stage::kFinish);
  return {};
}

void HfTokenizerLoader::Work::start_merges() {
  BpeOptions options;
  options.byte_level = on_bytes_;
  options.ignore_merges = model_.ignore_merges;
  options.unknown_id = model_.unknown_id;
  options.fuse_unknown = model_.fuse_unknown;
  options.byte_fallback = model_.byte_fallback;
  options.continuing_prefix = model_.continuing_prefix;
  options.end_suffix = model_.end_suffix;
  if (model_.byte_fallback) options.byte_ids = find_byte_tokens(*all_);
  for (size_t byte = 0; on_bytes_ && byte < options.byte_ids.size(); ++byte) {
    const char text = static_cast<char>(byte);
    options.byte_ids[byte] = vocabulary_->index.find({&text, 1});
  }
  bpe_.emplace(vocabulary_, file_.merges.size() / 2, std::move(options));
}

void HfTokenizerLoader::Work::start_unigram() {
  UnigramOptions options{model_.unknown_id, {}, false};
  if (model_.byte_fallback) {
    const std::array<int32_t, 256> ids = find_byte_tokens(*all_);
    options.byte_ids.assign(ids.begin(), ids.end());
  }
  unigram_.emplace(vocabulary_, tokens_->scores(), std::move(options));
}

Status HfTokenizerLoader::Work::add_merges() {
  FSV_TRY(advance(file_.merges.size() / 2, Stage::kFinish, [&](size_t merge) {
    return bpe_->add(file_.merges[2 * merge], file_.merges[2 * merge + 1], *all_);
  }));
  if (stage_ == Stage::kFinish) pipeline_.model = bpe_->finish();
  return {};
}

// The post-processor's ids, then what tokenizer_config.json says of BOS and EOS.
Status HfTokenizerLoader::Work::read_affixes() {
  FSV_ASSIGN(HfAffixes affixes, read_hf_post_processor(part("post_processor")));
  for (const std::vector<int32_t>* ids : {&affixes.prefix, &affixes.suffix}) {
    for (const int32_t id : *ids) {
      if (static_cast<size_t>(id) >= tokens_->size()) {
        return part("post_processor").corrupt(format("adds token ", id, ", the vocabulary has ", tokens_->size()));
      }
    }
  }
  const bool begins = !affixes.prefix.empty() && affixes.prefix.front() == pipeline_.bos_id;
  const bool ends = !affixes.suffix.empty() && affixes.suffix.back() == pipeline_.eos_id;
  if (settings_.add_bos > 0 && !begins && pipeline_.bos_id >= 0) {
    affixes.prefix.insert(affixes.prefix.begin(), pipeline_.bos_id);
  }
  if (settings_.add_bos < 0 && begins) affixes.prefix.erase(affixes.prefix.begin());
  if (settings_.add_eos > 0 && !ends && pipeline_.eos_id >= 0) affixes.suffix.push_back(pipeline_.eos_id);
  if (settings_.add_eos < 0 && ends) affixes.suffix.pop_back();
  pipeline_.prefix_ids = std::move(affixes.prefix);
  pipeline_.suffix_ids = std::move(affixes.suffix);
  return {};
}

void HfTokenizerLoader::Work::set_end_ids() {
  for (const int32_t id : settings_.end_ids) {
    if (id >= 0 && static_cast<size_t>(id) < tokens_->size()) pipeline_.end_ids.push_back(id);
  }
}

Status HfTokenizerLoader::Work::finish() {
  FSV_TRY(read_affixes());
  set_end_ids();
  std::string_view kind = on_bytes_ ? "byte-level BPE" : hf_model_name(model_.type);
  pipeline_.name = format("tokenizer.json/", kind);
  pipeline_.leading_spaces_dropped = decoder_->leading_spaces_dropped();
  pipeline_.drops_last_space = decoder_->drops_last_space();
  pipeline_.added = tokens_->take_added();
  pipeline_.token_bytes =
      shares_bytes_ ? std::shared_ptr<const StringTable>(vocabulary_, &vocabulary_->texts) : std::move(bytes_);
  pipeline_.first_token_bytes = std::move(first_bytes_);
  pipeline_.vocabulary = std::move(vocabulary_);
  builder_.emplace(std::move(pipeline_));
  go_to(Stage::kPipeline);
  return {};
}

HfTokenizerLoader::HfTokenizerLoader(HfSettings settings) : work_(std::make_unique<Work>(std::move(settings))) {}
HfTokenizerLoader::~HfTokenizerLoader() = default;
Result<bool> HfTokenizerLoader::step() { return work_->step(); }
std::unique_ptr<Tokenizer> HfTokenizerLoader::take() { return work_->take(); }

Status HfTokenizerLoader::push(std::string_view piece) {
  Status status = work_->push(piece);
  return status.ok() ? status : named(status);
}

Result<std::unique_ptr<Tokenizer>> create_tokenizer_from_json(std::string_view tokenizer_json, HfSettings settings) {
  HfTokenizerLoader loader(std::move(settings));
  FSV_TRY(loader.push(tokenizer_json));
  for (bool done = false; !done;) {
    FSV_ASSIGN(done, loader.step());
  }
  return loader.take();
}

}  // namespace fastserve
