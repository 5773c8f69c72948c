// Sampler: the next token from one row of logits. Deterministic in (seed, position, logits, tokens accepted before):
// nothing else enters. Stages and their order: sampling_parameters.h.
#pragma once
#include <cstdint>
#include <span>
#include <vector>

#include "base/status.h"
#include "sampling/logits_scan.h"
#include "sampling/sampling_parameters.h"
#include "sampling/truncation.h"

namespace fastserve {

class DrawState;

struct TokenLogprob {
  int32_t token_id = 0;
  float logprob = 0;
};

struct TokenProbability {
  int32_t token_id = 0;
  double probability = 0;
};

struct SampleResult {
  int32_t token_id = 0;
  float logprob = 0;         // of token_id, natural log of softmax over the raw logits; only if asked
  float surprise_bits = -1;  // -log2 of the probability it was drawn with; < 0: not measured (no mirostat)
};

// Scratch for vocabularies; sized once (reserve), so that a steady decode step allocates nothing.
class SamplerScratch {
 public:
  // `history_tokens`: the longest sequence whose sampler needs history (see Sampler::needs_history).
  Status reserve(int32_t vocabulary_size, int32_t history_tokens = 0);
  // What that takes.
  static uint64_t size_bytes(int32_t vocabulary_size, int32_t history_tokens);

  std::vector<Candidate> candidates;  // what is left, in id order
  std::vector<Selected> selection;    // work of the cuts, in any order
  std::vector<float> row;             // the logits where stages changed them
  std::vector<float> block_max;       // of each kLogitBlock logits
  std::vector<float> block_work;      // copy of block_max, reordered by selection
  std::vector<double> block_sums;
  std::vector<int32_t> token_marks;    // one for each token, all 0 between stages
  std::vector<int32_t> match_lengths;  // of DRY, one for each token of the history
};

// One request's sampler state. Copy it to fork a request.
class Sampler {
 public:
  Sampler() = default;
  explicit Sampler(const SamplingParameters& parameters)
      : parameters_(parameters), mirostat_mu_(2 * parameters.mirostat_tau) {}
  const SamplingParameters& parameters() const { return parameters_; }
  // `banned` ids cannot be drawn (sorted or not; few; ids outside the row are ignored). `draw_index` is the number
  // of tokens drawn before in this request: the random number is a pure function of (seed, draw_index). Logits are
  // not changed; -inf means impossible. The largest logit wins ties by lowest id.
  // NaN or +inf logits: kCorrupt, named. An empty row, and no token left to draw: kInternal.
  Result<SampleResult> sample(const LogitsRow& row, std::span<const int32_t> banned, uint64_t draw_index,
                              bool want_logprob, SamplerScratch& scratch) const;

  // The probabilities that `sample` draws from, in id order, those of 0 left out. Same errors.
  Status distribution(std::span<const float> logits, std::span<const int32_t> banned, uint64_t draw_index,
                      SamplerScratch& scratch, std::vector<TokenProbability>& out) const;

  // For searches: the `count` highest scores, highest first, ties by lowest id: log-probabilities after the stages that
  // look at the text (bias, penalties, DRY); not normalised again, neither cut nor heated. Same errors.
  Status top_scores(std::span<const float> logits, std::span<const int32_t> banned, size_t count,
                    SamplerScratch& scratch, std::vector<TokenLogprob>& out) const;

  // Whether penalties, DRY or mirostat are on: then the prompt and every drawn token must be accepted.
  bool needs_history() const;
  Status reserve_history(int32_t token_count);
  Status accept_prompt(std::span<const int32_t> token_ids);
  // A token that went into the sequence: drawn by sample, or forced (surprise_bits < 0 leaves mirostat as it is).
  void accept(const SampleResult& result);
  // Forgets the last `count` accepted tokens (speculation that failed, an edited answer).
  void rollback(size_t count);
  // Forgets everything before `token_ids`, which follow one another; mirostat stays where it is. Within what was
  // reserved it allocates nothing.
  void replace_history(std::span<const int32_t> token_ids);
  std::span<const int32_t> history() const { return history_; }

 private:
  Status apply_stages(DrawState& state, uint64_t draw_index) const;

  SamplingParameters parameters_;
  std::vector<int32_t> history_;
  // Mirostat's running limit, and what it was before each token that changed it: (history size, value).
  float mirostat_mu_ = 10.0f;
  struct MuChange {
    size_t history_size;
    float previous;
  };
  std::vector<MuChange> mu_changes_;
};

// log softmax(logits)[id]; f64 inside. -inf for ids outside the row; NaN logits give NaN.
float log_probability(const LogitsRow& row, int32_t id);
// The `count` most likely, most likely first, ties by lowest id. Fewer where fewer are possible; none where logits
// are NaN. Allocates only to grow `out`.
void top_log_probabilities(const LogitsRow& row, int32_t count, SamplerScratch& scratch,
                           std::vector<TokenLogprob>& out);

}  // namespace fastserve
