// The engine's loop: drain, plan, assemble, run piece by piece, sample, emit, account.
#include <algorithm>
#include <chrono>

#include "base/format.h"
#include "engine/choices.h"
#include "engine/engine.h"
#include "engine/generation.h"

namespace fastserve {
namespace {

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
    wait_for_work(lock);
  }
}

void Engine::wait_for_work(std::unique_lock<std::mutex>& lock) {
  const uint32_t seen = seen_attention_;
  wait_until_timeouts(lock, [&] { return is_stopping_ || attention_.load() != seen || !incoming_.empty(); });
}

// Until `has_come` or somebody has waited for too long: in a pause too.
template <typename Condition>
void Engine::wait_until_timeouts(std::unique_lock<std::mutex>& lock, Condition has_come) {
  const int64_t timeout_ns = next_queue_timeout_ns();
  if (timeout_ns == kNeverNs) {
    work_.wait(lock, has_come);
    return;
  }
  constexpr int64_t kShortestNs = 1'000'000;  // the host's clock need not run as the system's does
  work_.wait_for(lock, std::chrono::nanoseconds(std::max(timeout_ns - clock_.now_ns(), kShortestNs)), has_come);
}

// One step, or as much of it as fits the grant.
Engine::Progress Engine::iterate() {
  if (!has_pieces()) seen_attention_ = attention_.load();  // whatever comes from here on is looked at again
  say_memory();
  const bool has_time = serve_memory(has_pieces());
  if (!has_pieces() && batch_.model() != nullptr) end_step();  // everyone has left it
  if (has_time && !has_pieces()) evict_wanted();
  const bool found_nothing = has_time && !has_pieces() && !begin_step();
  say_memory();
  if (!has_time) return Progress::kOutOfTime;
  return found_nothing ? Progress::kIdle : continue_step();
}

bool Engine::begin_step() {
  const std::lock_guard lock(mutex_);
  drain_incoming();
  if (is_paused_ || is_stopping_) return false;
  // A model may have nothing that can run now (its KV is held by requests that nobody polls): then the next one's turn
  // comes. One that a failed admission has thinned out is looked at again.
  const uint64_t turn = ++turn_;
  call_models_back(turn);
  while (const std::shared_ptr<LoadedModel> model = choose_model(turn)) {
    admission_failed_ = false;
    if (model->residence != LoadedModel::Residence::kHere) {
      model->served_turn = turn;
      continue;
    }
    if (plan_for(*model, clock_.now_ns())) return true;
    model->served_turn = admission_failed_ ? 0 : turn;
  }
  return false;
}

void Engine::drain_incoming() {
  for (Request* request : incoming_) {
    look_up_prefix(*request);
    waiting_.push_back(request);
  }
  incoming_.clear();
  collect_cancelled();
  end_those_timed_out();
}

// When the first of those who wait has waited long enough; kNeverNs: nobody minds. mutex_ held.
int64_t Engine::next_queue_timeout_ns() const {
  int64_t first_ns = kNeverNs;
  for (const auto* list : {&waiting_, &incoming_}) {
    for (const Request* request : *list) first_ns = std::min(first_ns, request->queue_timeout_ns());
  }
  return first_ns;
}

void Engine::end_those_timed_out() {
  if (next_queue_timeout_ns() > clock_.now_ns()) return;
  const size_t waiting = waiting_.size() + incoming_.size();
  auto is_too_late = [&](Request* request) {
    if (request->queue_timeout_ns() > clock_.now_ns()) return false;
    const size_t slots = options_.max_sequences;
    finish_request(*request, FinishReason::kError,
                   Status(StatusCode::kTimeout, format("the request waited ", request->parameters.queue_timeout_us,
                                                       " us and was not begun: ", running_.size(),
                                                       " sequences hold KV, ", slots, " run at once, ", waiting,
                                                       " requests wait", is_paused_ ? ", the engine is paused" : "")));
    return true;
  };
  std::erase_if(waiting_, is_too_late);
  std::erase_if(incoming_, is_too_late);
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

// Looks at cancels, pauses and the end. False: the step stays where it is for now.
bool Engine::heed_attention() {
  for (;;) {
    if (attention_.load(std::memory_order_relaxed) != seen_attention_) drop_cancelled_from_batch();
    say_memory();
    (void)serve_memory(true);  // what the time is too short for comes with the next piece
    say_memory();
    std::unique_lock lock(mutex_);
    if (is_stopping_) return false;
    if (!is_paused_) return true;
    end_those_timed_out();
    if (options_.mode == EngineMode::kPumped) return false;
    const size_t arrived = incoming_.size();
    wait_until_timeouts(lock, [&] {
      return !is_paused_ || is_stopping_ || attention_.load() != seen_attention_ || incoming_.size() != arrived;
    });
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
  runner_.finish();
  end_step();
  return Progress::kWorked;
}

// A cancelled sequence leaves the batch between layers; nobody else's rows change.
void Engine::drop_cancelled_from_batch() {
  runner_.finish();  // what ends must not be in a device's hands any more
  const std::lock_guard lock(mutex_);
  seen_attention_ = attention_.load();
  collect_cancelled();
  if (computed_committed_) return;
  for (size_t i = batch_.sequences().size(); i-- > 0;) {
    if (batch_.sequences()[i].sequence->is_finished()) remove_from_batch(i);
  }
}

void Engine::remove_from_batch(size_t index) {
  const BatchSequence entry = batch_.sequences()[index];
  batch_.remove(device_, static_cast<int32_t>(index));
  runner_.rows_removed(entry.row_begin, entry.row_count);
}

// A sequence that gives its blocks up between two layers; it has no rows in the step from here on.
void Engine::leave_batch(const Sequence& sequence) {
  for (size_t i = batch_.sequences().size(); i-- > 0;) {
    if (batch_.sequences()[i].sequence == &sequence) remove_from_batch(i);
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
  batch_.model()->batching.record(batch_.row_count(), step_busy_ns_);
  if (batch_.row_count() == step_work_.prefill_tokens + step_work_.decode_rows) {
    batch_.model()->cost.observe(step_work_, step_busy_ns_);  // else somebody left it
  }
  failed_in_a_row_ = 0;
  leave_step();
}

// What ended while the step was under way, and was polled away, goes only now; and with the last request of a released
// model the model.
void Engine::leave_step() {
  runner_.stop();
  log_device_notes(LogLevel::kWarning);
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
  if (reason != FinishReason::kError) keep_prefix(sequence);
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
  if (request.finish_reason == FinishReason::kStop || request.finish_reason == FinishReason::kLength) {
    scheduler_->finished(request.job);
  }
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
