// Engine: one queue of requests, one loop that computes them, one stream of events. Hosts call from any thread;
// computation happens on the engine thread, or inside step() in pumped mode.
//
// Locks: mutex_ guards requests' shared halves, tickets, events and counters. It is never held while computing.
#pragma once
#include <atomic>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "base/byte_sink.h"
#include "base/clock.h"
#include "engine/batch.h"
#include "engine/event_hub.h"
#include "engine/load_job.h"
#include "engine/model_sizing.h"
#include "engine/options.h"
#include "engine/request.h"
#include "engine/runner.h"
#include "engine/session.h"
#include "engine/slot_table.h"
#include "scheduler/scheduler.h"

namespace fastserve {

enum class EventType : uint32_t {
  kTokens = 1,
  kScore = 2,
  kFinished = 3,
  kLoadProgress = 4,
  kLoadFinished = 5,
  kChoiceFinished = 6,
  kMemory = 7
};

// One event as the host sees it; pointers stay valid until the next poll.
struct EngineEvent {
  EventType type = EventType::kTokens;
  uint64_t number = 0;  // request or ticket
  uint64_t user_data = 0;
  const OutputBuffer* output = nullptr;
  uint32_t top_logprob_count = 0;
  uint32_t choice = 0;
  double cumulative_logprob = 0, score = 0;
  const Status* status = nullptr;  // null: ok
  FinishReason finish_reason = FinishReason::kNone;
  uint32_t prompt_count = 0, generated_count = 0, cached_count = 0;
  uint64_t bytes_done = 0, bytes_total = 0;
  uint64_t queue_us = 0, first_token_us = 0, total_us = 0;
  uint32_t memory_notes = 0;  // kNote*
};

enum class TicketState : uint32_t { kQueued = 0, kLoading = 1, kReady = 2, kFailed = 3 };

// A load as the host sees it. Guarded by the engine's mutex; the job itself is thread-safe.
struct Ticket {
  uint64_t number = 0;
  uint64_t user_data = 0;
  int32_t priority = 0;
  std::shared_ptr<LoadJob> job;
  TicketState state = TicketState::kQueued;
  std::shared_ptr<LoadedModel> model;
  std::shared_ptr<LoadedModel> reloaded;  // whose weights come again; no host knows of it. Null: an ordinary load
  Status failure;
  bool in_ready_list = false;
  bool finish_delivered = false;
  uint64_t bytes_done = 0, bytes_total = 0;  // as last reported
};

struct TicketInfo {
  TicketState state = TicketState::kQueued;
  Status failure;
  uint64_t bytes_done = 0, bytes_total = 0;
};

struct RequestInfo {
  RequestState state = RequestState::kQueued;
  uint32_t prompt_count = 0, prefilled_count = 0, generated_count = 0;
  FinishReason finish_reason = FinishReason::kNone;
  int64_t kv_bytes = 0;
};

struct EngineMetrics {
  uint32_t queued = 0, running = 0, paused = 0;
  uint64_t submitted = 0, finished = 0, cancelled = 0, failed = 0;
  uint64_t prefill_tokens = 0, decode_tokens = 0, reused_tokens = 0;
  uint64_t dropped = 0, recomputed_tokens = 0;
  uint64_t evicted_models = 0, reloaded_models = 0;
  PrefixTree::Usage prefixes;
  uint64_t steps = 0, step_us = 0, scheduler_ns = 0, max_step_us = 0, batch_rows = 0;
  uint64_t drafts = 0, drafts_true = 0;
  uint64_t step_target_us = 0;
  BatchController::Figures batching;  // of the model that computed last
};

struct EngineMemory {
  MemoryStats stats;
  uint32_t model_count = 0;
  KvCache::Usage kv;
  PrefixTree::Usage prefixes;
  SessionTable::Usage sessions;
  uint64_t floor_bytes = 0;  // the smallest budget that can be set now
};

// Of one model.
struct ModelMemory {
  uint64_t weight_bytes = 0, activation_bytes = 0, other_bytes = 0;
  KvCache::Usage kv;
  PrefixTree::Usage prefixes;
  uint32_t request_count = 0;  // not finished
  LoadedModel::Residence residence = LoadedModel::Residence::kHere;
};

class Engine : private Admission {
  static constexpr uint64_t kMemoryEvents = UINT64_MAX;  // in the ring of events, beside requests and tickets

 public:
  static Result<std::shared_ptr<Engine>> create(const EngineOptions& options);
  ~Engine() override;
  Engine(const Engine&) = delete;
  Engine& operator=(const Engine&) = delete;

  // What a model would take in an engine of these options.
  static Result<MemoryEstimate> estimate(LoadRequest request, const EngineOptions& options);

  // Loads.
  Result<uint64_t> load(LoadRequest request);
  Status set_priority(uint64_t ticket, int32_t priority);
  Result<TicketInfo> ticket_info(uint64_t ticket);
  Status wait_ticket(uint64_t ticket, uint64_t timeout_us);
  Result<std::shared_ptr<LoadedModel>> take_model(uint64_t ticket);
  Status cancel_ticket(uint64_t ticket);

  // Requests.
  Result<uint64_t> submit(std::shared_ptr<LoadedModel> model, RequestParameters parameters);
  Status cancel(uint64_t request);
  Status set_request_priority(uint64_t request, int32_t priority);
  Result<RequestInfo> request_info(uint64_t request);

  // Events: calls `deliver(context, index, event)` for up to `capacity` events and returns their number.
  using Deliver = void (*)(void* context, size_t index, const EngineEvent& event);
  size_t poll(size_t capacity, Deliver deliver, void* context);
  Status wait(uint64_t timeout_us);
  intptr_t wait_handle() const { return events_->native_handle(); }

  // Sessions, for models of this engine.
  SessionTable& sessions() { return sessions_; }
  // Writes a session, with or without its KV, to `sink`, or into the write folder: complete or not at all. Both work on
  // the calling thread, and the session is busy meanwhile.
  Status export_session(std::shared_ptr<Session> session, bool with_kv, ByteSink& sink);
  Status save_session(std::shared_ptr<Session> session, bool with_kv, std::string_view name);
  // A session as it was written. KV that finds no room, or is laid out otherwise here, is left out.
  Result<std::shared_ptr<Session>> import_session(std::shared_ptr<LoadedModel> model, os::File& file);
  // Whether requests and sessions can name a model.
  Status check_owned(const LoadedModel& model) const;
  Status check_runs(const LoadedModel& model) const;

  // Life.
  Status step(uint64_t max_us, bool* more);
  void pause(bool paused);
  void shutdown(uint64_t timeout_us);
  // What 95 of 100 steps are to stay within, from the next one on; 0: no matter.
  void set_step_target(uint64_t target_us);

  EngineMetrics metrics();
  // Memory. Both take effect between pieces of work; a budget below what must stay is kBudgetTooSmall.
  Status set_memory_budget(uint64_t budget_bytes);
  // Gives back KV that nobody holds, and what else `kinds` (kTrim*) name.
  static constexpr uint32_t kTrimPrefixes = 1, kTrimSessions = 2, kTrimModels = 4;
  Status trim_memory(uint32_t kinds);
  EngineMemory memory();
  Result<ModelMemory> model_memory(LoadedModel& model);
  Status evict(LoadedModel& model);
  // What was given up for want of memory, in events.
  static constexpr uint32_t kNotePrefixes = 1, kNoteSessions = 2, kNoteEvicted = 4, kNoteRequests = 8,
                            kNoteReloaded = 16, kNoteShort = 32;
  const EngineOptions& options() const { return options_; }
  // Blocks of every loaded model are those that its requests and sessions hold; for tests.
  bool check_integrity();

 private:
  explicit Engine(const EngineOptions& options);
  Status start();
  Status open_memory();
  Status start_threads();

  // engine_loop.cpp: the engine thread's side.
  enum class Progress : uint32_t { kIdle, kWorked, kOutOfTime };
  void run_engine_thread();
  Progress iterate();
  bool begin_step();
  bool heed_attention();
  void wait_for_work(std::unique_lock<std::mutex>& lock);
  template <typename Condition>
  void wait_until_timeouts(std::unique_lock<std::mutex>& lock, Condition has_come);
  int64_t next_queue_timeout_ns() const;
  void end_those_timed_out();
  Progress continue_step();
  // engine_pieces.cpp: what a step is made of, sized by the grant.
  bool has_pieces() const { return runner_.active() || sampled_count_ < runner_.ready_count(); }
  bool run_piece();
  bool run_next_piece();
  bool may_begin(int64_t expected_ns);
  int32_t layers_of_piece(const GrantPacer& pacer, int32_t rows) const;
  bool run_layer(GrantPacer& pacer);
  bool run_head(GrantPacer& pacer);
  bool run_sampling(GrantPacer& pacer);
  int32_t step_rows_max(const LoadedModel& model) const;
  int32_t batch_tokens_max(LoadedModel& model) const;
  // engine_planning.cpp
  bool plan_for(LoadedModel& model, int64_t now_ns);
  std::shared_ptr<LoadedModel> choose_model(uint64_t turn);
  void build_views(LoadedModel* model);
  static void describe_rights(const Sequence& sequence, SequenceView& view);
  bool try_admit(size_t waiting_index) override;
  void drop(size_t running_index) override { drop_sequence(*plan_running_[running_index]); }
  void drop_sequence(Sequence& sequence);
  Result<bool> admit_kv(Request& request);
  bool admit_after_evicting(Request& request);
  Status check_refusal(const LoadedModel& model) const;
  void keep_prefix(Sequence& sequence) noexcept;
  void look_up_prefix(Request& request) noexcept;
  void drain_incoming();
  void drop_cancelled_from_batch();
  void remove_from_batch(size_t index);
  void leave_batch(const Sequence& sequence);
  void commit_computed();
  void process_logits(size_t begin, size_t end);
  void sample_rows(std::span<const LogitRow> rows, size_t begin, size_t end);
  void sample_run(std::span<const LogitRow> rows, size_t first, size_t end, SamplerScratch& scratch);
  void sample_row(const LogitRow& row, size_t index, int32_t drawn_before, SamplerScratch& scratch);
  void check_guess(Sequence& sequence, int32_t position, int32_t drawn_id);
  int32_t drafts_max(int32_t rows_max) const;
  void draft(Sequence& sequence, int32_t count_max);
  void end_step();
  void collect_cancelled();
  // Releases what a sequence holds and flushes its text. mutex_ held.
  Status end_sequence(Sequence& sequence, FinishReason reason);
  // One sequence ends, and with the last one its request. mutex_ held.
  void finish_sequence(Sequence& sequence, FinishReason reason);
  // A beam's row: the search goes on, or ends with its request. mutex_ held.
  Status advance_search(Sequence& sequence, std::span<const TokenLogprob> candidates);
  // Ends a request with all its sequences: frees their blocks, flushes their text, makes FINISHED pending. mutex_ held.
  void finish_request(Request& request, FinishReason reason, Status status);
  void mark_ready(Request& request);
  std::string describe_full_queue() const;  // mutex_ held
  // Whether the host has polled enough that a sequence may go on.
  bool has_room(const Sequence& sequence) const {
    return sequence.pending.token_ids.size() < options_.max_pending_events;
  }
  bool can_compute(const Sequence& sequence) const {
    return sequence.pending_tokens() > 0 && !sequence.waits_for_prompt && has_room(sequence);
  }
  RequestState state_of(const Request& request) const;
  Sequence& planned_sequence(const PlanEntry& entry) {
    return entry.from_waiting ? plan_waiting_[entry.index]->first() : *plan_running_[entry.index];
  }
  // The step under way is over: nothing of it is touched any more. mutex_ held.
  void leave_step();
  void log_device_notes(LogLevel level);
  void fail_step(const Status& status);
  void end_all_requests(FinishReason reason, const Status& status);  // mutex_ held, here and below
  void cancel_everything();

  // engine_memory.cpp
  static constexpr uint32_t kTrimRequests = 1U << 31, kTrimAll = UINT32_MAX;
  KvDemand demand_of(const Request& request) const;
  KvDemand kv_floor(const LoadedModel& model) const;
  static uint64_t pool_bytes_for(const LoadedModel& model, const KvDemand& demand);
  uint64_t memory_floor() const;
  Status check_floor(uint64_t budget_bytes) const;
  Status check_room(const Request& request) const;
  void ask_for_memory() noexcept;
  bool serve_memory(bool in_step);
  void end_trim();
  // Of other models than `keeps`, which may be null.
  bool give_back(uint32_t kinds, const LoadedModel* keeps);
  void note_memory(uint32_t notes) noexcept;
  void say_memory();
  void deliver_memory(size_t& count, Deliver deliver, void* context);
  std::vector<std::shared_ptr<LoadedModel>> models_by_use() const;
  bool shrink_pool(LoadedModel& model);
  bool evict_prefixes(LoadedModel& model);
  bool drop_least_urgent();
  bool grow_pool(LoadedModel& model);
  bool grow_at_others_cost(LoadedModel& model);
  void tell_room() noexcept;

  // engine_eviction.cpp
  bool has_requests(const LoadedModel& model) const;
  bool is_serving(const LoadedModel& model) const;
  bool can_evict(const LoadedModel& model) const;
  void evict_model(LoadedModel& model) noexcept;
  bool evict_idle_model(const LoadedModel* keeps);
  void evict_wanted();
  void call_models_back(uint64_t turn);
  void want_back(const std::shared_ptr<LoadedModel>& model);
  Status begin_reload(const std::shared_ptr<LoadedModel>& model);
  void end_reload(LoadedModel& model, Result<std::shared_ptr<LoadedModel>> result) noexcept;
  void make_room(uint64_t size_bytes);
  std::shared_ptr<LoadJob> create_job(LoadRequest request);

  // engine_loads.cpp
  void run_loader_thread();
  bool advance_loads();
  bool advance_load();
  bool has_loads();
  // Takes the load of the highest priority out of the queue; null when none is left. mutex_ held.
  std::shared_ptr<LoadJob> take_next_load(uint64_t& ticket);
  std::shared_ptr<LoadedModel> find_shared(const LoadJob& job);
  Result<std::shared_ptr<LoadedModel>> open_load(LoadJob& job);
  void run_load_workers(uint64_t ticket, LoadJob& job);
  void log_load(const LoadJob& job, const Status& status) const noexcept;
  void end_job(uint64_t ticket, LoadJob& job, Result<std::shared_ptr<LoadedModel>> result) noexcept;
  void end_load(uint64_t ticket, Result<std::shared_ptr<LoadedModel>> result) noexcept;
  // Takes a ticket out of the table and its events out of the ring. mutex_ held.
  std::shared_ptr<Ticket> remove_ticket(uint64_t ticket) noexcept;
  void report_progress(uint64_t ticket);

  // Requests that found no room may find some now.
  void admit_again() noexcept;

  bool deliver_request(Request& request, size_t capacity, size_t& count, Deliver deliver, void* context);
  // Appends a sequence's output and end to the poll; false when the poll is full before that is done.
  bool deliver_sequence(Sequence& sequence, EngineEvent event, size_t capacity, size_t& count, Deliver deliver,
                        void* context);
  void deliver_ticket(Ticket& ticket, size_t& count, Deliver deliver, void* context);
  void recycle_delivered();
  bool is_idle() const { return requests_alive_ == 0; }  // mutex_ held

  const EngineOptions options_;
  const uint32_t serial_;
  const Clock& clock_;
  std::shared_ptr<DeviceMemory> device_memory_;  // null: computed by the CPU
  std::shared_ptr<LimitResource> memory_;
  std::shared_ptr<Executor> executor_;
  Device device_;

  std::mutex mutex_;
  std::mutex poll_mutex_;            // one consumer at a time; taken before mutex_
  std::condition_variable work_;     // the engine thread and the loader sleep here
  std::condition_variable settled_;  // shutdown and ticket waits
  SessionTable sessions_{mutex_};
  SlotTable<Request> requests_;
  SlotTable<Ticket> tickets_;
  std::unique_ptr<EventHub> events_;
  std::vector<Request*> incoming_;
  std::vector<uint64_t> delivered_;  // numbers whose payloads the host may be reading
  std::vector<uint64_t> load_queue_;
  std::vector<std::shared_ptr<Ticket>> delivered_tickets_;  // whose failures the last poll's events point to
  std::vector<std::shared_ptr<Request>> retired_;           // ended and polled, but still in the step under way
  std::vector<std::weak_ptr<LoadedModel>> models_;
  uint32_t requests_alive_ = 0;  // not finished
  bool is_paused_ = false;
  bool is_draining_ = false;  // refuses new work
  bool is_stopping_ = false;  // ends what is left
  bool is_stopped_ = false;
  bool is_stepping_ = false;  // pumped: someone is inside step()
  bool is_trimming_ = false, memory_is_stuck_ = false;
  uint32_t trimmed_kinds_ = 0;
  int64_t step_target_ns_ = 0;
  uint64_t room_wanted_bytes_ = 0;       // by a load; 0: none, or it was told
  bool is_reloading_ = false;            // one model at a time; nobody else takes memory meanwhile
  bool reload_is_alone_ = false;         // nobody else was running when that began
  int64_t starved_since_ns_ = kNeverNs;  // since when somebody waits for a model that others leave no room
  uint32_t memory_notes_ = 0;
  bool memory_event_in_list_ = false;
  std::atomic<uint32_t> unsaid_notes_{0};  // to the host's hook
  bool evicts_some_ = false;               // a model's evict_wanted is set
  EngineMetrics metrics_;
  std::atomic<uint32_t> attention_{0};  // bumped when the loop must look up: cancel, pause, stop

  // Engine thread only.
  std::unique_ptr<Scheduler> scheduler_;
  std::vector<Request*> waiting_, plan_waiting_;
  std::vector<Sequence*> running_, plan_running_;
  std::vector<SequenceView> waiting_views_, running_views_;
  Plan plan_;
  StepWork step_work_;        // of the step under way, as planned
  int64_t step_busy_ns_ = 0;  // what its pieces took so far
  size_t residents_max_ = 0;  // sequences that may hold KV
  Batch batch_;
  Runner runner_;
  struct Drawn {
    SampleResult result;
    Status status;
    std::vector<TokenLogprob> top;
  };
  std::vector<Drawn> drawn_;      // one for each row of a logits chunk
  uint64_t turn_ = 0;             // of models; see choose_model
  uint32_t failed_in_a_row_ = 0;  // steps; guarded by mutex_
  bool admission_failed_ = false;
  uint32_t seen_attention_ = 0;
  bool computed_committed_ = false;
  int64_t step_started_ns_ = 0;
  size_t sampled_count_ = 0;  // rows of the runner's chunk that are done with
  // The time that this call of step() may take. Of an engine with a thread of its own: no end.
  struct Grant {
    int64_t total_ns = GrantPacer::kNoGrant;
    int64_t deadline_ns = INT64_MAX;
    bool is_used = false;  // something has run: whatever does not fit waits
  };
  Grant grant_;
  int64_t load_piece_ns_ = 0;    // what pieces of loads take
  int64_t memory_piece_ns_ = 0;  // and those that give memory back

  // Pumped loads: the job under way.
  std::shared_ptr<LoadJob> pumped_job_;
  std::optional<Result<std::shared_ptr<LoadedModel>>> pumped_result_;  // while what is left of the job goes
  uint64_t pumped_ticket_ = 0;
  std::shared_ptr<RetiredModels> retired_models_;  // null where memory goes at once

  os::Thread engine_thread_, loader_thread_;
};

}  // namespace fastserve
