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

// Weights with NaN or infinities in them, or sums that overflow.
Status not_finite(const LogitRow& row, std::string_view what) {
  const LoadedModel& model = *row.sequence->request->model;
  return Status(StatusCode::kCorrupt,
                format("the logits of \"", model.facts.name, "\" after ", row.position + 1, " tokens are not finite (",
                       what, "): damaged weights, or values too large"));
}

// A token that a device drew, or why there is none.
Result<SampleResult> drawn_on_device(const LogitRow& row, int32_t token) {
  if (token >= 0) return SampleResult{token};
  if (token == kernels::kDeviceSampleNotFinite) return not_finite(row, "a logit is NaN or infinite");
  return Status::from_literal(StatusCode::kInternal, "no token can be drawn: every logit is -inf or banned");
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
  sample_rows(rows, begin, end);
  const std::lock_guard lock(mutex_);
  for (size_t i = begin; i < end; ++i) {
    Sequence& sequence = *rows[i].sequence;
    Request& request = *sequence.request;
    if (sequence.is_finished() || !sequence.follows(rows[i].position)) continue;
    const Drawn& drawn = drawn_[i];
    FinishReason reason = FinishReason::kNone;
    const Status accepted = guarded([&] {
      if (!drawn.status.ok()) return drawn.status;
      if (request.parameters.kind == RequestKind::kScore) {
        append_score(sequence, rows[i].position, drawn.result,
                     request.parameters.full_logits ? runner_.logits(i) : std::span<const float>());
      } else if (request.beams != nullptr) {
        return advance_search(sequence, drawn.top);
      } else {
        reason = accept_token(sequence, drawn.result, drawn.top);
        sequence.last_token_ns = clock_.now_ns();
        if (request.first_token_ns == 0) request.first_token_ns = sequence.last_token_ns;
        if (reason == FinishReason::kNone) check_guess(sequence, rows[i].position, drawn.result.token_id);
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

// A guess that came true has its keys and values already. mutex_ held.
void Engine::check_guess(Sequence& sequence, int32_t position, int32_t drawn_id) {
  if (sequence.guess_at(position + 1) != drawn_id) return;
  ++sequence.drafts_true;
  ++sequence.computed;
  sequence.request->model->kv.drop_outside_window(sequence.kv, sequence.computed);
  ++metrics_.decode_tokens;
  ++metrics_.drafts_true;
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

// Draws or scores one row of a chunk, `drawn` tokens of its sequence being drawn before it in this call.
void Engine::sample_row(const LogitRow& row, size_t index, int32_t drawn_before, SamplerScratch& scratch) {
  Drawn& drawn = drawn_[index];
  drawn.status = {};
  drawn.top.clear();
  if (const std::optional<int32_t> token = runner_.drawn_token(index)) {
    const Result<SampleResult> result = drawn_on_device(row, *token);
    if (result.ok()) drawn.result = *result;
    drawn.status = result.status();
    return;
  }
  const Sequence& sequence = *row.sequence;
  const RequestParameters& parameters = sequence.request->parameters;
  const LogitsRow logits(runner_.logits(index), runner_.logit_maxima(index));
  if (parameters.kind == RequestKind::kScore) {
    const int32_t next = sequence.tokens[static_cast<size_t>(row.position) + 1];
    drawn.result = {next, log_probability(logits, next)};
    if (std::isnan(drawn.result.logprob)) drawn.status = not_finite(row, "a log-probability is NaN");
    return;
  }
  if (sequence.request->beams != nullptr) {
    drawn.status = sequence.sampler.top_scores(logits.logits, banned_tokens(sequence),
                                               sequence.request->beams->search.keep_count(), scratch, drawn.top);
    if (drawn.status.code() == StatusCode::kCorrupt) drawn.status = not_finite(row, drawn.status.message());
    return;
  }
  Result<SampleResult> result = sequence.sampler.sample(logits, banned_tokens(sequence, drawn_before),
                                                        static_cast<uint64_t>(sequence.generated + drawn_before),
                                                        parameters.report_logprobs, scratch);
  if (!result.ok()) {
    const bool is_corrupt = result.status().code() == StatusCode::kCorrupt;
    drawn.status = is_corrupt ? not_finite(row, result.status().message()) : result.status();
    return;
  }
  drawn.result = *result;
  const auto count = static_cast<int32_t>(parameters.logprob_count);
  if (count > 0) top_log_probabilities(logits, count, scratch, drawn.top);
}

// Rows [first, ...) of one sequence that follow one another: those behind a guess are drawn only where it came true, as
// a token of their own step would be.
void Engine::sample_run(std::span<const LogitRow> rows, size_t first, size_t end, SamplerScratch& scratch) {
  Sequence& sequence = *rows[first].sequence;
  if (!sequence.follows(rows[first].position)) return;
  const bool has_history = sequence.sampler.needs_history();
  size_t row = first;
  for (;; ++row) {
    Status status = guarded([&] {
      sample_row(rows[row], row, static_cast<int32_t>(row - first), scratch);
      return Status();
    });
    if (!status.ok()) drawn_[row].status = std::move(status);
    const bool goes_on = row + 1 < end && rows[row + 1].sequence == &sequence && !sequence.draft.empty() &&
                         drawn_[row].status.ok() &&
                         sequence.guess_at(rows[row].position + 1) == drawn_[row].result.token_id;
    if (!goes_on) break;
    if (has_history) sequence.sampler.accept(drawn_[row].result);
  }
  if (has_history) sequence.sampler.rollback(row - first);
}

// Rows [begin, end) of a chunk, shared among threads; results in drawn_.
void Engine::sample_rows(std::span<const LogitRow> rows, size_t begin, size_t end) {
  auto begins_run = [&](size_t i) {
    return i == begin || rows[i].sequence != rows[i - 1].sequence || rows[i].sequence->draft.empty();
  };
  std::vector<SamplerScratch>& scratch = batch_.model()->sampling;
  auto sample_part = [&](size_t part_begin, size_t part_end, SamplerScratch& of_part) {
    for (size_t i = part_begin; i < part_end; ++i) {
      if (begins_run(i)) sample_run(rows, i, end, of_part);
    }
  };
  if (end - begin == 1) {
    sample_part(begin, end, scratch.front());
    return;
  }
  executor_->run([&](uint32_t part, uint32_t part_count) {
    const Range range = split_range(static_cast<int64_t>(end - begin), part, part_count);
    sample_part(begin + static_cast<size_t>(range.begin), begin + static_cast<size_t>(range.end), scratch[part]);
  });
}

}  // namespace fastserve
