// What becomes of logits: tokens for generating requests, log-probabilities for scored ones.
#include <algorithm>
#include <cmath>

#include "base/format.h"
#include "engine/beams.h"
#include "engine/choices.h"
#include "engine/engine.h"
#include "engine/generation.h"

namespace fastserve {
namespace {

std::span<const float> logits_row(const LoadedModel& model, size_t chunk_row) {
  const Rows logits = model.workspace.logits(model.workspace.logit_row_capacity());
  return {logits.row(static_cast<int64_t>(chunk_row)), static_cast<size_t>(logits.cols)};
}

// Weights with NaN or infinities in them, or sums that overflow.
Status not_finite(const LogitRow& row, std::string_view what) {
  const LoadedModel& model = *row.sequence->request->model;
  return Status(StatusCode::kCorrupt,
                format("the logits of \"", model.facts.name, "\" after ", row.position + 1, " tokens are not finite (",
                       what, "): damaged weights, or values too large"));
}

template <typename T>
void make_room(std::vector<T>& vector, size_t count) {
  if (vector.capacity() - vector.size() < count) vector.reserve(std::max(2 * vector.size(), vector.size() + count));
}

// May throw bad_alloc; then nothing was appended.
void append_score(Sequence& sequence, int32_t position, const SampleResult& scored, std::span<const float> logits) {
  OutputBuffer& out = sequence.pending;
  make_room(out.token_ids, 2);
  make_room(out.logprobs, 2);
  make_room(out.logits, logits.size());
  if (position == 0) {  // nothing precedes the first token
    out.token_ids.push_back(sequence.tokens[0]);
    out.logprobs.push_back(0.0f);
  }
  out.token_ids.push_back(scored.token_id);
  out.logprobs.push_back(scored.logprob);
  out.logits.insert(out.logits.end(), logits.begin(), logits.end());
  out.logit_row_size = logits.size();
}

}  // namespace

// Of the runner's chunk, rows [begin, end).
void Engine::process_logits(size_t begin, size_t end) {
  const std::span<const LogitRow> rows = runner_.chunk();
  // A chunk mixes both kinds of requests; each row is handled by its own.
  for (SamplerScratch& scratch : scratch_) {
    const Status reserved =
        scratch.reserve(batch_.model()->def->shape().vocabulary_size, batch_.model()->context_tokens);
    if (!reserved.ok()) throw std::bad_alloc();  // caught at the loop's border: the step fails, the engine goes on
  }
  sample_rows(rows, begin, end);
  const std::lock_guard lock(mutex_);
  for (size_t i = begin; i < end; ++i) {
    Sequence& sequence = *rows[i].sequence;
    Request& request = *sequence.request;
    if (sequence.is_finished()) continue;
    const Drawn& drawn = drawn_[i];
    FinishReason reason = FinishReason::kNone;
    const Status accepted = guarded([&] {
      if (!drawn.status.ok()) return drawn.status;
      if (request.parameters.kind == RequestKind::kScore) {
        append_score(sequence, rows[i].position, drawn.result,
                     request.parameters.full_logits ? logits_row(*request.model, i) : std::span<const float>());
      } else if (request.beams != nullptr) {
        return advance_search(sequence, drawn.top);
      } else {
        reason = accept_token(sequence, drawn.result, drawn.top);
        if (request.first_token_ns == 0) request.first_token_ns = clock_.now_ns();
      }
      return Status();
    });
    if (!accepted.ok()) {
      finish_request(request, FinishReason::kError, accepted);
    } else if (reason != FinishReason::kNone) {
      finish_sequence(sequence, reason);
    } else {
      mark_ready(request);
    }
  }
}

Status Engine::advance_search(Sequence& sequence, std::span<const TokenLogprob> candidates) {
  Request& request = *sequence.request;
  const bool goes_on = advance_beams(sequence, candidates);
  if (request.first_token_ns == 0) request.first_token_ns = clock_.now_ns();
  if (goes_on) return {};
  settle_beams(request);
  for (Sequence& beam : request.sequences) FSV_TRY(end_sequence(beam, beam_finish_reason(beam)));
  finish_request(request, finish_reason_of(request), {});
  return {};
}

// Draws or scores rows [begin, end) of a chunk, shared among threads; results in drawn_.
void Engine::sample_rows(std::span<const LogitRow> rows, size_t begin, size_t end) {
  const LoadedModel& model = *batch_.model();
  auto one_row = [&](size_t i, SamplerScratch& scratch) {
    Drawn& drawn = drawn_[i];
    drawn.status = {};
    drawn.top.clear();
    const Sequence& sequence = *rows[i].sequence;
    const RequestParameters& parameters = sequence.request->parameters;
    const std::span<const float> logits = logits_row(model, i);
    if (parameters.kind == RequestKind::kScore) {
      const int32_t next = sequence.tokens[static_cast<size_t>(rows[i].position) + 1];
      drawn.result = {next, log_probability(logits, next)};
      if (std::isnan(drawn.result.logprob)) drawn.status = not_finite(rows[i], "a log-probability is NaN");
      return;
    }
    if (sequence.request->beams != nullptr) {
      drawn.status = sequence.sampler.top_scores(logits, banned_tokens(sequence),
                                                 sequence.request->beams->search.keep_count(), scratch, drawn.top);
      if (drawn.status.code() == StatusCode::kCorrupt) drawn.status = not_finite(rows[i], drawn.status.message());
      return;
    }
    Result<SampleResult> result =
        sequence.sampler.sample(logits, banned_tokens(sequence), static_cast<uint64_t>(sequence.generated),
                                parameters.report_logprobs, scratch);
    if (!result.ok()) {
      const bool is_corrupt = result.status().code() == StatusCode::kCorrupt;
      drawn.status = is_corrupt ? not_finite(rows[i], result.status().message()) : result.status();
      return;
    }
    drawn.result = *result;
    const auto count = static_cast<int32_t>(parameters.logprob_count);
    if (count > 0) top_log_probabilities(logits, count, scratch, drawn.top);
  };
  auto guarded_row = [&](size_t i, SamplerScratch& scratch) {
    Status status = guarded([&] {
      one_row(i, scratch);
      return Status();
    });
    if (!status.ok()) drawn_[i].status = std::move(status);
  };
  if (end - begin == 1) {
    guarded_row(begin, scratch_[0]);
    return;
  }
  executor_->run([&](uint32_t part, uint32_t part_count) {
    const Range range = split_range(static_cast<int64_t>(end - begin), part, part_count);
    for (int64_t i = range.begin; i < range.end; ++i) guarded_row(begin + static_cast<size_t>(i), scratch_[part]);
  });
}

}  // namespace fastserve
