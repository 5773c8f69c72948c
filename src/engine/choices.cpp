// The sequences of one request: admission as a whole, one prompt for all.
#include "engine/choices.h"

namespace fastserve {

KvSharing sharing_of(const Request& request) {
  KvSharing sharing;
  sharing.tokens = request.prompt_count();
  sharing.may_rewind = request.parameters.context_slides;
  return sharing;
}

bool admit_sequences(Request& request, int32_t step_rows_max) {
  KvCache& kv = request.model->kv;
  KvSharing sharing = sharing_of(request);
  sharing.tokens = 0;
  for (Sequence& sequence : request.sequences) {
    if (kv.admit(sequence.kv, request.kv_tokens_max(), step_rows_max, sharing)) {
      sharing = sharing_of(request);
      continue;
    }
    for (Sequence* earlier = request.sequences.data(); earlier != &sequence; ++earlier) kv.release(earlier->kv);
    return false;
  }
  return true;
}

void share_prompt(Request& request) {
  if (request.beams != nullptr) return;  // forked when the search takes its first step
  Sequence& first = request.first();
  for (Sequence& sequence : request.sequences) {
    if (!sequence.waits_for_prompt) continue;
    sequence.computed = request.model->kv.fork(first.kv, sequence.kv, first.computed);
    sequence.waits_for_prompt = false;
  }
}

FinishReason finish_reason_of(const Request& request) {
  const bool has_length = std::any_of(request.sequences.begin(), request.sequences.end(), [](const Sequence& sequence) {
    return sequence.finish_reason == FinishReason::kLength;
  });
  return has_length ? FinishReason::kLength : FinishReason::kStop;
}

}  // namespace fastserve
