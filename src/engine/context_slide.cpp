// A full context, made room in.
#include "engine/context_slide.h"

#include "base/format.h"

namespace fastserve {

Status check_context_slide(const Request& request) {
  const RequestParameters& parameters = request.parameters;
  const int32_t context = request.model->context_tokens;
  // The last token stays too, and one goes.
  if (!parameters.context_slides || int64_t{parameters.context_keep} + 2 <= context) return {};
  return Status(StatusCode::kInvalidArgument, format("config.context_keep_tokens is ", parameters.context_keep,
                                                     ", the context of ", context, " tokens must hold 2 more"));
}

void slide_context(Sequence& sequence) {
  const RequestParameters& parameters = sequence.request->parameters;
  const auto keep = static_cast<int32_t>(parameters.context_keep);
  const int32_t others = sequence.token_count() - keep;
  const int32_t wanted = parameters.context_drop > 0 ? static_cast<int32_t>(parameters.context_drop) : others / 2;
  const int32_t drop = std::clamp(wanted, 1, others - 1);
  const auto first = sequence.tokens.begin() + keep;
  sequence.tokens.erase(first, first + drop);
  sequence.computed = sequence.request->model->kv.truncate(sequence.kv, std::min(keep, sequence.computed));
  if (sequence.sampler.needs_history()) sequence.sampler.replace_history(sequence.tokens);
}

}  // namespace fastserve
