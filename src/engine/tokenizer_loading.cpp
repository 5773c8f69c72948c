// Reads the keys "tokenizer.ggml.*" and fills in what files leave out, as their tokenizer model implies; or the files
// of a folder.
#include "engine/tokenizer_loading.h"

#include <algorithm>
#include <span>
#include <string_view>
#include <utility>

#include "base/format.h"

namespace fastserve {
namespace {

Status wrong_type(std::string_view key, std::string_view expected) {
  return Status(StatusCode::kCorrupt, format("metadata '", key, "' is not an array of ", expected));
}

bool is_integer(MetaType type) { return type == MetaType::kInt || type == MetaType::kUint; }

// Borrowed from the source; null where there is none.
Status find_strings(const ModelSource& source, std::string_view key, const StringTable*& out) {
  const MetaValue* value = source.find(key);
  if (value == nullptr) return {};
  if (value->type != MetaType::kArray || value->element_type != MetaType::kString) return wrong_type(key, "strings");
  out = &value->strings;
  return {};
}

Status find_integers(const ModelSource& source, std::string_view key, std::span<const int64_t>& out) {
  const MetaValue* value = source.find(key);
  if (value == nullptr) return {};
  if (value->type != MetaType::kArray || !is_integer(value->element_type)) return wrong_type(key, "integers");
  out = value->integers;
  return {};
}

Status read_bytes(const ModelSource& source, std::string_view key, std::string& out) {
  std::span<const int64_t> bytes;
  FSV_TRY(find_integers(source, key, bytes));
  out.reserve(bytes.size());
  for (const int64_t byte : bytes) out.push_back(static_cast<char>(byte));
  return {};
}

// Scores are floats, or integers in a few files, which `converted` comes to hold.
Status find_scores(const ModelSource& source, std::vector<double>& converted, std::span<const double>& out) {
  constexpr std::string_view kKey = "tokenizer.ggml.scores";
  const MetaValue* value = source.find(kKey);
  if (value == nullptr) return {};
  if (value->type != MetaType::kArray) return wrong_type(kKey, "numbers");
  if (value->element_type == MetaType::kFloat) {
    out = value->floats;
  } else if (is_integer(value->element_type)) {
    converted.assign(value->integers.begin(), value->integers.end());
    out = converted;
  } else {
    return wrong_type(kKey, "numbers");
  }
  return {};
}

// All ones stand for "none" in some files; a missing key leaves `id` as it is.
Status read_id(const ModelSource& source, std::string_view key, int32_t& id) {
  const MetaValue* value = source.find(key);
  if (value == nullptr) return {};
  const bool none = (value->type == MetaType::kInt && value->int_value == -1) ||
                    (value->type == MetaType::kUint && value->uint_value == UINT32_MAX);
  if (none) {
    id = -1;
    return {};
  }
  auto found = source.get_uint(key);
  if (!found.ok()) return found.status();
  if (*found > INT32_MAX) return Status(StatusCode::kCorrupt, format("metadata '", key, "' is out of range: ", *found));
  id = static_cast<int32_t>(*found);
  return {};
}

bool begins_with_bos(std::string_view pre) {
  for (const std::string_view name : {"llama3", "llama-v3", "llama-bpe", "falcon3", "falcon-h1", "pixtral", "midm-2.0",
                                      "lfm2", "tekken", "chameleon"}) {
    if (pre == name) return true;
  }
  return false;
}

// What a tokenizer model means where its file says nothing.
void set_defaults(GgufTokenizerData& data) {
  if (data.model == "llama") {
    data.bos_id = 1;
    data.eos_id = 2;
    data.unknown_id = 0;
    data.add_bos = true;
  } else if (data.model == "bert") {
    data.bos_id = 101;
    data.eos_id = 102;
    data.unknown_id = 100;
    data.padding_id = 0;
    data.add_bos = data.add_eos = true;
    data.add_space_prefix = false;
  } else if (data.model == "t5") {
    data.eos_id = 1;
    data.unknown_id = 2;
    data.padding_id = 0;
    data.add_eos = true;
  } else {
    data.add_bos = begins_with_bos(data.pre);
    data.add_space_prefix = false;
  }
  // A default that the vocabulary is too small for is no id at all.
  const size_t token_count = data.tokens != nullptr ? data.tokens->size() : 0;
  for (int32_t* id : {&data.bos_id, &data.eos_id, &data.unknown_id, &data.padding_id}) {
    if (*id >= 0 && static_cast<size_t>(*id) >= token_count) *id = -1;
  }
}

Status read_ids(const ModelSource& source, GgufTokenizerData& data) {
  FSV_TRY(read_id(source, "tokenizer.ggml.bos_token_id", data.bos_id));
  FSV_TRY(read_id(source, "tokenizer.ggml.eos_token_id", data.eos_id));
  FSV_TRY(read_id(source, "tokenizer.ggml.eot_token_id", data.eot_id));
  FSV_TRY(read_id(source, "tokenizer.ggml.unknown_token_id", data.unknown_id));
  return read_id(source, "tokenizer.ggml.padding_token_id", data.padding_id);
}

Result<GgufTokenizerData> read_tokenizer_data(const ModelSource& source, std::vector<double>& scores) {
  GgufTokenizerData data;
  FSV_ASSIGN(data.model, source.get_string("tokenizer.ggml.model"));
  FSV_ASSIGN(data.pre, source.string_or("tokenizer.ggml.pre", ""));
  FSV_TRY(find_strings(source, "tokenizer.ggml.tokens", data.tokens));
  FSV_TRY(find_strings(source, "tokenizer.ggml.merges", data.merges));
  FSV_TRY(find_scores(source, scores, data.scores));
  FSV_TRY(find_integers(source, "tokenizer.ggml.token_type", data.types));
  set_defaults(data);
  FSV_TRY(read_ids(source, data));
  FSV_ASSIGN(data.add_bos, source.bool_or("tokenizer.ggml.add_bos_token", data.add_bos));
  FSV_ASSIGN(data.add_eos, source.bool_or("tokenizer.ggml.add_eos_token", data.add_eos));
  FSV_ASSIGN(data.remove_extra_spaces,
             source.bool_or("tokenizer.ggml.remove_extra_whitespaces", data.remove_extra_spaces));
  FSV_ASSIGN(data.lowercase, source.bool_or("tokenizer.ggml.normalizer.lowercase", data.lowercase));
  FSV_TRY(read_bytes(source, "tokenizer.ggml.precompiled_charsmap", data.character_map));
  FSV_ASSIGN(data.add_space_prefix, source.bool_or("tokenizer.ggml.add_space_prefix", data.add_space_prefix));
  return data;
}

// A file beside the weights; empty where there is none.
Result<std::string> read_optional(const ModelSource& source, std::string_view name) {
  auto text = source.read_side_file(name);
  if (!text.ok() && text.status().code() == StatusCode::kNotFound) return std::string();
  return text;
}

// What config.json said stands in the metadata.
Result<HfSettings> read_settings(const ModelSource& source, const std::string& generation_config) {
  HfSettingsFiles files;
  FSV_ASSIGN(files.tokenizer_config, read_optional(source, "tokenizer_config.json"));
  FSV_ASSIGN(files.special_tokens_map, read_optional(source, "special_tokens_map.json"));
  files.generation_config = generation_config;
  FSV_TRY(read_id(source, "tokenizer.ggml.bos_token_id", files.bos_id));
  FSV_TRY(read_id(source, "tokenizer.ggml.eos_token_id", files.eos_id));
  if (const MetaValue* ids = source.find("fastserve.eos_token_ids"); ids != nullptr) {
    for (const int64_t id : ids->integers) {
      if (id >= 0 && id <= INT32_MAX) files.end_ids.push_back(static_cast<int32_t>(id));
    }
  }
  return read_hf_settings(files);
}

int64_t embedding_rows(const ModelSource& source) {
  const TensorInfo* embedding = source.find_tensor("token_embd.weight");
  return embedding != nullptr ? embedding->dimensions[1] : -1;
}

// The embedding matrix of a folder may be padded; one of a GGUF file is not, as conversions pad the tokens too.
Status fit_to_model(const ModelSource& source, bool may_be_padded, Tokenizer& tokenizer) {
  const int64_t rows = embedding_rows(source), tokens = tokenizer.vocabulary_size();
  if (rows < 0 || rows == tokens) return {};
  if (may_be_padded && rows > tokens && rows <= INT32_MAX) {
    tokenizer.pad_vocabulary(static_cast<int32_t>(rows));
    return {};
  }
  return Status(StatusCode::kCorrupt,
                format("the tokenizer has ", tokens, " tokens, token_embd.weight has ", rows, " rows"));
}

}  // namespace

TokenizerLoad::TokenizerLoad(const ModelSource& source) : source_(source) {}
TokenizerLoad::~TokenizerLoad() = default;

Result<bool> TokenizerLoad::step() {
  if (!std::exchange(is_started_, true)) {
    FSV_TRY(start());
    return false;
  }
  if (file_ != nullptr) {
    FSV_TRY(push_piece());
    return false;
  }
  return step_loader();
}

Status TokenizerLoad::start() {
  if (source_.find("tokenizer.ggml.model") == nullptr) return start_folder();
  FSV_ASSIGN(GgufTokenizerData data, read_tokenizer_data(source_, scores_));
  from_gguf_ = std::make_unique<GgufTokenizerLoader>(std::move(data));
  return {};
}

Status TokenizerLoad::start_folder() {
  auto file = source_.open_side_file("tokenizer.json");
  if (!file.ok() && file.status().code() == StatusCode::kNotFound) {
    return Status(StatusCode::kNotFound,
                  "the model comes without a tokenizer ('tokenizer.ggml.model' in a GGUF file, "
                  "tokenizer.json in a folder)");
  }
  if (!file.ok()) return file.status();
  file_ = file.take();
  if (file_->size_bytes() == 0) return Status(StatusCode::kCorrupt, "tokenizer.json: is empty");
  FSV_ASSIGN(generation_config_, read_optional(source_, "generation_config.json"));
  FSV_ASSIGN(HfSettings settings, read_settings(source_, generation_config_));
  from_folder_ = std::make_unique<HfTokenizerLoader>(std::move(settings));
  return {};
}

Status TokenizerLoad::push_piece() {
  piece_.resize(static_cast<size_t>(std::min<uint64_t>(kPieceBytes, file_->size_bytes() - position_)));
  FSV_TRY(file_->read_at(position_, piece_.data(), piece_.size()));
  FSV_TRY(from_folder_->push(piece_));
  position_ += piece_.size();
  if (position_ < file_->size_bytes()) return {};
  file_.reset();
  piece_ = std::string();
  return {};
}

Result<bool> TokenizerLoad::step_loader() {
  const bool is_folder = from_folder_ != nullptr;
  FSV_ASSIGN(const bool done, is_folder ? from_folder_->step() : from_gguf_->step());
  if (!done) return false;
  tokenizer_ = is_folder ? from_folder_->take() : from_gguf_->take();
  from_folder_.reset();
  from_gguf_.reset();
  FSV_TRY(fit_to_model(source_, is_folder, *tokenizer_));
  return true;
}

std::unique_ptr<Tokenizer> TokenizerLoad::take() { return std::move(tokenizer_); }

Result<std::unique_ptr<Tokenizer>> load_tokenizer(const ModelSource& source) {
  TokenizerLoad load(source);
  for (bool done = false; !done;) {
    FSV_ASSIGN(done, load.step());
  }
  return load.take();
}

Result<std::string> load_chat_template_source(const ModelSource& source) {
  FSV_ASSIGN(const std::string_view text, source.string_or("tokenizer.chat_template", ""));
  return std::string(text);
}

}  // namespace fastserve
