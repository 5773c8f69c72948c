// The measured part of `fastserve bench`: prefill and decode of several equal requests at once.
#ifndef FASTSERVE_CLI_BENCH_LOAD_H
#define FASTSERVE_CLI_BENCH_LOAD_H

#include <cstdint>
#include <vector>

#include "engine_session.h"

namespace fastserve::cli {

// Tokens per second of `streams` prompts of `prompt_tokens` submitted together, each until its first token.
double measure_prefill(EngineSession& session, uint32_t streams, uint32_t prompt_tokens);

// Tokens per second of `streams` answers of `decode_tokens`, each from a prompt of one token. The first token of an
// answer is not counted: it ends the prefill.
double measure_decode(EngineSession& session, uint32_t streams, uint32_t decode_tokens);

double median_of(std::vector<double> samples);

}  // namespace fastserve::cli

#endif  // FASTSERVE_CLI_BENCH_LOAD_H
