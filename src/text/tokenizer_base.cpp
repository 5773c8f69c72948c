// What every tokenizer shares, and the choice among them.
#include "text/tokenizer_base.h"

#include <algorithm>
#include <iterator>

#include "base/format.h"
#include "text/unicode.h"

namespace fastserve {
namespace {

// Texts of tokens that end an answer whatever the metadata says, when they are control or user-defined tokens.
constexpr std::string_view kEndTexts[] = {
    "</s>",
    "<eos>",
    "<EOT>",
    "_<EOT>",
    "[EOT]",
    "[EOS]",
    "<|im_end|>",
    "<|end|>",
    "<|eot_id|>",
    "<|eom_id|>",
    "<|endoftext|>",
    "<|return|>",
    "<|call|>",
    "<|calls|>",
    "<|flush|>",
    "<turn|>",
    "[e~[",
    "<|end_of_text|>",
    "<end_of_turn>",
    "<end_of_utterance>",
    "<|tool_response>",
    "<｜end▁of▁sentence｜>",
};

// Models whose answers consist of parts use "<|end|>" between the parts.
bool ends_parts(const Tokenizer& tokenizer) {
  const auto has = [&](std::string_view text) { return tokenizer.find_token(text) >= 0; };
  return (has("<|return|>") && has("<|call|>")) || (has("<|calls|>") && has("<|flush|>"));
}

bool lies_within(std::span<const TextRange> ranges, size_t start, size_t end) {
  // The last range that begins at or before `start`.
  const auto after = std::upper_bound(ranges.begin(), ranges.end(), start,
                                      [](size_t value, const TextRange& range) { return value < range.start; });
  return after != ranges.begin() && end <= after[-1].end;
}

Status check_id(std::string_view what, int32_t id, size_t count) {
  if (id < 0 || static_cast<size_t>(id) < count) return {};
  return Status(StatusCode::kCorrupt,
                format("tokenizer: ", what, " id ", id, " is out of range, the vocabulary has ", count, " tokens"));
}

}  // namespace

Status check_tokenizer_data(const TokenizerData& data) {
  const size_t count = data.tokens.size();
  if (count == 0) return Status(StatusCode::kCorrupt, "tokenizer: the vocabulary is empty");
  if (count > INT32_MAX / 2) return Status(StatusCode::kCorrupt, format("tokenizer: too many tokens (", count, ")"));
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

Status TokenizerBase::initialise(const TokenizerData& data) {
  bos_id_ = data.bos_id;
  eos_id_ = data.eos_id;
  add_bos_ = data.add_bos && bos_id_ >= 0;
  add_eos_ = data.add_eos && eos_id_ >= 0;
  const int32_t count = vocabulary_size();
  attributes_.resize(token_bytes_.size());
  for (int32_t id = 0; id < count; ++id) {
    uint32_t& attributes = attributes_[static_cast<size_t>(id)];
    switch (type_of(data, static_cast<size_t>(id))) {
      case TokenType::kControl:
        attributes = kTokenControl;
        break;
      case TokenType::kUnknown:
        attributes = kTokenControl | kTokenUnknown;
        break;
      case TokenType::kUserDefined:
        attributes = kTokenUserDefined;
        break;
      case TokenType::kByte:
        attributes = kTokenByte;
        break;
      default:
        attributes = 0;
    }
  }
  // Plain tokens come first, so that a text which also is a special token's finds the plain one.
  index_ = TokenIndex(&token_bytes_);
  for (const bool special : {false, true}) {
    for (int32_t id = 0; id < count; ++id) {
      if (is_special(id) == special) index_.insert(id);
    }
  }
  for (int32_t id = 0; id < count; ++id) {
    if (is_special(id)) special_tokens_.insert(token_bytes(id), id);
  }
  collect_end_of_generation(data);
  return {};
}

void TokenizerBase::collect_end_of_generation(const TokenizerData& data) {
  const auto mark = [&](int32_t id) {
    if (id >= 0) attributes_[static_cast<size_t>(id)] |= kTokenEndOfGeneration;
  };
  const bool end_is_between = ends_parts(*this);
  for (int32_t id = 0; id < vocabulary_size(); ++id) {
    if (!is_special(id)) continue;
    const std::string_view text = token_bytes(id);
    if (end_is_between && text == "<|end|>") continue;
    if (std::find(std::begin(kEndTexts), std::end(kEndTexts), text) != std::end(kEndTexts)) mark(id);
  }
  mark(data.eos_id);
  mark(data.eot_id);
  for (int32_t id = 0; id < vocabulary_size(); ++id) {
    if (ends_generation(id)) end_of_generation_ids_.push_back(id);
  }
}

Status TokenizerBase::encode(std::string_view text, const EncodeOptions& options, std::vector<int32_t>& ids) const {
  if (const size_t valid = unicode::valid_prefix_bytes(text); valid != text.size()) {
    return Status(StatusCode::kInvalidArgument, format("text is not valid UTF-8 at byte ", valid));
  }
  if (text.size() > INT32_MAX) return Status(StatusCode::kInvalidArgument, "text is longer than 2 GiB");
  const size_t size_before = ids.size();
  if (options.add_bos_eos && add_bos_) ids.push_back(bos_id_);
  const auto accept = [&](const SpecialTokens::Match& match) {
    if (options.parse_special || (attributes(match.id) & kTokenUserDefined) != 0) return true;
    return lies_within(options.special_ranges, match.start, match.start + match.size_bytes);
  };
  for (size_t position = 0; position < text.size();) {
    const SpecialTokens::Match match = special_tokens_.find(text, position, accept);
    const size_t stretch_end = match.id >= 0 ? match.start : text.size();
    if (stretch_end > position) {
      Status status = encode_stretch(text.substr(position, stretch_end - position), position > 0, ids);
      if (!status.ok()) {
        ids.resize(size_before);
        return status;
      }
    }
    if (match.id >= 0) ids.push_back(match.id);
    position = stretch_end + match.size_bytes;
  }
  if (options.add_bos_eos && add_eos_) ids.push_back(eos_id_);
  return {};
}

Result<std::unique_ptr<Tokenizer>> create_tokenizer(TokenizerData data) {
  FSV_TRY(check_tokenizer_data(data));
  if (data.model == "gpt2") return create_byte_bpe_tokenizer(std::move(data));
  return Status(StatusCode::kUnsupported, format("unknown tokenizer model '", data.model, "'"));
}

}  // namespace fastserve
