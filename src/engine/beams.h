// The beams of a request: its sequences, each a slot that the search fills, forks and leaves. Their keys and values are
// shared by copy-on-write. Engine thread, under the engine's mutex.
#pragma once
#include "engine/request.h"

namespace fastserve {

// Gives a request its search; its sequences exist. All but the first wait.
void begin_beams(Request& request);
// Keeps what a sequence would continue with. Once every running beam has told, the search takes its step: false when
// that was the last one. May throw bad_alloc.
bool advance_beams(Sequence& sequence, std::span<const TokenLogprob> candidates);
// The best texts become the output of the first sequences, best first. May throw bad_alloc.
void settle_beams(Request& request);
// LENGTH for a text that is wanted and was cut off, else STOP.
FinishReason beam_finish_reason(const Sequence& sequence);

}  // namespace fastserve
