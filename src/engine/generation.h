// What happens to a request when a token was drawn: stop rules, text, and what is handed to the host.
#pragma once
#include <span>

#include "engine/request.h"

namespace fastserve {

// Ids that must not be drawn now (end-of-generation tokens before min_tokens).
std::span<const int32_t> banned_tokens(const Request& request);

// Appends a drawn token to the request and its output; returns why the request ends, or kNone.
// `top` holds the alternatives asked for. May throw bad_alloc.
FinishReason accept_token(Request& request, const SampleResult& drawn, std::span<const TokenLogprob> top);

// Flushes text that was held back for stop strings or incomplete code points.
void flush_text(Request& request);

}  // namespace fastserve
