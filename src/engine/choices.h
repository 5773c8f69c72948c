// Choices: the sequences of one request. They are admitted together; the first one computes the prompt, the others
// wait, take its keys and values as they are (shared, copied only where they are written) and draw their first token
// from the same logits. From then on each is computed, ends and tells on its own. Engine thread, under the engine's
// mutex.
#pragma once
#include "engine/request.h"

namespace fastserve {

// What sequences after the first can count on at admission: blocks of the prompt, unless a slide may take them back.
KvSharing sharing_of(const Request& request);
// Promises KV to every sequence, or to none: false. May throw bad_alloc; releasing all sequences is then the caller's.
bool admit_sequences(Request& request, int32_t step_rows_max);
// The prompt of the first sequence is in the cache: the others have it from here on. One that cannot share computes it.
void share_prompt(Request& request);
// Of a request whose sequences have all ended: LENGTH if one of them ended so, else STOP.
FinishReason finish_reason_of(const Request& request);

}  // namespace fastserve
