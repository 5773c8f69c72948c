// A sequence: one text being computed, its keys and values, and what of it waits to be polled. A request owns one, or
// several that share its prompt.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "engine/drafting.h"
#include "sampling/sampler.h"
#include "state/kv_cache.h"
#include "text/tokenizer.h"

namespace fastserve {

struct Request;

enum class FinishReason : int32_t { kNone = 0, kStop = 1, kLength = 2, kCancelled = 3, kError = 4, kShutdown = 5 };

// Output that waits to be polled; capacity is kept from use to use.
struct OutputBuffer {
  std::string text;
  std::vector<int32_t> token_ids;
  std::vector<float> logprobs;
  std::vector<TokenLogprob> top_logprobs;  // token_ids.size() x logprob_count
  std::vector<float> logits;               // rows of logit_row_size, of a full score
  size_t logit_row_size = 0;
  bool empty() const { return token_ids.empty() && text.empty(); }
  void clear() {
    text.clear();
    token_ids.clear();
    logprobs.clear();
    top_logprobs.clear();
    logits.clear();
  }
};

struct Sequence {
  Request* request = nullptr;
  uint32_t choice = 0;  // its index in the request

  // Engine thread only.
  SequenceKv kv;
  std::vector<int32_t> tokens;  // prompt, then what was generated; reserved for all
  int32_t computed = 0;         // tokens whose keys and values are in the cache
  int64_t last_token_ns = 0;
  StreamDecoder decoder;
  Sampler sampler;
  Drafter drafter;
  std::vector<int32_t> draft;            // guessed tokens behind `tokens` that the step under way computes too
  int32_t draft_begin = 0;               // position of the first of them
  int32_t drafts_true = 0;               // of them, as far as tokens were drawn
  std::string held_text;                 // may yet turn out to be a stop string
  bool waits_for_prompt = false;         // which another sequence computes; of a beam: until a fork gives it a text
  std::vector<TokenLogprob> candidates;  // of a beam: how it may go on; empty until it is computed
  std::vector<float> beam_logprobs;      // of a beam: of its generated tokens

  // Guarded by the engine's mutex.
  OutputBuffer pending;
  OutputBuffer delivered;
  int32_t generated = 0;                             // tokens drawn; the engine thread reads it without the lock
  double cumulative_logprob = 0;                     // of what was drawn, where log-probabilities are reported
  double score = 0;                                  // of a finished beam
  FinishReason finish_reason = FinishReason::kNone;  // kNone: still running
  bool finish_delivered = false;

  int32_t token_count() const { return static_cast<int32_t>(tokens.size()); }
  int32_t pending_tokens() const { return token_count() - computed; }
  bool is_finished() const { return finish_reason != FinishReason::kNone; }
  // Whether the logits of the token at `position` follow what was said: not those behind a guess that was wrong.
  // The guess of the token at `position`; -1: none.
  int32_t guess_at(int32_t position) const {
    const auto index = static_cast<size_t>(position - draft_begin);
    return index < draft.size() ? draft[index] : -1;
  }
  bool follows(int32_t position) const { return draft.empty() || position == draft_begin - 1 + drafts_true; }
};

}  // namespace fastserve
