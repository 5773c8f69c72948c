// Requests: generate, chat, score, cancel, status.
#include "api/chat_arguments.h"
#include "api/generate_arguments.h"
#include "api/handles.h"
#include "api/shim.h"

namespace {

using namespace fastserve;       // NOLINT(google-build-using-namespace)
using namespace fastserve::api;  // NOLINT(google-build-using-namespace)

fsv_session* session_of(const fsv_generate_config& config) { return config.session; }
fsv_session* session_of(const fsv_score_config&) { return nullptr; }

// What all submits share; `prepare` makes the request's parameters of a checked config.
template <typename Config, typename Prepare>
fsv_status submit(fsv_engine* engine, fsv_model* model, const Config* config, void (*init)(Config*, uint32_t),
                  fsv_request* request, fsv_error* error, Prepare&& prepare) {
  return shim(error, [&]() -> Status {
    if (request == nullptr) return invalid("request is NULL");
    *request = 0;
    FSV_ASSIGN(const Config checked, config_argument(config, init, "config"));
    FSV_ASSIGN(const RequestTarget target, request_target(engine, model, session_of(checked)));
    FSV_ASSIGN(RequestParameters parameters, prepare(target, checked));
    parameters.turn = target.turn;
    FSV_ASSIGN(*request, target.engine->submit(target.model, std::move(parameters)));
    return {};
  });
}

Result<RequestParameters> prepare_generate(const RequestTarget& target, const fsv_generate_config& config) {
  FSV_ASSIGN(RequestParameters parameters, generate_parameters(*target.model, config));
  FSV_ASSIGN(parameters.prompt, generate_prompt(target, config));
  settle_context_keep(*target.model, {}, parameters);
  return parameters;
}

Result<RequestParameters> prepare_chat(const LoadedModel& model, const fsv_chat* chat,
                                       const fsv_generate_config& config) {
  if (config.text != nullptr || config.token_ids != nullptr) {
    return invalid("config.text and config.token_ids must be NULL: the conversation is the prompt");
  }
  FSV_ASSIGN(RequestParameters parameters, generate_parameters(model, config));
  FSV_ASSIGN(const ChatPrompt prompt, render_chat(model, chat));
  FSV_TRY(encode_spans(*model.tokenizer, prompt.whole, parameters.prompt));
  if (parameters.prompt.empty()) return invalid("the conversation renders to nothing");
  std::vector<int32_t> opening;
  FSV_TRY(encode_spans(*model.tokenizer, prompt.opening, opening));
  settle_context_keep(model, opening, parameters);
  return parameters;
}

Result<RequestParameters> prepare_score(const RequestTarget& target, const fsv_score_config& config) {
  RequestParameters parameters;
  parameters.kind = RequestKind::kScore;
  parameters.full_logits = (config.flags & FSV_SCORE_FULL_LOGITS) != 0;
  parameters.user_data = config.user_data;
  const uint32_t flags = config.flags & ~static_cast<uint32_t>(FSV_SCORE_FULL_LOGITS);
  FSV_ASSIGN(parameters.prompt, prompt_tokens(*target.model, {config.text, config.text_size, config.token_ids,
                                                              config.token_count, flags}));
  if (parameters.prompt.size() < 2) return invalid("a score needs at least 2 tokens");
  return parameters;
}

}  // namespace

extern "C" {

void fsv_score_config_init(fsv_score_config* config, uint32_t struct_size) {
  init_struct(config, struct_size, [](fsv_score_config& defaults) { defaults.flags = FSV_TOKENIZE_ADD_BOS; });
}

void fsv_request_info_init(fsv_request_info* info, uint32_t struct_size) { init_struct(info, struct_size); }

fsv_status fsv_submit_generate(fsv_engine* engine, fsv_model* model, const fsv_generate_config* config,
                               fsv_request* request, fsv_error* error) {
  return submit(engine, model, config, fsv_generate_config_init, request, error, prepare_generate);
}

fsv_status fsv_submit_chat(fsv_engine* engine, fsv_model* model, const fsv_chat* chat,
                           const fsv_generate_config* config, fsv_request* request, fsv_error* error) {
  return submit(engine, model, config, fsv_generate_config_init, request, error,
                [chat](const RequestTarget& target, const fsv_generate_config& checked) {
                  return prepare_chat(*target.model, chat, checked);
                });
}

fsv_status fsv_submit_score(fsv_engine* engine, fsv_model* model, const fsv_score_config* config, fsv_request* request,
                            fsv_error* error) {
  return submit(engine, model, config, fsv_score_config_init, request, error, prepare_score);
}

fsv_status fsv_request_cancel(fsv_engine* engine, fsv_request request, fsv_error* error) {
  return shim(error, [&]() -> Status {
    FSV_ASSIGN(const std::shared_ptr<Engine> target, find_engine(engine));
    return target->cancel(request);
  });
}

fsv_status fsv_request_set_priority(fsv_engine* engine, fsv_request request, int32_t priority, fsv_error* error) {
  return shim(error, [&]() -> Status {
    FSV_ASSIGN(const std::shared_ptr<Engine> target, find_engine(engine));
    return target->set_request_priority(request, priority);
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
    filled.kv_bytes = static_cast<uint64_t>(now.kv_bytes);
    return fill_info(info, filled, "info");
  });
}

}  // extern "C"
