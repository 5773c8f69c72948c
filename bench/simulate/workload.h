// Workloads of the simulator: what is asked for, and when.
#pragma once
#include <cstdint>
#include <random>
#include <string>
#include <vector>

#include "base/status.h"

namespace fastserve::simulate {

struct SimulatedRequest {
  int64_t arrival_ns = 0;
  int32_t prompt_tokens = 1;
  int32_t output_tokens = 1;
  int32_t max_tokens = 1;  // what was asked for, and what memory is promised for; not less than output_tokens
  int32_t priority = 0;
  uint64_t tenant = 0;
  int64_t first_token_deadline_ns = 0;  // after the arrival; 0: none
  int64_t token_deadline_ns = 0;        // between tokens; 0: none
  int64_t cancel_ns = 0;                // when its sender loses interest; 0: never
};

struct Lengths {
  int32_t prompt_tokens = 1, output_tokens = 1;
};

// Where lengths come from: a trace's rows in an order of chance, or a mix.
class LengthSource {
 public:
  // `TIMESTAMP,ContextTokens,GeneratedTokens` and one row a request; only the lengths are used.
  static Result<LengthSource> from_trace(const std::string& path);
  // heavy: 95% answers of 8 to 40 tokens, 5% of 768 to 1280; prompts of 16 to 48 tokens: what a turn adds to a
  // conversation whose session keeps the rest. burst: the same.
  // even: prompts as in heavy, answers of 48 to 96 tokens.
  static Result<LengthSource> from_mix(const std::string& name);

  Lengths draw(std::mt19937_64& random) const;
  int32_t output_tokens_max() const { return output_tokens_max_; }

 private:
  std::vector<Lengths> rows_;
  bool is_heavy_ = false;
  int32_t output_tokens_max_ = 0;
};

// `count` requests that arrive at random, `rate` of them in a second on average; rate 0: all at once.
std::vector<SimulatedRequest> draw_requests(const LengthSource& source, size_t count, double rate, uint64_t seed);

// Steady arrivals with a burst: from `begin_s` on for `seconds` the rate is `factor` times as high. One in five of all
// requests is interactive (priority 1), the others are background work.
struct Burst {
  double begin_s = 20, seconds = 10, factor = 10;
};
std::vector<SimulatedRequest> draw_burst(const LengthSource& source, size_t count, double rate, const Burst& burst,
                                         uint64_t seed);

}  // namespace fastserve::simulate
