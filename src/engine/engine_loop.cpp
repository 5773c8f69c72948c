// The engine's loop: drain, plan, assemble, run piece by piece, sample, emit, account.
#include <algorithm>
#include <chrono>

#include "base/format.h"
#include "engine/choices.h"
#include "engine/engine.h"
#include "engine/generation.h"

namespace fastserve {
namespace {

constexpr int32_t kFullLogitsRows = 32;  // of a step, where a host wants whole rows of logits
constexpr uint32_t kFailuresInARowMax = 100;
constexpr std::chrono::milliseconds kFailurePause{1};

}  // namespace

void Engine::run_engine_thread() {
  for (;;) {
    Progress progress = Progress::kIdle;
    const Status status = guarded([&] {
      progress = iterate();
      return Status();
    });
    std::unique_lock lock(mutex_);
    if (!status.ok()) fail_step(status);
    if (is_stopping_) return;
    if (!status.ok()) {
      work_.wait_for(lock, kFailurePause);  // the requests that are left are tried again
      continue;
    }
    if (progress != Progress::kIdle) continue;
    const uint32_t seen = seen_attention_;
    work_.wait(lock, [&] { return is_stopping_ || attention_.load() != seen || (!is_paused_ && !incoming_.empty()); });
  }
}

// One step, or as much of it as fits the grant.
Engine::Progress Engine::iterate() {
  if (!has_pieces() && !begin_step()) return Progress::kIdle;
  return continue_step();
}

bool Engine::begin_step() {
  const std::lock_guard lock(mutex_);
  seen_attention_ = attention_.load();
  drain_incoming();
  if (is_paused_ || is_stopping_) return false;
  // A model may have nothing that can run now (its KV is held by requests that nobody polls): then the next one's turn
  // comes. One that a failed admission has thinned out is looked at again.
  const uint64_t turn = ++turn_;
  while (const std::shared_ptr<LoadedModel> model = choose_model(turn)) {
    admission_failed_ = false;
    if (plan_for(*model, clock_.now_ns())) return true;
    model->served_turn = admission_failed_ ? 0 : turn;
  }
  return false;
}

// Plans and begins a step of one model. False when none of its requests can compute now.
bool Engine::plan_for(LoadedModel& model, int64_t now_ns) {
  batch_.begin(model);
  build_views(&model);
  SchedulerInput input;
  input.running = running_views_;
  input.waiting = waiting_views_;
  input.max_batch_tokens = step_rows_max(model);
  input.prefill_chunk_tokens = static_cast<int32_t>(options_.prefill_chunk_tokens);
  input.admission = this;
  scheduler_->plan(input, plan_);
  const int32_t drafts_max = this->drafts_max(input.max_batch_tokens);
  for (const PlanEntry& entry : plan_.entries) {
    Sequence& sequence = planned_sequence(entry);
    Request& request = *sequence.request;
    draft(sequence, drafts_max);
    const auto rows = entry.token_count + static_cast<int32_t>(sequence.draft.size());
    model.kv.reserve(sequence.kv, sequence.computed + rows);  // promised at admission
    if (request.first_row_ns == 0) request.first_row_ns = now_ns;
    request.in_step = true;
    batch_.add(sequence, entry.token_count);
  }
  batch_.seal();
  auto has_left = [](Request* request) { return request->admitted || request->is_finished(); };
  waiting_.erase(std::remove_if(waiting_.begin(), waiting_.end(), has_left), waiting_.end());
  step_started_ns_ = clock_.now_ns();
  metrics_.scheduler_us += static_cast<uint64_t>(step_started_ns_ - now_ns) / 1000;
  if (batch_.row_count() == 0) {
    batch_.clear();
    return false;
  }
  model.served_turn = turn_;
  computed_committed_ = false;
  runner_.begin(batch_);
  return true;
}

// Guesses for each sequence of the plan: where all of them decode, and few enough that a few rows more take little more
// time than theirs.
int32_t Engine::drafts_max(int32_t rows_max) const {
  constexpr int32_t kDraftedRows = 8;
  const auto count = static_cast<int32_t>(plan_.entries.size());
  const bool decode = std::all_of(plan_.entries.begin(), plan_.entries.end(), [&](const PlanEntry& entry) {
    return !entry.from_waiting && running_views_[entry.index].decoding;
  });
  return count > 0 && decode ? std::min(kDraftedRows, rows_max) / count - 1 : 0;
}

// Not more than can be said: what follows the last of them must still be the request's to draw.
void Engine::draft(Sequence& sequence, int32_t count_max) {
  const Request& request = *sequence.request;
  const RequestParameters& parameters = request.parameters;
  sequence.draft_begin = sequence.token_count();
  sequence.drafts_true = 0;
  if (!parameters.speculates || parameters.kind != RequestKind::kGenerate || request.beams != nullptr) return;
  const int64_t to_say = std::min<int64_t>(int64_t{parameters.max_tokens} - sequence.generated,
                                           request.model->context_tokens - sequence.token_count());
  const int64_t room = int64_t{options_.max_pending_events} - static_cast<int64_t>(sequence.pending.token_ids.size());
  const int64_t count = std::min<int64_t>(count_max, std::min(to_say, room) - 1);
  sequence.drafter.propose(sequence.tokens, static_cast<int32_t>(count), sequence.draft);
  metrics_.drafts += sequence.draft.size();
}

void Engine::drain_incoming() {
  for (Request* request : incoming_) waiting_.push_back(request);
  incoming_.clear();
  collect_cancelled();
}

// Ends what was cancelled while it was in no batch. mutex_ held.
void Engine::collect_cancelled() {
  auto is_over = [this](Request& request) {
    if (!request.cancel_requested.load(std::memory_order_relaxed)) return false;
    if (!request.is_finished()) finish_request(request, FinishReason::kCancelled, {});
    return true;
  };
  std::erase_if(waiting_, [&](Request* request) { return is_over(*request); });
  std::erase_if(running_, [&](Sequence* sequence) { return is_over(*sequence->request); });
}

// Models with work take turns: the one whose turn is longest ago. Null when none is left that was not looked at in
// this `turn`.
std::shared_ptr<LoadedModel> Engine::choose_model(uint64_t turn) {
  std::shared_ptr<LoadedModel> chosen;
  auto look = [&](const std::shared_ptr<LoadedModel>& model) {
    if (model->served_turn < turn && (chosen == nullptr || model->served_turn < chosen->served_turn)) chosen = model;
  };
  for (const Sequence* sequence : running_) {
    if (can_compute(*sequence)) look(sequence->request->model);
  }
  if (running_.size() >= options_.max_sequences) return chosen;
  for (const Request* request : waiting_) look(request->model);
  return chosen;
}

void Engine::build_views(LoadedModel* model) {
  auto view_of = [this](const Sequence& sequence) {
    const Request& request = *sequence.request;
    SequenceView view;
    view.id = request.id;
    view.arrival_ns = request.submitted_ns;
    view.pending_tokens = sequence.pending_tokens();
    view.computed_tokens = sequence.computed;
    if (request.parameters.turn != nullptr && !request.admitted) {
      view.computed_tokens = sessions_.reusable(*request.parameters.turn);
      view.pending_tokens -= view.computed_tokens;
    }
    if (request.parameters.full_logits) view.pending_tokens = std::min(view.pending_tokens, kFullLogitsRows);
    view.priority = request.parameters.priority;
    view.decoding = sequence.generated > 0 && view.pending_tokens == 1;
    return view;
  };
  plan_running_.clear();
  plan_waiting_.clear();
  running_views_.clear();
  waiting_views_.clear();
  for (Sequence* sequence : running_) {
    if (sequence->request->model.get() != model || !can_compute(*sequence)) continue;
    plan_running_.push_back(sequence);
    running_views_.push_back(view_of(*sequence));
  }
  for (Request* request : waiting_) {
    if (request->model.get() != model) continue;
    plan_waiting_.push_back(request);
    waiting_views_.push_back(view_of(request->first()));
  }
}

// Called back by the scheduler from begin_step; mutex_ is held.
bool Engine::try_admit(size_t waiting_index) {
  Request& request = *plan_waiting_[waiting_index];
  if (running_.size() + request.sequences.size() > options_.max_sequences) return false;
  bool admitted = false;
  const Status status = guarded([&]() -> Status {
    FSV_ASSIGN(admitted, admit_kv(request));
    return Status();
  });
  if (!status.ok()) {
    admission_failed_ = true;
    finish_request(request, FinishReason::kError, status);
  }
  if (!admitted) return false;
  request.admitted = true;
  request.state = RequestState::kRunning;
  for (Sequence& sequence : request.sequences) running_.push_back(&sequence);
  return true;
}

// Idle sessions hold no one up: where that lets the request in, they lose their KV.
Result<bool> Engine::admit_kv(Request& request) {
  LoadedModel& model = *request.model;
  const auto rows = static_cast<int32_t>(options_.max_batch_tokens);
  Sequence& first = request.first();
  SessionTurn* turn = request.parameters.turn.get();
  if (turn != nullptr) first.computed = sessions_.lend(*turn, first.kv);
  bool admitted = admit_sequences(request, rows);
  if (!admitted && model.kv.could_admit(request.kv_tokens_max(), rows)) {
    sessions_.loosen(model);
    const Status tried = guarded([&] {
      admitted = admit_sequences(request, rows);
      return Status();
    });
    sessions_.settle(model);
    FSV_TRY(tried);
  }
  if (admitted) {
    request.cached_count = static_cast<uint32_t>(first.computed);
    metrics_.reused_tokens += request.cached_count;
  } else if (turn != nullptr) {
    sessions_.take_back(*turn, first.kv);
    first.computed = 0;
  }
  return admitted;
}

// Looks at cancels, pauses and the end. False: the step stays where it is for now.
bool Engine::heed_attention() {
  for (;;) {
    if (attention_.load(std::memory_order_relaxed) != seen_attention_) drop_cancelled_from_batch();
    std::unique_lock lock(mutex_);
    if (is_stopping_) return false;
    if (!is_paused_) return true;
    if (options_.mode == EngineMode::kPumped) return false;
    work_.wait(lock, [&] { return !is_paused_ || is_stopping_ || attention_.load() != seen_attention_; });
  }
}

Engine::Progress Engine::continue_step() {
  // A step that was left in the middle by a pause goes on only after it; one that is through ends, also in a pause.
  const bool is_resumed = options_.mode == EngineMode::kPumped;
  if (is_resumed && !heed_attention() && has_pieces()) return Progress::kIdle;
  while (has_pieces()) {
    if (!run_piece()) return Progress::kOutOfTime;
    const bool goes_on = attention_.load(std::memory_order_relaxed) == seen_attention_ || heed_attention();
    if (!goes_on && has_pieces()) return Progress::kIdle;
  }
  end_step();
  return Progress::kWorked;
}

// A cancelled sequence leaves the batch between layers; nobody else's rows change.
void Engine::drop_cancelled_from_batch() {
  const std::lock_guard lock(mutex_);
  seen_attention_ = attention_.load();
  collect_cancelled();
  if (computed_committed_) return;
  for (size_t i = batch_.sequences().size(); i-- > 0;) {
    const BatchSequence entry = batch_.sequences()[i];
    if (!entry.sequence->is_finished()) continue;
    batch_.remove(static_cast<int32_t>(i));
    runner_.rows_removed(entry.row_begin, entry.row_count);
  }
}

// Every layer has run: the batch's tokens are in the cache.
void Engine::commit_computed() {
  const std::lock_guard lock(mutex_);
  computed_committed_ = true;
  for (const BatchSequence& entry : batch_.sequences()) {
    Sequence& sequence = *entry.sequence;
    Request& request = *sequence.request;
    if (sequence.is_finished()) continue;
    sequence.computed += entry.known_count();
    const bool has_decoded = sequence.generated > 0 && sequence.pending_tokens() == 0;
    metrics_.prefill_tokens += static_cast<uint64_t>(entry.known_count() - (has_decoded ? 1 : 0));
    metrics_.decode_tokens += has_decoded ? 1 : 0;
    if (sequence.generated == 0) request.prefilled_count = static_cast<uint32_t>(sequence.computed);
    if (sequence.generated == 0 && sequence.pending_tokens() == 0) share_prompt(request);
    request.model->kv.drop_outside_window(sequence.kv, sequence.computed);
  }
  runner_.begin_head();
}

void Engine::end_step() {
  const std::lock_guard lock(mutex_);
  std::erase_if(running_, [this](Sequence* sequence) {
    Request& request = *sequence->request;
    const RequestKind kind = request.parameters.kind;
    if (kind != RequestKind::kGenerate && sequence->pending_tokens() == 0 && !request.is_finished()) {
      finish_request(request, kind == RequestKind::kScore ? FinishReason::kStop : FinishReason::kLength, {});
    }
    return sequence->is_finished();
  });
  const auto step_us = static_cast<uint64_t>(clock_.now_ns() - step_started_ns_) / 1000;
  metrics_.step_us += step_us;
  metrics_.max_step_us = std::max(metrics_.max_step_us, step_us);
  metrics_.batch_rows += static_cast<uint64_t>(batch_.row_count());
  ++metrics_.steps;
  failed_in_a_row_ = 0;
  leave_step();
}

// What ended while the step was under way, and was polled away, goes only now; and with the last request of a released
// model the model.
void Engine::leave_step() {
  runner_.stop();
  sampled_count_ = 0;
  batch_.clear();
  auto leave = [](Request& request) {
    request.in_step = false;
    if (request.is_finished()) request.model.reset();
  };
  for (const PlanEntry& entry : plan_.entries) {
    Sequence& sequence = planned_sequence(entry);
    sequence.drafter.record(static_cast<int32_t>(sequence.draft.size()), sequence.drafts_true);
    sequence.draft.clear();
    leave(*sequence.request);
  }
  plan_.entries.clear();
  retired_.clear();
}

void Engine::mark_ready(Request& request) {
  if (!std::exchange(request.in_ready_list, true)) events_->push(request.id);
}

Status Engine::end_sequence(Sequence& sequence, FinishReason reason) {
  sequence.finish_reason = reason;
  const Request& request = *sequence.request;
  // A session takes its KV back with the text, in finish_request.
  if (request.parameters.turn == nullptr && !sequence.kv.groups.empty()) request.model->kv.release(sequence.kv);
  return guarded([&] {
    if (request.parameters.kind == RequestKind::kGenerate) flush_text(sequence);
    return Status();
  });
}

void Engine::finish_sequence(Sequence& sequence, FinishReason reason) {
  Request& request = *sequence.request;
  Status status = end_sequence(sequence, reason);
  const bool is_last = std::all_of(request.sequences.begin(), request.sequences.end(),
                                   [](const Sequence& other) { return other.is_finished(); });
  if (is_last || !status.ok()) {
    finish_request(request, finish_reason_of(request), std::move(status));
  } else {
    mark_ready(request);
  }
}

void Engine::finish_request(Request& request, FinishReason reason, Status status) {
  for (Sequence& sequence : request.sequences) {
    if (sequence.is_finished()) continue;
    if (const Status ended = end_sequence(sequence, reason); status.ok()) status = ended;
  }
  request.finish_reason = status.ok() ? reason : FinishReason::kError;
  request.finish_status = std::move(status);
  if (request.parameters.turn != nullptr) {
    sessions_.end(*request.parameters.turn, request.first(), request.finish_reason == FinishReason::kError);
  }
  request.state = RequestState::kFinished;
  request.finished_ns = clock_.now_ns();
  --requests_alive_;
  ++(request.finish_reason == FinishReason::kCancelled || request.finish_reason == FinishReason::kShutdown
         ? metrics_.cancelled
     : request.finish_reason == FinishReason::kError ? metrics_.failed
                                                     : metrics_.finished);
  if (!request.in_step) request.model.reset();
  mark_ready(request);
  if (requests_alive_ == 0) settled_.notify_all();
}

// An exception or failure outside any one request: the batch under way is lost, the engine goes on. mutex_ held.
void Engine::fail_step(const Status& status) {
  options_.log.write(LogLevel::kError, status.message());
  for (const BatchSequence& entry : batch_.sequences()) {
    Request& request = *entry.sequence->request;
    if (!request.is_finished()) finish_request(request, FinishReason::kError, status);
  }
  std::erase_if(running_, [](const Sequence* sequence) { return sequence->is_finished(); });
  std::erase_if(waiting_, [](const Request* request) { return request->is_finished(); });
  leave_step();
  // What failed outside any batch (planning) may do so for want of memory that comes back: the requests stay for some
  // tries, and end with the reason after them.
  if (++failed_in_a_row_ >= kFailuresInARowMax) end_all_requests(FinishReason::kError, status);
}

}  // namespace fastserve
