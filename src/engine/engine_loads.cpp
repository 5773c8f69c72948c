// Loads: tickets, the loader thread of a threaded engine, and loading inside step() of a pumped one.
#include <algorithm>
#include <chrono>

#include "base/format.h"
#include "base/heap.h"
#include "engine/engine.h"

namespace fastserve {
namespace {

Status unknown_ticket(bool is_own) {
  return is_own ? Status::from_literal(StatusCode::kStale, "this ticket has ended")
                : Status::from_literal(StatusCode::kInvalidArgument, "not a ticket of this engine");
}

}  // namespace

Result<MemoryEstimate> Engine::estimate(LoadRequest request, const EngineOptions& options) {
  const EngineOptions complete = with_defaults(options);
  if (request.files == nullptr) request.files = complete.files;
  const HeapTrim trim;
  return estimate_memory(request.files, request.path, request.options, complete);
}

Result<uint64_t> Engine::load(LoadRequest request) {
  auto ticket = std::make_shared<Ticket>();
  ticket->user_data = request.user_data;
  ticket->priority = request.priority;
  // What was lent for this load alone goes with it.
  request.is_pinned = request.is_pinned || (request.files != nullptr && !request.keeps_source);
  request.keeps_source = request.keeps_source && request.files != nullptr;
  if (request.files == nullptr) request.files = options_.files;
  const std::shared_ptr<ModelFiles> files = request.files;
  ticket->job = create_job(std::move(request));
  const std::lock_guard lock(mutex_);
  if (is_draining_) return Status::from_literal(StatusCode::kShutdown, "the engine is shutting down");
  load_queue_.reserve(load_queue_.size() + 1);
  const uint64_t number = tickets_.insert(ticket);
  if (number == 0) return Status::from_literal(StatusCode::kQueueFull, "too many loads and untaken models");
  ticket->number = number;
  load_queue_.push_back(number);
  files->arm();
  work_.notify_all();
  return number;
}

std::shared_ptr<LoadJob> Engine::create_job(LoadRequest request) {
  return std::make_shared<LoadJob>(std::move(request), options_, memory_, device_.kernels, retired_models_,
                                   device_memory_, [this](uint64_t size_bytes) { make_room(size_bytes); });
}

Status Engine::set_priority(uint64_t number, int32_t priority) {
  const std::lock_guard lock(mutex_);
  Ticket* ticket = tickets_.find(number);
  if (ticket == nullptr) return unknown_ticket(tickets_.is_own(number));
  if (ticket->state != TicketState::kQueued) {
    return Status::from_literal(StatusCode::kWrongState, "the load has begun");
  }
  ticket->priority = priority;
  return {};
}

std::shared_ptr<LoadJob> Engine::take_next_load(uint64_t& number) {
  // Those whose ticket was cancelled meanwhile are gone from the table.
  std::erase_if(load_queue_, [this](uint64_t queued) { return tickets_.find(queued) == nullptr; });
  auto is_lower = [this](uint64_t a, uint64_t b) { return tickets_.find(a)->priority < tickets_.find(b)->priority; };
  const auto next = std::max_element(load_queue_.begin(), load_queue_.end(), is_lower);  // the first of equals
  if (next == load_queue_.end()) return nullptr;
  number = *next;
  load_queue_.erase(next);
  Ticket* ticket = tickets_.find(number);
  ticket->state = TicketState::kLoading;
  return ticket->job;
}

Result<TicketInfo> Engine::ticket_info(uint64_t number) {
  const std::lock_guard lock(mutex_);
  const Ticket* ticket = tickets_.find(number);
  if (ticket == nullptr) return unknown_ticket(tickets_.is_own(number));
  TicketInfo info;
  info.state = ticket->state;
  info.failure = ticket->failure;
  info.bytes_done = ticket->job != nullptr ? ticket->job->bytes_done() : ticket->bytes_done;
  info.bytes_total = ticket->job != nullptr ? ticket->job->bytes_total() : ticket->bytes_total;
  return info;
}

Status Engine::wait_ticket(uint64_t number, uint64_t timeout_us) {
  if (options_.mode == EngineMode::kPumped) {
    return Status::from_literal(StatusCode::kWrongMode,
                                "a pumped engine loads inside step: there is nothing to wait for");
  }
  std::unique_lock lock(mutex_);
  if (tickets_.find(number) == nullptr) return unknown_ticket(tickets_.is_own(number));
  auto ended = [&] {
    const Ticket* ticket = tickets_.find(number);
    return ticket == nullptr || ticket->state == TicketState::kReady || ticket->state == TicketState::kFailed;
  };
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::microseconds(std::min(timeout_us, kWaitMaxUs));
  if (!settled_.wait_until(lock, deadline, ended)) {
    return Status::from_literal(StatusCode::kTimeout, "the load has not ended within the time given");
  }
  return tickets_.find(number) != nullptr ? Status() : unknown_ticket(true);
}

Result<std::shared_ptr<LoadedModel>> Engine::take_model(uint64_t number) {
  const std::lock_guard lock(mutex_);
  Ticket* ticket = tickets_.find(number);
  if (ticket == nullptr) return unknown_ticket(tickets_.is_own(number));
  if (ticket->state == TicketState::kQueued || ticket->state == TicketState::kLoading) {
    return Status::from_literal(StatusCode::kWrongState, "the load has not ended");
  }
  Status failure = ticket->failure;
  const std::shared_ptr<Ticket> ended = remove_ticket(number);
  if (!failure.ok()) return failure;
  return ended->model;
}

Status Engine::cancel_ticket(uint64_t number) {
  const std::lock_guard lock(mutex_);
  Ticket* ticket = tickets_.find(number);
  if (ticket == nullptr) return unknown_ticket(tickets_.is_own(number));
  if (ticket->job != nullptr) ticket->job->cancel();
  remove_ticket(number);
  settled_.notify_all();
  return {};
}

std::shared_ptr<Ticket> Engine::remove_ticket(uint64_t number) noexcept {
  std::shared_ptr<Ticket> ticket = tickets_.share(number);
  if (ticket->in_ready_list) events_->remove(number);
  tickets_.erase(number);
  attention_.fetch_add(1);  // a model that is wanted back may have waited for a ticket
  work_.notify_all();
  return ticket;
}

void Engine::run_loader_thread() {
  std::unique_lock lock(mutex_);
  for (;;) {
    work_.wait(lock, [&] { return is_stopping_ || !load_queue_.empty(); });
    if (is_stopping_) return;
    uint64_t number = 0;
    const std::shared_ptr<LoadJob> job = take_next_load(number);
    if (job == nullptr) continue;
    lock.unlock();
    Result<std::shared_ptr<LoadedModel>> result = guarded([&]() -> Result<std::shared_ptr<LoadedModel>> {
      for (std::shared_ptr<LoadedModel> shared; !job->is_prepared();) {
        FSV_ASSIGN(shared, open_load(*job));
        if (shared != nullptr) return shared;
      }
      run_load_workers(number, *job);
      while (job->finish_once()) {
      }
      return job->take_model();
    });
    while (job->drop_once()) {  // before anyone learns of the end
    }
    end_job(number, *job, std::move(result));
    lock.lock();
  }
}

// A piece of opening a model. The one that is loaded already, if it turns out to be the same; else null, also when the
// job is prepared by now.
Result<std::shared_ptr<LoadedModel>> Engine::open_load(LoadJob& job) {
  FSV_ASSIGN(const bool is_open, job.open_once());
  if (!is_open) return std::shared_ptr<LoadedModel>();
  std::shared_ptr<LoadedModel> shared;
  if (!job.is_reload()) shared = find_shared(job);
  if (shared == nullptr) FSV_TRY(job.prepare());
  return shared;
}

// What one of those who share a model has pinned stays so.
std::shared_ptr<LoadedModel> Engine::find_shared(const LoadJob& job) {
  const std::lock_guard lock(mutex_);
  for (const auto& weak : models_) {
    std::shared_ptr<LoadedModel> model = weak.lock();
    if (model == nullptr || model->identity != job.identity() || model->load_options != job.load_options()) continue;
    if (job.is_pinned()) model->source.can_reload = false;
    return model;
  }
  return nullptr;
}

// The loader thread and as many helpers as the engine has threads; a helper that cannot start is done without.
void Engine::run_load_workers(uint64_t number, LoadJob& job) {
  std::vector<os::Thread> helpers;
  helpers.reserve(options_.thread_count);
  for (uint32_t i = 1; i < options_.thread_count; ++i) {
    Result<os::Thread> helper = os::Thread::start(
        "fsv-load",
        [](void* argument) {
          while (static_cast<LoadJob*>(argument)->work_once()) {
          }
        },
        &job, options_.threads);
    if (!helper.ok()) break;
    helpers.push_back(helper.take());
  }
  while (job.work_once()) report_progress(number);
}

void Engine::report_progress(uint64_t number) {
  const std::lock_guard lock(mutex_);
  Ticket* ticket = tickets_.find(number);
  if (ticket == nullptr || ticket->reloaded != nullptr) return;
  if (!std::exchange(ticket->in_ready_list, true)) events_->push(number);
}

// A ticket that was looked at in its loading state reports progress; after the end, the end (once).
void Engine::deliver_ticket(Ticket& ticket, size_t& count, Deliver deliver, void* context) {
  if (ticket.finish_delivered) return;
  EngineEvent event;
  event.number = ticket.number;
  event.user_data = ticket.user_data;
  event.bytes_done = ticket.job != nullptr ? ticket.job->bytes_done() : ticket.bytes_done;
  event.bytes_total = ticket.job != nullptr ? ticket.job->bytes_total() : ticket.bytes_total;
  const bool has_ended = ticket.state == TicketState::kReady || ticket.state == TicketState::kFailed;
  event.type = has_ended ? EventType::kLoadFinished : EventType::kLoadProgress;
  if (ticket.state == TicketState::kFailed) {
    delivered_tickets_.push_back(tickets_.share(ticket.number));  // it may be taken before the event is read
    event.status = &ticket.failure;
  }
  ticket.finish_delivered = has_ended;
  deliver(context, count++, event);
}

void Engine::log_load(const LoadJob& job, const Status& status) const noexcept {
  const LogLevel level = status.ok() ? LogLevel::kInfo : LogLevel::kWarning;
  if (!options_.log.enabled(level)) return;
  (void)guarded([&] {
    options_.log.write(level, status.ok()
                                  ? format("loaded \"", job.path(), "\", ", job.bytes_total(), " bytes of weights")
                                  : format("loading \"", job.path(), "\" failed: ", status.message()));
    return Status();
  });
}

void Engine::end_job(uint64_t number, LoadJob& job, Result<std::shared_ptr<LoadedModel>> result) noexcept {
  log_load(job, result.status());
  end_load(number, std::move(result));
}

void Engine::end_load(uint64_t number, Result<std::shared_ptr<LoadedModel>> result) noexcept {
  const std::lock_guard lock(mutex_);
  if (const Ticket* reload = tickets_.find(number); reload != nullptr && reload->reloaded != nullptr) {
    const std::shared_ptr<Ticket> ended = remove_ticket(number);
    end_reload(*ended->reloaded, std::move(result));
    return;
  }
  if (result.ok()) {
    std::erase_if(models_, [](const std::weak_ptr<LoadedModel>& weak) { return weak.expired(); });
    const bool is_known = std::any_of(models_.begin(), models_.end(), [&](const std::weak_ptr<LoadedModel>& weak) {
      return weak.lock() == result.value();
    });
    const Status listed = guarded([&]() -> Status {
      if (is_known) return {};
      models_.push_back(result.value());
      return check_floor(memory_->stats().budget_bytes);  // the budget may have been lowered while it loaded
    });
    if (!listed.ok()) result = listed;
  }
  Ticket* ticket = tickets_.find(number);
  if (ticket == nullptr) return;  // cancelled meanwhile: the model goes as the result does
  ticket->bytes_done = ticket->job->bytes_done();
  ticket->bytes_total = ticket->job->bytes_total();
  ticket->job.reset();
  ticket->state = result.ok() ? TicketState::kReady : TicketState::kFailed;
  if (result.ok()) {
    ticket->model = result.take();
  } else {
    const Status copied = guarded([&] {
      ticket->failure = result.status();
      return Status();
    });
    if (!copied.ok()) ticket->failure = copied;
  }
  if (!std::exchange(ticket->in_ready_list, true)) events_->push(number);
  settled_.notify_all();
  ask_for_memory();
}

// Pumped mode: pieces that fit the grant, at least one. True while loads are left.
bool Engine::advance_loads() {
  bool is_first = true;
  while (is_first || GrantPacer::fits(load_piece_ns_, grant_.deadline_ns - clock_.now_ns())) {
    is_first = false;
    const int64_t began_ns = clock_.now_ns();
    if (!advance_load()) return false;
    load_piece_ns_ = (7 * load_piece_ns_ + clock_.now_ns() - began_ns) / 8;
  }
  return has_loads();
}

// One piece of the load under way, or the beginning of the next; before it the memory that models left. False when
// there is none.
bool Engine::advance_load() {
  if (retired_models_ != nullptr && retired_models_->drop_once()) return true;
  if (pumped_job_ == nullptr) {
    const std::lock_guard lock(mutex_);
    pumped_job_ = take_next_load(pumped_ticket_);
    pumped_result_.reset();
    return pumped_job_ != nullptr;
  }
  LoadJob& job = *pumped_job_;
  if (pumped_result_.has_value()) {
    if (job.drop_once()) return true;
    const std::shared_ptr<LoadJob> ended = std::move(pumped_job_);
    end_job(pumped_ticket_, *ended, std::move(*pumped_result_));
    pumped_result_.reset();
    return true;
  }
  if (!job.is_prepared()) {
    Result<std::shared_ptr<LoadedModel>> shared = guarded([&] { return open_load(job); });
    if (!shared.ok() || *shared != nullptr) pumped_result_ = std::move(shared);
  } else if (job.work_once()) {
    report_progress(pumped_ticket_);
  } else if (!job.finish_once()) {
    pumped_result_ = guarded([&] { return job.take_model(); });
  }
  return true;
}

bool Engine::has_loads() {
  if (retired_models_ != nullptr && !retired_models_->empty()) return true;
  const std::lock_guard lock(mutex_);
  return pumped_job_ != nullptr || !load_queue_.empty();
}

}  // namespace fastserve
