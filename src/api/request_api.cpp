// Requests: generate, score, cancel, status.
#include <cmath>

#include "api/chat_arguments.h"
#include "api/handles.h"
#include "api/sampling_arguments.h"
#include "api/shim.h"

namespace {

using namespace fastserve;       // NOLINT(google-build-using-namespace)
using namespace fastserve::api;  // NOLINT(google-build-using-namespace)

constexpr uint32_t kTokenizeFlags = FSV_TOKENIZE_ADD_BOS | FSV_TOKENIZE_PARSE_SPECIAL;
constexpr size_t kPromptBytesMax = size_t{1} << 30;

struct Prompt {
  const char* text;
  size_t text_size;
  const int32_t* token_ids;
  size_t token_count;
  uint32_t flags;
};

Result<std::vector<int32_t>> prompt_tokens(const LoadedModel& model, const Prompt& prompt) {
  if ((prompt.flags & ~kTokenizeFlags) != 0) return invalid("unknown bits in config.flags");
  const bool has_text = prompt.text != nullptr;
  if (has_text == (prompt.token_ids != nullptr)) {
    return invalid(has_text ? "both config.text and config.token_ids are given" : "the prompt is empty");
  }
  std::vector<int32_t> ids;
  if (has_text) {
    FSV_ASSIGN(const std::string_view text, text_argument(prompt.text, prompt.text_size, "config.text"));
    if (text.size() > kPromptBytesMax) return invalid(format("config.text has ", text.size(), " bytes"));
    const EncodeOptions options{(prompt.flags & FSV_TOKENIZE_ADD_BOS) != 0,
                                (prompt.flags & FSV_TOKENIZE_PARSE_SPECIAL) != 0};
    FSV_TRY(model.tokenizer->encode(text, options, ids));
  } else {
    if (prompt.token_count > kPromptBytesMax) return invalid(format("config.token_count is ", prompt.token_count));
    ids.assign(prompt.token_ids, prompt.token_ids + prompt.token_count);
  }
  if (ids.empty()) return invalid("the prompt is empty");
  return ids;
}

Status copy_stops(const fsv_generate_config& config, RequestParameters& parameters) {
  constexpr size_t kStopStringsMax = 16, kStopBytesMax = 256, kStopTokensMax = 64;
  if (config.stop_string_count > kStopStringsMax) {
    return invalid(format("config.stop_string_count is ", config.stop_string_count, ", at most ", kStopStringsMax));
  }
  if (config.stop_strings == nullptr && config.stop_string_count > 0) return invalid("config.stop_strings is NULL");
  for (size_t i = 0; i < config.stop_string_count; ++i) {
    const fsv_string& stop = config.stop_strings[i];
    FSV_ASSIGN(const std::string_view text, text_argument(stop.data, stop.size, "config.stop_strings"));
    if (text.empty() || text.size() > kStopBytesMax) {
      return invalid(format("stop string ", i, " has ", text.size(), " bytes, 1 to ", kStopBytesMax, " are possible"));
    }
    if (utf8_valid_prefix(text) != text.size()) return invalid(format("stop string ", i, " is not UTF-8"));
    parameters.stop_strings.emplace_back(text);
  }
  if (config.stop_token_count > kStopTokensMax) {
    return invalid(format("config.stop_token_count is ", config.stop_token_count, ", at most ", kStopTokensMax));
  }
  if (config.stop_token_ids == nullptr && config.stop_token_count > 0) return invalid("config.stop_token_ids is NULL");
  parameters.stop_token_ids.assign(config.stop_token_ids, config.stop_token_ids + config.stop_token_count);
  return {};
}

// All but the prompt.
Result<RequestParameters> generate_parameters(const LoadedModel& model, const fsv_generate_config& config) {
  constexpr uint32_t kLogprobsMax = 20;
  RequestParameters parameters;
  if (config.max_tokens == 0) return invalid("config.max_tokens is 0");
  if (config.min_tokens > config.max_tokens) return invalid("config.min_tokens is more than config.max_tokens");
  if (config.logprob_count > kLogprobsMax) {
    return invalid(format("config.logprob_count is ", config.logprob_count, ", at most ", kLogprobsMax));
  }
  parameters.max_tokens = std::min<uint32_t>(config.max_tokens, INT32_MAX);
  parameters.min_tokens = std::min<uint32_t>(config.min_tokens, INT32_MAX);
  parameters.ignore_eos = config.ignore_eos != 0;
  parameters.report_logprobs = config.report_logprobs != 0 || config.logprob_count > 0;
  parameters.logprob_count = config.logprob_count;
  parameters.user_data = config.user_data;
  FSV_ASSIGN(parameters.sampling, sampling_parameters(model, config.sampling));
  FSV_TRY(copy_stops(config, parameters));
  return parameters;
}

}  // namespace

extern "C" {

void fsv_generate_config_init(fsv_generate_config* config) {
  init_struct(config);
  if (config == nullptr) return;
  config->flags = FSV_TOKENIZE_ADD_BOS;
  config->max_tokens = 256;
  fsv_sampling_init(&config->sampling);
}

void fsv_score_config_init(fsv_score_config* config) {
  init_struct(config);
  if (config != nullptr) config->flags = FSV_TOKENIZE_ADD_BOS;
}

void fsv_request_info_init(fsv_request_info* info) { init_struct(info); }

fsv_status fsv_submit_generate(fsv_engine* engine, fsv_model* model, const fsv_generate_config* config,
                               fsv_request* request, fsv_error* error) {
  return shim(error, [&]() -> Status {
    if (request == nullptr) return invalid("request is NULL");
    *request = 0;
    FSV_ASSIGN(const std::shared_ptr<Engine> target, find_engine(engine));
    FSV_ASSIGN(std::shared_ptr<LoadedModel> loaded, find_model(model));
    fsv_generate_config defaults;
    fsv_generate_config_init(&defaults);
    FSV_ASSIGN(const fsv_generate_config checked, config_argument(config, defaults, "config"));
    FSV_ASSIGN(RequestParameters parameters, generate_parameters(*loaded, checked));
    FSV_ASSIGN(parameters.prompt, prompt_tokens(*loaded, {checked.text, checked.text_size, checked.token_ids,
                                                          checked.token_count, checked.flags}));
    FSV_ASSIGN(*request, target->submit(std::move(loaded), std::move(parameters)));
    return {};
  });
}

fsv_status fsv_submit_chat(fsv_engine* engine, fsv_model* model, const fsv_chat* chat,
                           const fsv_generate_config* config, fsv_request* request, fsv_error* error) {
  return shim(error, [&]() -> Status {
    if (request == nullptr) return invalid("request is NULL");
    *request = 0;
    FSV_ASSIGN(const std::shared_ptr<Engine> target, find_engine(engine));
    FSV_ASSIGN(std::shared_ptr<LoadedModel> loaded, find_model(model));
    fsv_generate_config defaults;
    fsv_generate_config_init(&defaults);
    FSV_ASSIGN(const fsv_generate_config checked, config_argument(config, defaults, "config"));
    if (checked.text != nullptr || checked.token_ids != nullptr) {
      return invalid("config.text and config.token_ids must be NULL: the conversation is the prompt");
    }
    FSV_ASSIGN(RequestParameters parameters, generate_parameters(*loaded, checked));
    FSV_ASSIGN(const std::vector<ChatSpan> spans, render_chat(*loaded, chat));
    FSV_TRY(encode_spans(*loaded->tokenizer, spans, parameters.prompt));
    if (parameters.prompt.empty()) return invalid("the conversation renders to nothing");
    FSV_ASSIGN(*request, target->submit(std::move(loaded), std::move(parameters)));
    return {};
  });
}

fsv_status fsv_submit_score(fsv_engine* engine, fsv_model* model, const fsv_score_config* config, fsv_request* request,
                            fsv_error* error) {
  return shim(error, [&]() -> Status {
    if (request == nullptr) return invalid("request is NULL");
    *request = 0;
    FSV_ASSIGN(const std::shared_ptr<Engine> target, find_engine(engine));
    FSV_ASSIGN(std::shared_ptr<LoadedModel> loaded, find_model(model));
    fsv_score_config defaults;
    fsv_score_config_init(&defaults);
    FSV_ASSIGN(const fsv_score_config checked, config_argument(config, defaults, "config"));
    RequestParameters parameters;
    parameters.kind = RequestKind::kScore;
    parameters.full_logits = (checked.flags & FSV_SCORE_FULL_LOGITS) != 0;
    parameters.user_data = checked.user_data;
    const uint32_t flags = checked.flags & ~static_cast<uint32_t>(FSV_SCORE_FULL_LOGITS);
    FSV_ASSIGN(parameters.prompt, prompt_tokens(*loaded, {checked.text, checked.text_size, checked.token_ids,
                                                          checked.token_count, flags}));
    if (parameters.prompt.size() < 2) return invalid("a score needs at least 2 tokens");
    FSV_ASSIGN(*request, target->submit(std::move(loaded), std::move(parameters)));
    return {};
  });
}

fsv_status fsv_request_cancel(fsv_engine* engine, fsv_request request, fsv_error* error) {
  return shim(error, [&]() -> Status {
    FSV_ASSIGN(const std::shared_ptr<Engine> target, find_engine(engine));
    return target->cancel(request);
  });
}

fsv_status fsv_request_get_info(fsv_engine* engine, fsv_request request, fsv_request_info* info, fsv_error* error) {
  return shim(error, [&]() -> Status {
    FSV_ASSIGN(const std::shared_ptr<Engine> target, find_engine(engine));
    FSV_ASSIGN(const RequestInfo now, target->request_info(request));
    fsv_request_info filled{};
    filled.state = static_cast<uint32_t>(now.state);
    filled.prompt_token_count = now.prompt_count;
    filled.prefilled_token_count = now.prefilled_count;
    filled.generated_token_count = now.generated_count;
    filled.finish_reason = static_cast<fsv_finish_reason>(now.finish_reason);
    return fill_info(info, filled, "info");
  });
}

}  // extern "C"
