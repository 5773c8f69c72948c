// What happens to a sequence when a token was drawn: stop rules, text, and what is handed to the host.
#pragma once
#include <span>

#include "engine/request.h"

namespace fastserve {

// Ids that must not be drawn now (end-of-generation tokens before min_tokens), `drawn` tokens being drawn but not yet
// accepted.
std::span<const int32_t> banned_tokens(const Sequence& sequence, int32_t drawn = 0);

// Appends a drawn token to the sequence and its output; returns why the sequence ends, or kNone.
// `top` holds the alternatives asked for. A full context slides where the request wants that. May throw bad_alloc.
FinishReason accept_token(Sequence& sequence, const SampleResult& drawn, std::span<const TokenLogprob> top);

// Flushes text that was held back for stop strings or incomplete code points.
void flush_text(Sequence& sequence);

}  // namespace fastserve
