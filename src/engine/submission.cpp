// Checks in the order of what they cost; then sequences with everything reserved.
#include "engine/submission.h"

#include "base/format.h"
#include "engine/beams.h"
#include "engine/choices.h"
#include "engine/context_slide.h"

namespace fastserve {
namespace {

Status check_prompt(const Request& request) {
  const auto prompt = static_cast<int64_t>(request.parameters.prompt.size());
  if (prompt > request.model->context_tokens) {
    return Status(StatusCode::kContextTooLong,
                  format("the prompt has ", prompt, " tokens, the context holds ", request.model->context_tokens));
  }
  const int32_t vocabulary = request.model->def->shape().vocabulary_size;
  for (size_t i = 0; i < request.parameters.prompt.size(); ++i) {
    const int32_t id = request.parameters.prompt[i];
    if (id < 0 || id >= vocabulary) {
      return Status(StatusCode::kInvalidArgument,
                    format("token id ", id, " at index ", i, " is outside the vocabulary of ", vocabulary));
    }
  }
  return {};
}

Status check_sequences(const Request& request, const EngineOptions& options) {
  const uint32_t choices = request.sequence_count();
  if (choices <= options.max_sequences) return {};
  return Status(StatusCode::kInvalidArgument,
                format("the request wants ", choices, " sequences at once, the engine runs ", options.max_sequences));
}

// Everything a steady decode step would otherwise have to allocate.
void reserve_sequence(Sequence& sequence, const EngineOptions& options) {
  const Request& request = *sequence.request;
  const size_t total = static_cast<size_t>(request.kv_tokens_max()) + 1;
  sequence.tokens.reserve(total);
  sequence.tokens = request.parameters.prompt;
  constexpr size_t kTextBytesPerToken = 16;
  constexpr size_t kHeldBytes = 1024;
  const size_t events = std::min<size_t>(options.max_pending_events, total) + 1;
  for (OutputBuffer* buffer : {&sequence.pending, &sequence.delivered}) {
    buffer->token_ids.reserve(events);
    buffer->text.reserve(events * kTextBytesPerToken);
    if (request.parameters.report_logprobs) buffer->logprobs.reserve(events);
    buffer->top_logprobs.reserve(events * request.parameters.logprob_count);
  }
  sequence.held_text.reserve(kHeldBytes);
  sequence.draft.reserve(Drafter::kDraftMax);
}

Status create_sequences(Request& request, const EngineOptions& options) {
  request.sequences = std::vector<Sequence>(request.sequence_count());
  SamplingParameters sampling = request.parameters.sampling;
  for (uint32_t choice = 0; choice < request.sequence_count(); ++choice) {
    Sequence& sequence = request.sequences[choice];
    sequence.request = &request;
    sequence.choice = choice;
    sequence.waits_for_prompt = choice > 0;
    sequence.decoder = StreamDecoder(request.model->tokenizer.get(), true);
    sampling.stream = request.parameters.sampling.stream + choice;
    sequence.sampler = Sampler(sampling);
    reserve_sequence(sequence, options);
    if (!sequence.sampler.needs_history()) continue;
    FSV_TRY(sequence.sampler.reserve_history(request.kv_tokens_max() + 1));
    FSV_TRY(sequence.sampler.accept_prompt(request.parameters.prompt));
  }
  return {};
}

}  // namespace

Status prepare_request(Request& request, const EngineOptions& options) {
  FSV_TRY(check_prompt(request));
  FSV_TRY(check_context_slide(request));
  FSV_TRY(check_sequences(request, options));
  FSV_TRY(check_sampling(request.parameters.sampling, request.model->def->shape().vocabulary_size));
  FSV_TRY(create_sequences(request, options));
  if (request.parameters.beams.beam_count > 0) begin_beams(request);
  return {};
}

}  // namespace fastserve
