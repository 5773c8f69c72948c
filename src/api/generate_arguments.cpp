// Prompts, limits and stop rules of a generation.
#include "api/generate_arguments.h"

#include <cmath>

#include "api/handles.h"
#include "api/sampling_arguments.h"
#include "api/shim.h"
#include "engine/event_hub.h"

namespace fastserve::api {
namespace {

constexpr uint32_t kTokenizeFlags = FSV_TOKENIZE_ADD_BOS | FSV_TOKENIZE_PARSE_SPECIAL;
constexpr size_t kPromptBytesMax = size_t{1} << 30;

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

Status copy_beam_search(const fsv_generate_config& config, RequestParameters& parameters) {
  if (config.beam_search == nullptr) return {};
  FSV_ASSIGN(const fsv_beam_search given, config_argument(config.beam_search, fsv_beam_search_init, "beam_search"));
  if (given.beam_count == 0 || given.beam_count > FSV_CHOICES_MAX) {
    return invalid(format("beam_search.beam_count is ", given.beam_count, ", 1 to ", FSV_CHOICES_MAX, " are possible"));
  }
  if (given.beam_count < config.choice_count) {
    return invalid(
        format("beam_search.beam_count is ", given.beam_count, ", config.choice_count is ", config.choice_count));
  }
  if (!(std::abs(given.length_penalty) <= 100)) {
    return invalid(format("beam_search.length_penalty is ", given.length_penalty, ", -100 to 100 are possible"));
  }
  if (given.early_stopping > FSV_EARLY_STOPPING_NEVER) {
    return invalid(format("beam_search.early_stopping is ", given.early_stopping));
  }
  if (config.stop_string_count > 0) return invalid("a beam search knows no stop_strings");
  if (config.logprob_count > 0) return invalid("a beam search reports no alternatives: logprob_count must be 0");
  if (config.context_full != FSV_CONTEXT_FINISH) return invalid("a beam search cannot slide its context");
  if (config.session != nullptr) return invalid("a beam search cannot use a session");
  parameters.beams = {given.beam_count, given.length_penalty, static_cast<EarlyStopping>(given.early_stopping)};
  return {};
}

}  // namespace

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

Result<RequestTarget> request_target(fsv_engine* engine, fsv_model* model, fsv_session* session) {
  RequestTarget target;
  FSV_ASSIGN(target.engine, find_engine(engine));
  if (model != nullptr || session == nullptr) {
    FSV_ASSIGN(target.model, find_model(model));
  }
  if (session == nullptr) return target;
  FSV_ASSIGN(const std::shared_ptr<SessionObject> object, find_session(session));
  if (object->engine != target.engine) return invalid("the session belongs to another engine");
  if (model != nullptr && object->session->model != target.model) {
    return invalid("the session belongs to another model");
  }
  FSV_ASSIGN(target.turn, target.engine->sessions().begin_turn(object->session));
  target.model = target.turn->model();
  return target;
}

Result<std::vector<int32_t>> generate_prompt(const RequestTarget& target, const fsv_generate_config& config) {
  Prompt prompt{config.text, config.text_size, config.token_ids, config.token_count, config.flags};
  const bool follows = target.turn != nullptr && config.session_mode == FSV_SESSION_APPEND;
  if (!follows || target.turn->tokens().empty()) return prompt_tokens(*target.model, prompt);
  std::vector<int32_t> ids = target.turn->tokens();
  if (config.text == nullptr && config.token_ids == nullptr) return ids;
  prompt.flags &= ~static_cast<uint32_t>(FSV_TOKENIZE_ADD_BOS);
  FSV_ASSIGN(const std::vector<int32_t> added, prompt_tokens(*target.model, prompt));
  ids.insert(ids.end(), added.begin(), added.end());
  return ids;
}

Result<RequestParameters> generate_parameters(const LoadedModel& model, const fsv_generate_config& config) {
  constexpr uint32_t kLogprobsMax = 20;
  RequestParameters parameters;
  if (config.max_tokens == 0 && config.session == nullptr) return invalid("config.max_tokens is 0");
  if (config.session_mode > FSV_SESSION_REPLACE) {
    return invalid(format("config.session_mode is ", config.session_mode));
  }
  parameters.kind = config.max_tokens == 0 ? RequestKind::kPrefill : RequestKind::kGenerate;
  if (config.min_tokens > config.max_tokens) return invalid("config.min_tokens is more than config.max_tokens");
  if (config.logprob_count > kLogprobsMax) {
    return invalid(format("config.logprob_count is ", config.logprob_count, ", at most ", kLogprobsMax));
  }
  if (config.choice_count == 0 || config.choice_count > FSV_CHOICES_MAX) {
    return invalid(format("config.choice_count is ", config.choice_count, ", 1 to ", FSV_CHOICES_MAX, " are possible"));
  }
  if (config.session != nullptr && config.choice_count != 1) {
    return invalid(format("config.choice_count is ", config.choice_count, ", a session takes one answer"));
  }
  parameters.choice_count = config.choice_count;
  if (config.context_full > FSV_CONTEXT_SLIDE) return invalid(format("config.context_full is ", config.context_full));
  if (config.speculation > FSV_SPECULATION_OFF) return invalid(format("config.speculation is ", config.speculation));
  parameters.speculates = config.speculation == FSV_SPECULATION_AUTO;
  parameters.context_slides = config.context_full == FSV_CONTEXT_SLIDE;
  parameters.context_keep = config.context_keep_tokens;
  parameters.context_drop = std::min<uint32_t>(config.context_drop_tokens, INT32_MAX);
  parameters.max_tokens = std::min<uint32_t>(config.max_tokens, INT32_MAX);
  parameters.min_tokens = std::min<uint32_t>(config.min_tokens, INT32_MAX);
  parameters.ignore_eos = config.ignore_eos != 0;
  parameters.report_logprobs = config.report_logprobs != 0 || config.logprob_count > 0;
  parameters.logprob_count = config.logprob_count;
  parameters.user_data = config.user_data;
  parameters.priority = config.priority;
  parameters.tenant = config.tenant;
  parameters.first_token_deadline_us = std::min(config.first_token_deadline_us, kWaitMaxUs);
  parameters.token_deadline_us = std::min(config.token_deadline_us, kWaitMaxUs);
  parameters.queue_timeout_us = std::min(config.queue_timeout_us, kWaitMaxUs);
  FSV_ASSIGN(parameters.sampling, sampling_parameters(model, config.sampling));
  FSV_TRY(copy_stops(config, parameters));
  FSV_TRY(copy_beam_search(config, parameters));
  return parameters;
}

void settle_context_keep(const LoadedModel& model, std::span<const int32_t> opening, RequestParameters& parameters) {
  if (parameters.context_keep != FSV_CONTEXT_KEEP_AUTO) return;
  const std::vector<int32_t>& prompt = parameters.prompt;
  const auto kept = std::mismatch(prompt.begin(), prompt.end(), opening.begin(), opening.end()).first - prompt.begin();
  const bool has_bos = !prompt.empty() && prompt.front() == model.tokenizer->bos_id();
  parameters.context_keep = std::max<uint32_t>(static_cast<uint32_t>(kept), has_bos ? 1 : 0);
}

}  // namespace fastserve::api

extern "C" void fsv_beam_search_init(fsv_beam_search* beam_search, uint32_t struct_size) {
  fastserve::api::init_struct(beam_search, struct_size, [](fsv_beam_search& defaults) {
    defaults.beam_count = 4;
    defaults.length_penalty = 1;
  });
}

extern "C" void fsv_generate_config_init(fsv_generate_config* config, uint32_t struct_size) {
  fastserve::api::init_struct(config, struct_size, [](fsv_generate_config& defaults) {
    defaults.flags = FSV_TOKENIZE_ADD_BOS;
    defaults.max_tokens = 256;
    defaults.choice_count = 1;
    defaults.context_keep_tokens = FSV_CONTEXT_KEEP_AUTO;
  });
}
