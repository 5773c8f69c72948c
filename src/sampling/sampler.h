// Sampler: the next token from one row of logits. Deterministic in (seed, position, logits): nothing else enters.
//
// Order: banned ids, top_k, top_p, min_p, temperature, draw. As in llama.cpp's default chain, the sets are cut on
// the model's own probabilities (temperature 1), so that a higher temperature does not let more tokens in;
// transformers applies temperature first.
#pragma once
#include <cstdint>
#include <span>
#include <vector>

#include "base/status.h"
#include "sampling/logits_scan.h"

namespace fastserve {

struct SamplingParameters {
  int32_t top_k = 0;         // <= 0: all
  float temperature = 1.0f;  // 0: greedy
  float top_p = 1.0f;        // >= 1: all; 0: the most likely one
  float min_p = 0.0f;        // 0: none
  uint64_t seed = 0;
};
// Finite, in range; the message names the field.
Status check_sampling(const SamplingParameters& parameters);

struct TokenLogprob {
  int32_t token_id = 0;
  float logprob = 0;
};

struct SampleResult {
  int32_t token_id = 0;
  float logprob = 0;  // of token_id, natural log of softmax over the raw logits; only if asked
};

// Scratch for vocabularies; sized once (reserve), so that a steady decode step allocates nothing.
class SamplerScratch {
 public:
  Status reserve(int32_t vocabulary_size);

  std::vector<Candidate> candidates;
  std::vector<float> row;         // the logits with banned ones at -inf
  std::vector<float> block_max;   // of each kLogitBlock logits
  std::vector<float> block_work;  // copy of block_max, reordered by selection
  std::vector<double> block_sums;
};

// One request's sampler state.
class Sampler {
 public:
  Sampler() = default;
  explicit Sampler(const SamplingParameters& parameters) : parameters_(parameters) {}
  // `banned` ids cannot be drawn (sorted or not; few; ids outside the row are ignored). `draw_index` is the number
  // of tokens drawn before in this request: the random number is a pure function of (seed, draw_index). Logits are
  // not changed; -inf means impossible. The largest logit wins ties by lowest id.
  // NaN or +inf logits, an empty row, and no token left to draw: kInternal, named.
  Result<SampleResult> sample(std::span<const float> logits, std::span<const int32_t> banned, uint64_t draw_index,
                              bool want_logprob, SamplerScratch& scratch) const;

 private:
  SamplingParameters parameters_;
};

// log softmax(logits)[id]; f64 inside. -inf for ids outside the row; NaN logits give NaN.
float log_probability(std::span<const float> logits, int32_t id);
// The `count` most likely, most likely first, ties by lowest id. Fewer where fewer are possible; none where logits
// are NaN. Allocates only to grow `out`.
void top_log_probabilities(std::span<const float> logits, int32_t count, SamplerScratch& scratch,
                           std::vector<TokenLogprob>& out);

}  // namespace fastserve
