// The hosts' side of requests and events: submit, cancel, status, poll, wait, step.
#include <algorithm>

#include "base/format.h"
#include "engine/engine.h"
#include "engine/submission.h"

namespace fastserve {
namespace {

Status stale_or_invalid(bool is_own, const char* what) {
  if (is_own) return Status(StatusCode::kStale, format("this ", what, " has ended"));
  return Status(StatusCode::kInvalidArgument, format("not a ", what, " of this engine"));
}

uint64_t elapsed_us(int64_t from_ns, int64_t to_ns) {
  return to_ns > from_ns && from_ns != 0 ? static_cast<uint64_t>(to_ns - from_ns) / 1000 : 0;
}

}  // namespace

Status Engine::check_owned(const LoadedModel& model) const {
  if (model.memory == memory_) return {};
  return Status::from_literal(StatusCode::kInvalidArgument, "the model was loaded by another engine");
}

Status Engine::check_runs(const LoadedModel& model) const {
  FSV_TRY(check_owned(model));
  if (model.def == nullptr) {
    return Status::from_literal(StatusCode::kWrongState,
                                "the model was loaded for its text alone: it computes nothing");
  }
  return {};
}

Result<uint64_t> Engine::submit(std::shared_ptr<LoadedModel> model, RequestParameters parameters) {
  FSV_TRY(check_runs(*model));
  auto request = std::make_shared<Request>();
  request->model = std::move(model);
  request->parameters = std::move(parameters);
  if (request->parameters.turn != nullptr) request->parameters.turn->set_prompt(request->parameters.prompt);
  FSV_TRY(prepare_request(*request, options_));
  const std::lock_guard lock(mutex_);
  if (is_draining_) return Status::from_literal(StatusCode::kShutdown, "the engine is shutting down");
  FSV_TRY(check_room(*request));
  request->submitted_ns = clock_.now_ns();
  const uint64_t id = requests_.insert(request);
  if (id == 0) {
    return Status(StatusCode::kQueueFull, describe_full_queue());
  }
  request->id = id;
  incoming_.push_back(request.get());
  ++requests_alive_;
  ++metrics_.submitted;
  work_.notify_all();
  return id;
}

std::string Engine::describe_full_queue() const {
  uint32_t waiting = 0, ended = 0;
  requests_.for_each([&](const Request& request) {
    waiting += request.state == RequestState::kQueued ? 1 : 0;
    ended += request.is_finished() ? 1 : 0;
  });
  return format("the engine has its ", options_.max_queued_requests, " requests: ", waiting, " wait, ",
                requests_.count() - waiting - ended, " run, ", ended, " have ended and are not polled yet");
}

Status Engine::cancel(uint64_t number) {
  const std::lock_guard lock(mutex_);
  Request* request = requests_.find(number);
  if (request == nullptr) return stale_or_invalid(requests_.is_own(number), "request");
  if (request->is_finished()) return stale_or_invalid(true, "request");
  request->cancel_requested.store(true, std::memory_order_relaxed);
  attention_.fetch_add(1);
  work_.notify_all();
  return {};
}

Status Engine::set_request_priority(uint64_t number, int32_t priority) {
  const std::lock_guard lock(mutex_);
  Request* request = requests_.find(number);
  if (request == nullptr) return stale_or_invalid(requests_.is_own(number), "request");
  if (request->is_finished()) return stale_or_invalid(true, "request");
  request->parameters.priority = priority;
  return {};
}

RequestState Engine::state_of(const Request& request) const {
  if (request.state != RequestState::kRunning) return request.state;
  const bool can_go_on =
      std::any_of(request.sequences.begin(), request.sequences.end(),
                  [this](const Sequence& sequence) { return !sequence.is_finished() && has_room(sequence); });
  return can_go_on ? RequestState::kRunning : RequestState::kPaused;
}

Result<RequestInfo> Engine::request_info(uint64_t number) {
  const std::lock_guard lock(mutex_);
  const Request* request = requests_.find(number);
  if (request == nullptr) return stale_or_invalid(requests_.is_own(number), "request");
  RequestInfo info;
  info.state = state_of(*request);
  info.prompt_count = static_cast<uint32_t>(request->prompt_count());
  info.prefilled_count = request->prefilled_count;
  info.generated_count = request->generated_count();
  info.finish_reason = request->finish_reason;
  if (!request->is_finished()) {
    for (const Sequence& sequence : request->sequences) info.kv_bytes += request->model->kv.held_bytes(sequence.kv);
  }
  return info;
}

// Payloads of the previous poll are free again; requests and tickets that have told everything end.
void Engine::recycle_delivered() {
  for (const uint64_t number : delivered_) {
    if (Request* request = requests_.find(number); request != nullptr) {
      for (Sequence& sequence : request->sequences) sequence.delivered.clear();
      if (!request->finish_delivered) continue;
      if (request->in_step) retired_.push_back(requests_.share(number));
      requests_.erase(number);
    }
  }
  delivered_.clear();
  delivered_tickets_.clear();
}

size_t Engine::poll(size_t capacity, Deliver deliver, void* context) {
  const std::lock_guard poll_lock(poll_mutex_);
  const std::lock_guard lock(mutex_);
  recycle_delivered();
  size_t count = 0;
  bool was_paused = false;
  // Each number now in the ring is looked at once: what stays pending goes to the ring's end.
  for (size_t turns = events_->size(); turns > 0 && count < capacity; --turns) {
    const uint64_t number = events_->pop();
    if (Request* request = requests_.find(number); request != nullptr) {
      request->in_ready_list = false;
      was_paused = was_paused || !std::all_of(request->sequences.begin(), request->sequences.end(),
                                              [this](const Sequence& sequence) { return has_room(sequence); });
      if (deliver_request(*request, capacity, count, deliver, context)) mark_ready(*request);
    } else if (Ticket* ticket = tickets_.find(number); ticket != nullptr) {
      ticket->in_ready_list = false;
      deliver_ticket(*ticket, count, deliver, context);
    } else if (number == kMemoryEvents) {
      deliver_memory(count, deliver, context);
    }
  }
  if (was_paused) {
    attention_.fetch_add(1);
    work_.notify_all();
  }
  return count;
}

// Delivers what a request has, within capacity. True when something stays pending.
bool Engine::deliver_request(Request& request, size_t capacity, size_t& count, Deliver deliver, void* context) {
  EngineEvent event;
  event.number = request.id;
  event.user_data = request.parameters.user_data;
  event.prompt_count = static_cast<uint32_t>(request.prompt_count());
  event.cached_count = request.cached_count;
  event.generated_count = request.generated_count();
  event.queue_us = elapsed_us(request.submitted_ns, request.first_row_ns);
  event.first_token_us = elapsed_us(request.submitted_ns, request.first_token_ns);
  delivered_.push_back(request.id);
  for (Sequence& sequence : request.sequences) {
    if (!deliver_sequence(sequence, event, capacity, count, deliver, context)) return true;
  }
  if (!request.is_finished()) return false;
  if (count == capacity) return true;
  event.type = EventType::kFinished;
  if (request.parameters.choice_count == 1) {
    event.cumulative_logprob = request.first().cumulative_logprob;
    event.score = request.first().score;
  }
  event.finish_reason = request.finish_reason;
  if (!request.finish_status.ok()) event.status = &request.finish_status;
  event.total_us = elapsed_us(request.submitted_ns, request.finished_ns);
  deliver(context, count++, event);
  request.finish_delivered = true;
  return false;
}

bool Engine::deliver_sequence(Sequence& sequence, EngineEvent event, size_t capacity, size_t& count, Deliver deliver,
                              void* context) {
  const Request& request = *sequence.request;
  event.choice = sequence.choice;
  if (!sequence.pending.empty()) {
    if (count == capacity) return false;
    std::swap(sequence.pending, sequence.delivered);
    event.type = request.parameters.kind == RequestKind::kScore ? EventType::kScore : EventType::kTokens;
    event.output = &sequence.delivered;
    event.top_logprob_count = request.parameters.logprob_count;
    deliver(context, count++, event);
  }
  const uint32_t choices = request.parameters.choice_count;
  if (choices == 1 || sequence.choice >= choices || !sequence.is_finished() || sequence.finish_delivered) return true;
  if (count == capacity) return false;
  event.type = EventType::kChoiceFinished;
  event.output = nullptr;
  event.generated_count = static_cast<uint32_t>(sequence.generated);
  event.finish_reason = sequence.finish_reason;
  event.cumulative_logprob = sequence.cumulative_logprob;
  event.score = sequence.score;
  deliver(context, count++, event);
  sequence.finish_delivered = true;
  return true;
}

Status Engine::wait(uint64_t timeout_us) {
  if (options_.mode == EngineMode::kPumped) {
    return Status::from_literal(StatusCode::kWrongMode, "a pumped engine has nothing to wait for: call step");
  }
  std::unique_lock lock(mutex_);
  const bool settled = events_->wait(lock, timeout_us, [&] { return is_stopped_; });
  if (events_->size() > 0) return {};
  if (is_stopped_) return Status::from_literal(StatusCode::kShutdown, "the engine has shut down");
  (void)settled;
  return Status::from_literal(StatusCode::kTimeout, "no event within the time given");
}

Status Engine::step(uint64_t max_us, bool* more) {
  if (options_.mode != EngineMode::kPumped) {
    return Status::from_literal(StatusCode::kWrongMode, "the engine has its own thread: step is for pumped mode");
  }
  {
    const std::lock_guard lock(mutex_);
    if (is_stopping_) return Status::from_literal(StatusCode::kShutdown, "the engine has shut down");
    if (is_stepping_) return Status::from_literal(StatusCode::kWrongState, "another thread is inside step");
    is_stepping_ = true;
  }
  const int64_t total_ns = static_cast<int64_t>(std::min(max_us, kWaitMaxUs)) * 1000;
  const int64_t deadline_ns = clock_.now_ns() + total_ns;
  // No time at all: one piece of the usual size. Loads get a quarter of the time where requests run too.
  grant_.total_ns = max_us == 0 ? GrantPacer::kNoGrant : total_ns;
  grant_.deadline_ns = has_loads() ? deadline_ns - total_ns / 4 : deadline_ns;
  bool has_more = false;
  const Status status = guarded([&] {
    Progress progress = Progress::kIdle;
    do {
      grant_.is_used = progress != Progress::kIdle;
      progress = iterate();
    } while (progress == Progress::kWorked && clock_.now_ns() < grant_.deadline_ns);
    grant_.deadline_ns = deadline_ns;
    has_more = advance_loads() || progress != Progress::kIdle;
    say_memory();
    return Status();
  });
  grant_ = {};
  const std::lock_guard lock(mutex_);
  if (!status.ok()) fail_step(status);
  is_stepping_ = false;
  settled_.notify_all();
  if (more != nullptr) *more = has_more || !status.ok();
  return {};
}

}  // namespace fastserve
