// Engine: creation, shutdown and what hosts ask of it as a whole.
#include "engine/engine.h"

#include <algorithm>
#include <chrono>

#include "base/heap.h"

namespace fastserve {
namespace {

constexpr uint32_t kTicketsMax = 256;
constexpr uint32_t kLogitChunkMax = 64;
std::atomic<uint32_t> next_serial{1};

std::unique_ptr<Scheduler> create_scheduler(SchedulerKind kind) {
  switch (kind) {
    case SchedulerKind::kFcfs:
      return create_fcfs_scheduler();
    case SchedulerKind::kMlfq:
      return create_mlfq_scheduler();
    case SchedulerKind::kAdaptive:
      break;
  }
  return create_adaptive_scheduler();
}

}  // namespace

Engine::Engine(const EngineOptions& options)
    : options_(with_defaults(options)),
      serial_(next_serial.fetch_add(1)),
      clock_(*options_.clock),
      requests_(serial_, 1, options.max_queued_requests),
      tickets_(serial_, 2, kTicketsMax),
      runner_(device_) {
  set_step_target(options_.step_target_us);
}

Result<std::shared_ptr<Engine>> Engine::create(const EngineOptions& options) {
  std::shared_ptr<Engine> engine(new Engine(options));
  FSV_TRY(engine->start());
  engine->options_.files->arm();
  return engine;
}

// One budget covers a device's memory and what of the host's goes with it.
Status Engine::open_memory() {
  std::shared_ptr<MemoryResource> upstream = options_.memory;
  if (options_.device != nullptr) {
    DeviceMemory::Options device_options;
    device_options.maps_ahead = options_.mode == EngineMode::kThreaded;
    FSV_ASSIGN(device_memory_, DeviceMemory::create(options_.device, options_.memory, device_options));
    upstream = device_memory_;
  }
  memory_ = upstream != nullptr ? std::make_shared<LimitResource>(upstream, options_.memory_budget_bytes)
                                : std::make_shared<LimitResource>(page_memory(), options_.memory_budget_bytes);
  return {};
}

Status Engine::start() {
  FSV_TRY(open_memory());
  // Hosts' memory is left to their allocators, and a device's to its pool.
  const bool is_pumped = options_.mode == EngineMode::kPumped;
  if (is_pumped && options_.memory == nullptr && device_memory_ == nullptr)
    retired_models_ = std::make_shared<RetiredModels>();
  if (options_.executor != nullptr) {
    executor_ = options_.executor;
  } else if (is_pumped || options_.thread_count == 1) {
    executor_ = create_serial_executor();
  } else {
    FSV_ASSIGN(executor_, create_thread_pool(options_.thread_count, options_.threads));
  }
  device_ = {&kernel_table(options_), executor_.get(), options_.reference_kernels,
             device_memory_ != nullptr ? &device_memory_->steps() : nullptr,
             device_memory_ != nullptr ? options_.device->product_flags() : 0};
  log_device_notes(LogLevel::kInfo);
  FSV_ASSIGN(events_, EventHub::create(options_.max_queued_requests + kTicketsMax + 1));
  scheduler_ = create_scheduler(options_.scheduler);
  const size_t requests = options_.max_queued_requests;
  residents_max_ =
      scheduler_->residents_max(options_.max_sequences, std::max<size_t>(requests, options_.max_sequences));
  scheduler_->reserve(residents_max_ + requests);
  for (auto* list : {&incoming_, &waiting_, &plan_waiting_}) list->reserve(requests);
  for (auto* list : {&running_, &plan_running_}) list->reserve(residents_max_);
  waiting_views_.reserve(requests);
  running_views_.reserve(residents_max_);
  plan_.entries.reserve(requests + options_.max_sequences);
  delivered_.reserve(requests + kTicketsMax);
  delivered_tickets_.reserve(kTicketsMax);
  retired_.reserve(requests);
  batch_.reserve(static_cast<int32_t>(options_.max_batch_tokens), static_cast<int32_t>(options_.max_sequences));
  runner_.reserve(static_cast<int32_t>(options_.max_batch_tokens + options_.max_sequences));
  drawn_.resize(kLogitChunkMax);
  for (Drawn& drawn : drawn_) drawn.top.reserve(32);
  return is_pumped ? Status() : start_threads();
}

void Engine::log_device_notes(LogLevel level) {
  kernels::DeviceMessage note{};
  while (options_.device != nullptr && options_.device->take_note(note)) options_.log.write(level, note.text);
}

Status Engine::start_threads() {
  FSV_ASSIGN(engine_thread_, os::Thread::start(
                                 "fsv-engine", [](void* self) { static_cast<Engine*>(self)->run_engine_thread(); },
                                 this, options_.threads));
  Result<os::Thread> loader = os::Thread::start(
      "fsv-loader", [](void* self) { static_cast<Engine*>(self)->run_loader_thread(); }, this, options_.threads);
  if (!loader.ok()) {
    shutdown(0);
    return loader.status();
  }
  loader_thread_ = loader.take();
  return {};
}

Engine::~Engine() { shutdown(0); }

void Engine::shutdown(uint64_t timeout_us) {
  const auto limit = std::chrono::microseconds(std::min(timeout_us, kWaitMaxUs));
  const auto deadline = std::chrono::steady_clock::now() + limit;
  {
    std::unique_lock lock(mutex_);
    is_draining_ = true;
    if (is_stopped_) return;
    if (options_.mode == EngineMode::kThreaded && !is_stopping_) {
      settled_.wait_until(lock, deadline, [&] { return is_idle() || is_stopping_; });
    }
  }
  if (options_.mode == EngineMode::kPumped) {
    bool more = true;
    while (more && std::chrono::steady_clock::now() < deadline) {
      if (!step(1000, &more).ok()) break;
    }
  }
  std::unique_lock lock(mutex_);
  const bool is_first = !is_stopping_;
  is_stopping_ = true;
  attention_.fetch_add(1);
  tickets_.for_each([](Ticket& ticket) {
    if (ticket.job != nullptr) ticket.job->cancel();
  });
  work_.notify_all();
  settled_.notify_all();
  if (!is_first) {
    settled_.wait(lock, [&] { return is_stopped_; });
    return;
  }
  if (options_.mode == EngineMode::kPumped) settled_.wait(lock, [&] { return !is_stepping_; });
  lock.unlock();
  engine_thread_.join();
  loader_thread_.join();
  lock.lock();
  cancel_everything();
  is_stopped_ = true;
  settled_.notify_all();
  if (retired_models_ != nullptr) retired_models_->close();
  trim_heap();
  if (events_ != nullptr) events_->wake_waiters();
}

// Everything that is left ends with SHUTDOWN. No thread computes any more; mutex_ is held.
void Engine::end_all_requests(FinishReason reason, const Status& status) {
  leave_step();
  requests_.for_each([&](Request& request) {
    if (!request.is_finished()) finish_request(request, reason, status);
  });
  incoming_.clear();
  waiting_.clear();
  running_.clear();
}

void Engine::cancel_everything() {
  end_all_requests(FinishReason::kShutdown, {});
  load_queue_.clear();
  pumped_job_.reset();
  pumped_result_.reset();
  tickets_.for_each([this](Ticket& ticket) {
    if (ticket.state != TicketState::kQueued && ticket.state != TicketState::kLoading) return;
    ticket.state = TicketState::kFailed;
    ticket.failure = Status::from_literal(StatusCode::kShutdown, "the engine shut down");
    if (ticket.reloaded == nullptr && !std::exchange(ticket.in_ready_list, true)) events_->push(ticket.number);
  });
}

void Engine::pause(bool paused) {
  const std::lock_guard lock(mutex_);
  is_paused_ = paused;
  attention_.fetch_add(1);
  work_.notify_all();
}

void Engine::set_step_target(uint64_t target_us) {
  const std::lock_guard lock(mutex_);
  step_target_ns_ = static_cast<int64_t>(std::min(target_us, kWaitMaxUs)) * 1000;
}

EngineMetrics Engine::metrics() {
  const std::lock_guard lock(mutex_);
  EngineMetrics metrics = metrics_;
  metrics.step_target_us = static_cast<uint64_t>(step_target_ns_) / 1000;
  uint64_t latest_turn = 0;
  for (const auto& weak : models_) {
    const std::shared_ptr<LoadedModel> model = weak.lock();
    if (model == nullptr) continue;
    metrics.prefixes += model->prefixes.usage();
    if (model->served_turn < latest_turn) continue;
    latest_turn = model->served_turn;
    const auto rows_max = static_cast<int32_t>(options_.max_batch_tokens);
    metrics.batching = model->batching.figures(step_target_ns_, model->cost, rows_max);
  }
  requests_.for_each([&](Request& request) {
    const RequestState state = state_of(request);
    metrics.queued += state == RequestState::kQueued ? 1 : 0;
    metrics.running += state == RequestState::kRunning ? 1 : 0;
    metrics.paused += state == RequestState::kPaused ? 1 : 0;
  });
  return metrics;
}

bool Engine::check_integrity() {
  const std::lock_guard lock(mutex_);
  return std::all_of(models_.begin(), models_.end(), [this](const std::weak_ptr<LoadedModel>& weak) {
    const std::shared_ptr<LoadedModel> model = weak.lock();
    if (model == nullptr) return true;
    std::vector<const SequenceKv*> held;
    std::vector<SequenceKv> kept;
    model->prefixes.collect(model->kv, kept);
    for (const SequenceKv& kv : kept) held.push_back(&kv);
    sessions_.collect(*model, held);
    requests_.for_each([&](const Request& request) {
      if (request.is_finished() || request.model != model) return;
      for (const Sequence& sequence : request.sequences) held.push_back(&sequence.kv);
    });
    return model->prefixes.check_integrity() && model->kv.check_integrity(held);
  });
}

}  // namespace fastserve
