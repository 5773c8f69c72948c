// A request: what was asked, how far it is, and what waits to be polled.
#pragma once
#include <algorithm>
#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "engine/loaded_model.h"
#include "sampling/sampler.h"
#include "state/kv_cache.h"
#include "text/tokenizer.h"

namespace fastserve {

enum class FinishReason : int32_t { kNone = 0, kStop = 1, kLength = 2, kCancelled = 3, kError = 4, kShutdown = 5 };
enum class RequestKind : uint32_t { kGenerate = 0, kScore = 1 };
enum class RequestState : uint32_t { kQueued = 0, kRunning = 1, kPaused = 2, kFinished = 3 };

// Checked and copied from the caller's structs by api/.
struct RequestParameters {
  RequestKind kind = RequestKind::kGenerate;
  std::vector<int32_t> prompt;
  uint32_t max_tokens = 0;
  uint32_t min_tokens = 0;
  bool ignore_eos = false;
  bool report_logprobs = false;
  bool full_logits = false;  // of a score
  uint32_t logprob_count = 0;
  std::vector<std::string> stop_strings;
  std::vector<int32_t> stop_token_ids;
  SamplingParameters sampling;
  uint64_t user_data = 0;
};

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

struct Request {
  uint64_t id = 0;
  std::shared_ptr<LoadedModel> model;
  RequestParameters parameters;
  int64_t submitted_ns = 0;
  std::atomic<bool> cancel_requested{false};

  // Engine thread only.
  SequenceKv kv;
  std::vector<int32_t> tokens;  // prompt, then what was generated; reserved for all
  int32_t computed = 0;         // tokens whose keys and values are in the cache
  StreamDecoder decoder;
  Sampler sampler;
  std::string held_text;  // may yet turn out to be a stop string
  bool admitted = false;
  int64_t first_row_ns = 0, first_token_ns = 0;

  // Guarded by the engine's mutex.
  RequestState state = RequestState::kQueued;  // never kPaused: that follows from what is pending
  OutputBuffer pending;
  OutputBuffer delivered;
  bool in_step = false;  // the step under way has rows of it: the engine thread may touch it without the lock
  bool in_ready_list = false;
  bool finish_delivered = false;
  uint32_t prefilled_count = 0, generated_count = 0;  // for status
  FinishReason finish_reason = FinishReason::kNone;
  Status finish_status;
  int64_t finished_ns = 0;

  int32_t prompt_count() const { return static_cast<int32_t>(parameters.prompt.size()); }
  int32_t token_count() const { return static_cast<int32_t>(tokens.size()); }
  // The most tokens whose keys and values the request can need: the last drawn token is never computed.
  int32_t kv_tokens_max() const {
    if (parameters.kind == RequestKind::kScore) return prompt_count();
    const int64_t total = int64_t{prompt_count()} + parameters.max_tokens - 1;
    return static_cast<int32_t>(std::min<int64_t>(total, std::max(model->context_tokens, prompt_count())));
  }
  int32_t generated() const { return token_count() - prompt_count(); }
};

}  // namespace fastserve
