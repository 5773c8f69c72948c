// What a submit call brings in C structs, checked and copied.
#pragma once
#include <vector>

#include "engine/request.h"
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
// All but the prompt.
Result<RequestParameters> generate_parameters(const LoadedModel& model, const fsv_generate_config& config);

}  // namespace fastserve::api
