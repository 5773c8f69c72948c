// What a submit call brings in C structs, checked and copied.
#pragma once
#include <span>
#include <vector>

#include "engine/engine.h"
#include "fastserve.h"

namespace fastserve::api {

struct Prompt {
  const char* text;
  size_t text_size;
  const int32_t* token_ids;
  size_t token_count;
  uint32_t flags;  // FSV_TOKENIZE_*
};

Result<std::vector<int32_t>> prompt_tokens(const LoadedModel& model, const Prompt& prompt);

// What a request is for: a session brings its own model and the right to change it.
struct RequestTarget {
  std::shared_ptr<Engine> engine;
  std::shared_ptr<LoadedModel> model;
  std::shared_ptr<SessionTurn> turn;  // null: without a session
};
Result<RequestTarget> request_target(fsv_engine* engine, fsv_model* model, fsv_session* session);
// The whole text to compute: the config's prompt, after the session's text where it is to follow it.
Result<std::vector<int32_t>> generate_prompt(const RequestTarget& target, const fsv_generate_config& config);
// All but the prompt.
Result<RequestParameters> generate_parameters(const LoadedModel& model, const fsv_generate_config& config);

// FSV_CONTEXT_KEEP_AUTO becomes a number: what the prompt shares with `opening`, the tokens of its system messages (may
// be empty).
void settle_context_keep(const LoadedModel& model, std::span<const int32_t> opening, RequestParameters& parameters);

}  // namespace fastserve::api
