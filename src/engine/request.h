// A request: what was asked, the sequences that answer it, and how far it is.
#pragma once
#include <algorithm>
#include <atomic>
#include <cstdint>
#include <memory>
#include <numeric>
#include <string>
#include <vector>

#include "engine/beam_search.h"
#include "engine/loaded_model.h"
#include "engine/sequence.h"
#include "engine/session.h"
#include "scheduler/scheduler.h"

namespace fastserve {

enum class RequestKind : uint32_t { kGenerate = 0, kScore = 1, kPrefill = 2 };
enum class RequestState : uint32_t { kQueued = 0, kRunning = 1, kPaused = 2, kFinished = 3 };

// Checked and copied from the caller's structs by api/.
struct RequestParameters {
  RequestKind kind = RequestKind::kGenerate;
  std::vector<int32_t> prompt;
  uint32_t choice_count = 1;  // of a beam search: how many of its texts are wanted
  BeamParameters beams;
  uint32_t max_tokens = 0;
  uint32_t min_tokens = 0;
  bool ignore_eos = false;
  bool report_logprobs = false;
  bool speculates = true;
  bool context_slides = false;  // when it is full; else the request ends
  uint32_t context_keep = 0;    // first tokens that stay then
  uint32_t context_drop = 0;    // tokens after them that go; 0: half
  bool full_logits = false;     // of a score
  uint32_t logprob_count = 0;
  std::vector<std::string> stop_strings;
  std::vector<int32_t> stop_token_ids;
  SamplingParameters sampling;
  int32_t priority = 0;  // a live request's may change, under the engine's mutex
  uint64_t tenant = 0;
  uint64_t first_token_deadline_us = 0, token_deadline_us = 0;  // 0: none
  uint64_t queue_timeout_us = 0;                                // 0: none
  uint64_t user_data = 0;
  std::shared_ptr<SessionTurn> turn;  // null: without a session
};

// A beam search under way; engine thread only.
struct Beams {
  explicit Beams(BeamSearch begun) : search(std::move(begun)) {}
  BeamSearch search;
  uint32_t length = 0;                      // tokens that each beam has
  std::vector<uint32_t> slots, next_slots;  // the sequence of each running beam, by rank
  std::vector<BeamView> views;
};

struct Request {
  uint64_t id = 0;
  std::shared_ptr<LoadedModel> model;
  RequestParameters parameters;
  int64_t submitted_ns = 0;
  std::atomic<bool> cancel_requested{false};

  std::vector<Sequence> sequences;  // never resized once submitted; the first one computes the prompt

  // Engine thread only.
  std::unique_ptr<Beams> beams;  // null: no beam search
  JobRecord job;                 // the scheduler's
  int32_t known_tokens = 0;      // found among ended texts when it began to wait: what policy counts on
  bool admitted = false;
  bool was_dropped = false;
  int64_t first_row_ns = 0, first_token_ns = 0;

  // Guarded by the engine's mutex.
  RequestState state = RequestState::kQueued;  // never kPaused: that follows from what is pending
  bool in_step = false;  // the step under way has rows of it: the engine thread may touch it without the lock
  bool in_ready_list = false;
  bool finish_delivered = false;
  uint32_t prefilled_count = 0;  // for status
  uint32_t cached_count = 0;     // of the prompt: came with a session, or from another text
  FinishReason finish_reason = FinishReason::kNone;
  Status finish_status;
  int64_t finished_ns = 0;

  Sequence& first() { return sequences.front(); }
  const Sequence& first() const { return sequences.front(); }
  // Whether it may begin with another text's keys and values. A score tells of every row.
  bool takes_prefixes() const { return parameters.kind != RequestKind::kScore && sequences.size() == 1; }
  // Sequences that are computed at once.
  uint32_t sequence_count() const { return std::max(parameters.choice_count, parameters.beams.beam_count); }
  bool is_finished() const { return state == RequestState::kFinished; }
  // When it ends if it was never begun; kNeverNs: it waits on.
  int64_t queue_timeout_ns() const {
    if (parameters.queue_timeout_us == 0 || first_row_ns != 0) return kNeverNs;
    return submitted_ns + static_cast<int64_t>(parameters.queue_timeout_us) * 1000;
  }
  // Whether its keys and values may be taken and computed again. A score has told of rows that it would compute again;
  // sequences of one request share what they hold.
  bool can_drop() const { return parameters.kind != RequestKind::kScore && sequences.size() == 1; }
  // Tokens drawn, in all sequences together.
  uint32_t generated_count() const {
    return std::accumulate(sequences.begin(), sequences.end(), 0U, [](uint32_t sum, const Sequence& sequence) {
      return sum + static_cast<uint32_t>(sequence.generated);
    });
  }
  int32_t prompt_count() const { return static_cast<int32_t>(parameters.prompt.size()); }
  // The most tokens whose keys and values a sequence can need: the last drawn token is never computed.
  int32_t kv_tokens_max() const {
    if (parameters.kind != RequestKind::kGenerate) return prompt_count();
    const int64_t total = int64_t{prompt_count()} + parameters.max_tokens - 1;
    return static_cast<int32_t>(std::min<int64_t>(total, std::max(model->context_tokens, prompt_count())));
  }
};

}  // namespace fastserve
