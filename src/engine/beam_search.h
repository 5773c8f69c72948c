// Beam search: which continuations of which beams live on, and which texts are done. Pure policy, step by step as
// transformers' generate() does it: scores are sums of log-probabilities, ended texts compete by score /
// length^penalty.
#pragma once
#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "sampling/sampler.h"

namespace fastserve {

enum class EarlyStopping : uint32_t {
  kOff = 0,   // until no running beam, were it to end now, could beat the worst of the ended texts
  kOn = 1,    // as soon as there are beam_count ended texts
  kNever = 2  // until none can whatever its length
};

struct BeamParameters {
  uint32_t beam_count = 0;  // 0: no beam search
  float length_penalty = 1;
  EarlyStopping early_stopping = EarlyStopping::kOff;
};

// A running beam: what it has generated, and the most likely next tokens, keep_count() of them.
struct BeamView {
  std::span<const int32_t> tokens;
  std::span<const float> logprobs;
  std::span<const TokenLogprob> candidates;
};

class BeamSearch {
 public:
  // `length_max`: tokens after which every text ends. `end_token_count`: how many different tokens end one.
  BeamSearch(const BeamParameters& parameters, int32_t length_max, size_t end_token_count);

  // Candidates of each beam that a step needs, so that enough remain when the best ones end.
  size_t keep_count() const { return keep_count_; }

  struct Extension {
    uint32_t beam = 0;  // the rank of its parent before the step
    int32_t token_id = 0;
    float logprob = 0;
    double score = 0;
  };
  // One step of the running beams, in the order of their ranks; the first step has one. False when the search is over.
  // May throw bad_alloc, never in steady state.
  bool step(std::span<const BeamView> beams, const std::function<bool(int32_t)>& is_end);
  // The running beams after the step, best first.
  std::span<const Extension> next() const { return next_; }

  struct Text {
    std::vector<int32_t> tokens;  // its ending token included
    std::vector<float> logprobs;
    double cumulative_logprob = 0;
    double score = 0;  // cumulative_logprob / length^length_penalty
    bool has_stopped = false;
  };
  // The ended texts, best first; once the search is over, beam_count of them (fewer where fewer are possible).
  std::span<const Text> ended() const { return {ended_.data(), ended_count_}; }

 private:
  bool is_full() const { return ended_count_ == parameters_.beam_count; }
  double penalised(double score, int32_t length) const;
  void add(const BeamView& parent, const Extension& extension, bool has_stopped);

  const BeamParameters parameters_;
  const int32_t length_max_;
  size_t keep_count_;
  int32_t length_ = 0;
  std::vector<double> running_scores_ = {0};  // by rank
  std::vector<Extension> pool_, next_;
  std::vector<Text> ended_;  // storage for beam_count and one more; the first ended_count_ count
  size_t ended_count_ = 0;
};

}  // namespace fastserve
