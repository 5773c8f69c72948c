// Text: tokens and chat templates.
#include "api/chat_arguments.h"
#include "api/handles.h"
#include "api/shim.h"

namespace {

using namespace fastserve;       // NOLINT(google-build-using-namespace)
using namespace fastserve::api;  // NOLINT(google-build-using-namespace)

static_assert(static_cast<uint32_t>(kTokenControl) == FSV_TOKEN_CONTROL);
static_assert(static_cast<uint32_t>(kTokenByte) == FSV_TOKEN_BYTE);
static_assert(static_cast<uint32_t>(kTokenUserDefined) == FSV_TOKEN_USER_DEFINED);
static_assert(static_cast<uint32_t>(kTokenUnknown) == FSV_TOKEN_UNKNOWN);
static_assert(static_cast<uint32_t>(kTokenEndOfGeneration) == FSV_TOKEN_END_OF_GENERATION);

Status check_ids(const Tokenizer& tokenizer, const int32_t* ids, size_t count) {
  if (ids == nullptr && count > 0) return invalid("ids is NULL");
  for (size_t i = 0; i < count; ++i) {
    if (ids[i] < 0 || ids[i] >= tokenizer.vocabulary_size()) {
      return invalid(
          format("token id ", ids[i], " at index ", i, " is outside the vocabulary of ", tokenizer.vocabulary_size()));
    }
  }
  return {};
}

Status tokenize(fsv_model* model, const char* text, size_t text_size, uint32_t flags, std::vector<int32_t>& ids,
                std::vector<TextRange>* ranges) {
  FSV_ASSIGN(const std::shared_ptr<LoadedModel> target, find_model(model));
  FSV_ASSIGN(const std::string_view checked, text_argument(text, text_size, "text"));
  if ((flags & ~static_cast<uint32_t>(FSV_TOKENIZE_ADD_BOS | FSV_TOKENIZE_PARSE_SPECIAL)) != 0) {
    return invalid("unknown bits in flags");
  }
  const EncodeOptions options{(flags & FSV_TOKENIZE_ADD_BOS) != 0, (flags & FSV_TOKENIZE_PARSE_SPECIAL) != 0};
  return target->tokenizer->encode_ranges(checked, options, ids, ranges);
}

}  // namespace

extern "C" {

fsv_status fsv_tokenize(fsv_model* model, const char* text, size_t text_size, uint32_t flags, int32_t* ids,
                        size_t capacity, size_t* count, fsv_error* error) {
  return shim(error, [&]() -> Status {
    std::vector<int32_t> encoded;
    FSV_TRY(tokenize(model, text, text_size, flags, encoded, nullptr));
    return fill_array(encoded.data(), encoded.size(), ids, capacity, count);
  });
}

fsv_status fsv_tokenize_ranges(fsv_model* model, const char* text, size_t text_size, uint32_t flags, int32_t* ids,
                               fsv_text_range* ranges, size_t capacity, size_t* count, fsv_error* error) {
  return shim(error, [&]() -> Status {
    std::vector<int32_t> encoded;
    std::vector<TextRange> found;
    FSV_TRY(tokenize(model, text, text_size, flags, encoded, &found));
    std::vector<fsv_text_range> converted;
    converted.reserve(found.size());
    for (const TextRange& range : found) converted.push_back({range.start, range.end});
    FSV_TRY(fill_array(encoded.data(), encoded.size(), ids, capacity, count));
    return fill_array(converted.data(), converted.size(), ranges, capacity, count);
  });
}

fsv_status fsv_detokenize(fsv_model* model, const int32_t* ids, size_t id_count, uint32_t flags, char* buffer,
                          size_t capacity, size_t* size, fsv_error* error) {
  return shim(error, [&]() -> Status {
    FSV_ASSIGN(const std::shared_ptr<LoadedModel> target, find_model(model));
    FSV_TRY(check_ids(*target->tokenizer, ids, id_count));
    if ((flags & ~static_cast<uint32_t>(FSV_DETOKENIZE_SKIP_SPECIAL)) != 0) return invalid("unknown bits in flags");
    const std::string text = decode(*target->tokenizer, {ids, id_count}, (flags & FSV_DETOKENIZE_SKIP_SPECIAL) != 0);
    return fill_array(text.data(), text.size(), buffer, capacity, size);
  });
}

fsv_status fsv_token_get(fsv_model* model, int32_t id, char* buffer, size_t capacity, size_t* size,
                         uint32_t* attributes, fsv_error* error) {
  return shim(error, [&]() -> Status {
    FSV_ASSIGN(const std::shared_ptr<LoadedModel> target, find_model(model));
    FSV_TRY(check_ids(*target->tokenizer, &id, 1));
    if (attributes != nullptr) *attributes = target->tokenizer->attributes(id);
    const std::string_view bytes = target->tokenizer->token_bytes(id);
    return fill_array(bytes.data(), bytes.size(), buffer, capacity, size);
  });
}

fsv_status fsv_chat_render(fsv_model* model, const fsv_chat_message* messages, size_t message_count, uint32_t flags,
                           char* buffer, size_t capacity, size_t* size, fsv_error* error) {
  return shim(error, [&]() -> Status {
    FSV_ASSIGN(const std::shared_ptr<LoadedModel> target, find_model(model));
    FSV_ASSIGN(const std::vector<ChatSpan> spans, render_messages(*target, messages, message_count, flags));
    const std::string text = spans_to_text(spans);
    return fill_array(text.data(), text.size(), buffer, capacity, size);
  });
}

fsv_status fsv_chat_tokenize(fsv_model* model, const fsv_chat_message* messages, size_t message_count, uint32_t flags,
                             int32_t* ids, size_t capacity, size_t* count, fsv_error* error) {
  return shim(error, [&]() -> Status {
    FSV_ASSIGN(const std::shared_ptr<LoadedModel> target, find_model(model));
    FSV_ASSIGN(const std::vector<ChatSpan> spans, render_messages(*target, messages, message_count, flags));
    std::vector<int32_t> encoded;
    FSV_TRY(encode_spans(*target->tokenizer, spans, encoded));
    return fill_array(encoded.data(), encoded.size(), ids, capacity, count);
  });
}

}  // extern "C"
