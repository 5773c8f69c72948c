// The engine's memory while it lives: a budget that may change at any time, and what goes first where it is short:
// blocks that nobody holds, texts that are over, idle sessions, then running requests, which compute again what they
// lose. Memory goes a piece at a time, between the pieces of a step, with the mutex free in between.
#include <algorithm>

#include "base/format.h"
#include "base/heap.h"
#include "engine/choices.h"
#include "engine/engine.h"

namespace fastserve {
namespace {

// Weights and activations, here or not, and small objects.
uint64_t fixed_bytes(const LoadedModel& model) { return model.runtime_bytes + model.heap_bytes(); }

}  // namespace

KvDemand Engine::demand_of(const Request& request) const {
  return request.model->kv.demand(request.kv_tokens_max(), static_cast<int32_t>(options_.max_batch_tokens),
                                  sharing_of(request), static_cast<int32_t>(request.sequence_count()));
}

// What the pool may not fall below: the longest request, so that each completes in its turn, and those that cannot
// compute again what they hold.
KvDemand Engine::kv_floor(const LoadedModel& model) const {
  KvDemand longest, held;
  requests_.for_each([&](const Request& request) {
    if (request.is_finished() || request.model.get() != &model) return;
    const KvDemand demand = demand_of(request);
    longest.raise_to(demand);
    if (request.admitted && !request.can_drop()) held.add(demand);
  });
  longest.raise_to(held);
  return longest;
}

// Bytes of a pool that has at least these blocks, as small as it can be made.
uint64_t Engine::pool_bytes_for(const LoadedModel& model, const KvDemand& demand) {
  const int64_t bytes = model.kv.bytes_for(demand), now = model.kv.usage().total_bytes;
  return static_cast<uint64_t>(model.kv.holds(demand) ? std::min(bytes, now) : bytes);
}

uint64_t Engine::memory_floor() const {
  uint64_t bytes = 0;
  for (const auto& weak : models_) {
    const std::shared_ptr<LoadedModel> model = weak.lock();
    if (model == nullptr) continue;
    const bool may_go = model->source.can_reload && !has_requests(*model);
    bytes += may_go ? model->heap_bytes() : fixed_bytes(*model) + pool_bytes_for(*model, kv_floor(*model));
  }
  return bytes;
}

Status Engine::check_room(const Request& request) const {
  const LoadedModel& model = *request.model;
  const KvDemand demand = demand_of(request);
  if (model.kv.holds(demand)) return {};
  const uint64_t budget = memory_->stats().budget_bytes;
  uint64_t fixed = 0;
  for (const auto& weak : models_) {
    const std::shared_ptr<LoadedModel> other = weak.lock();
    if (other == nullptr) continue;
    const bool may_go = other.get() != &model && other->source.can_reload;
    fixed += may_go ? other->heap_bytes() : fixed_bytes(*other);
  }
  const int64_t needed = model.kv.bytes_for(demand);
  const bool is_possible = needed != INT64_MAX;
  if (is_possible && (budget == 0 || static_cast<uint64_t>(needed) + fixed <= budget)) return {};
  const KvLayout layout{model.def->shape().kv_layers, model.kv.layers()[0].type};
  const auto more = static_cast<int64_t>(request.sequence_count()) - 1;
  const int64_t tokens = request.kv_tokens_max() + more * (request.kv_tokens_max() - sharing_of(request).tokens);
  return Status(StatusCode::kBudgetTooSmall,
                format("the request needs ", tokens * kv_token_bytes(layout), " bytes of KV for ", tokens,
                       is_possible ? " tokens, the memory budget leaves " : " tokens, the pool has ",
                       is_possible ? static_cast<int64_t>(budget > fixed ? budget - fixed : 0) : model.kv.bytes_max()));
}

Status Engine::check_floor(uint64_t budget_bytes) const {
  const uint64_t needed = memory_floor();
  if (budget_bytes == 0 || budget_bytes >= needed) return {};
  return Status(StatusCode::kBudgetTooSmall,
                format("the engine needs ", needed,
                       " bytes for its models and the longest of its requests, the budget is ", budget_bytes));
}

Status Engine::set_memory_budget(uint64_t budget_bytes) {
  const std::lock_guard lock(mutex_);
  if (is_stopping_) return Status::from_literal(StatusCode::kShutdown, "the engine has shut down");
  FSV_TRY(check_floor(budget_bytes));
  memory_->set_budget_bytes(budget_bytes);
  if (memory_->excess_bytes() > 0) note_memory(kNoteShort);
  ask_for_memory();
  return {};
}

Status Engine::trim_memory(uint32_t kinds) {
  const std::lock_guard lock(mutex_);
  if (is_stopping_) return Status::from_literal(StatusCode::kShutdown, "the engine has shut down");
  is_trimming_ = true;
  trimmed_kinds_ |= kinds;
  ask_for_memory();
  return {};
}

// The loop looks at what memory is wanted for. mutex_ held.
void Engine::ask_for_memory() noexcept {
  memory_is_stuck_ = false;
  attention_.fetch_add(1);
  work_.notify_all();
}

// Gives back what is too much or was asked for. False: the time that is left is too short for the next piece.
bool Engine::serve_memory(bool in_step) {
  if (in_step && device_memory_ != nullptr) return true;  // what is queued knows where blocks are: after the step
  for (;;) {
    const std::lock_guard lock(mutex_);
    const int64_t began_ns = clock_.now_ns();
    const bool is_over = memory_->excess_bytes() > 0;
    const bool is_short = room_wanted_bytes_ > memory_->available_bytes();
    if (!is_short) tell_room();
    if (!is_over && !is_trimming_ && !is_short) {
      memory_is_stuck_ = false;
      return true;
    }
    // What gives nothing takes no time from the step.
    if (grant_.is_used && !GrantPacer::fits(memory_piece_ns_, grant_.deadline_ns - began_ns)) return false;
    uint32_t kinds = is_over ? kTrimAll : is_short ? kTrimAll & ~kTrimRequests : trimmed_kinds_;
    // What did not help once (a load holds memory, a session is being saved) costs nobody their keys and values again.
    if (memory_is_stuck_) kinds &= ~kTrimRequests;
    bool gave = false;
    const Status status = guarded([&] {
      gave = give_back(kinds, nullptr);
      return Status();
    });
    if (!status.ok()) options_.log.write(LogLevel::kWarning, status.message());
    if (gave && device_memory_ != nullptr) (void)device_memory_->pool().trim();
    if (gave) {
      memory_piece_ns_ = (3 * memory_piece_ns_ + clock_.now_ns() - began_ns) / 4;
      grant_.is_used = true;
      continue;
    }
    tell_room();
    if (!is_over || !in_step) end_trim();
    memory_is_stuck_ = is_over && !in_step;
    return true;
  }
}

void Engine::end_trim() {
  if (!std::exchange(is_trimming_, false)) return;
  trimmed_kinds_ = 0;
  if (device_memory_ != nullptr) (void)device_memory_->pool().trim();
  trim_heap();
}

// The next piece, of what is missed least. mutex_ held. False: there is nothing of these kinds.
bool Engine::give_back(uint32_t kinds, const LoadedModel* keeps) {
  std::vector<std::shared_ptr<LoadedModel>> models = models_by_use();
  std::erase_if(models, [&](const auto& model) { return model.get() == keeps; });
  uint32_t note = 0;
  const auto shrinks = [this](const auto& model) { return shrink_pool(*model); };
  const auto evicts = [this](const auto& model) { return evict_prefixes(*model); };
  if (std::any_of(models.begin(), models.end(), shrinks)) return true;
  if ((kinds & kTrimPrefixes) != 0 && std::any_of(models.begin(), models.end(), evicts)) {
    note = kNotePrefixes;
  } else if ((kinds & kTrimSessions) != 0 && sessions_.drop_oldest(keeps)) {
    note = kNoteSessions;
  } else if ((kinds & kTrimModels) != 0 && evict_idle_model(keeps)) {
    note = kNoteEvicted;
  } else if ((kinds & kTrimRequests) != 0 && drop_least_urgent()) {
    note = kNoteRequests;
  }
  if (note != 0) note_memory(note);
  return note != 0;
}

// The load that waits for room goes on with what there is.
void Engine::tell_room() noexcept {
  if (std::exchange(room_wanted_bytes_, 0) != 0) settled_.notify_all();
}

// An event says so, if the host wants such. mutex_ held.
void Engine::note_memory(uint32_t notes) noexcept {
  if (options_.on_memory != nullptr) unsaid_notes_.fetch_or(notes);
  memory_notes_ |= notes;
  if (options_.tells_of_memory && !std::exchange(memory_event_in_list_, true)) events_->push(kMemoryEvents);
}

// Calls the host's hook, which may set another budget: no lock is held.
void Engine::say_memory() {
  const uint32_t notes = unsaid_notes_.exchange(0);
  if (notes == 0) return;
  const MemoryStats stats = memory_->stats();
  options_.on_memory(options_.on_memory_context, notes, stats.used_bytes, stats.budget_bytes);
}

void Engine::deliver_memory(size_t& count, Deliver deliver, void* context) {
  memory_event_in_list_ = false;
  EngineEvent event;
  event.type = EventType::kMemory;
  event.memory_notes = std::exchange(memory_notes_, 0);
  event.bytes_done = memory_->stats().used_bytes;
  event.bytes_total = memory_->stats().budget_bytes;
  deliver(context, count++, event);
}

// The one used longest ago first.
std::vector<std::shared_ptr<LoadedModel>> Engine::models_by_use() const {
  std::vector<std::shared_ptr<LoadedModel>> models;
  for (const auto& weak : models_) {
    if (std::shared_ptr<LoadedModel> model = weak.lock(); model != nullptr) models.push_back(std::move(model));
  }
  std::stable_sort(models.begin(), models.end(),
                   [](const auto& a, const auto& b) { return a->served_turn < b->served_turn; });
  return models;
}

bool Engine::shrink_pool(LoadedModel& model) {
  if (model.kv.unpromised_blocks() == 0) return false;
  KvHolders holders;
  model.prefixes.list_slices(holders.slices);
  sessions_.list(model, holders.sequences);
  requests_.for_each([&](Request& request) {
    if (request.is_finished() || request.model.get() != &model) return;
    for (Sequence& sequence : request.sequences) holders.sequences.push_back(&sequence.kv);
  });
  return model.kv.shrink(kv_floor(model), holders);
}

bool Engine::evict_prefixes(LoadedModel& model) {
  constexpr int kBlocksAtOnce = 8;
  int evicted = 0;
  while (evicted < kBlocksAtOnce && model.prefixes.evict(model.kv)) ++evicted;
  return evicted > 0;
}

// Also from the step under way, as long as its tokens are not in the cache. What was promised to it is free then.
bool Engine::drop_least_urgent() {
  Sequence* chosen = nullptr;
  for (Sequence* sequence : running_) {
    const Request& request = *sequence->request;
    if (!request.can_drop() || (request.in_step && computed_committed_)) continue;
    const auto urgency = [](const Request& other) {
      return std::pair(int64_t{other.parameters.priority}, -other.submitted_ns);
    };
    if (chosen == nullptr || urgency(request) < urgency(*chosen->request)) chosen = sequence;
  }
  if (chosen == nullptr) return false;
  leave_batch(*chosen);
  drop_sequence(*chosen);
  return true;
}

// A pool that was cut takes memory again where a request wants it: the budget's, or what other models do not use.
bool Engine::grow_pool(LoadedModel& model) {
  if (is_reloading_) return false;
  if (model.kv.grow()) return true;
  if (model.kv.is_complete() || models_.size() < 2) return false;
  for (const auto& other : models_by_use()) {
    if (other.get() != &model && shrink_pool(*other)) return model.kv.grow();
  }
  return false;
}

// The same at the cost of what others would have to compute or read again.
bool Engine::grow_at_others_cost(LoadedModel& model) {
  if (is_reloading_ || model.kv.is_complete()) return false;
  while (models_.size() > 1 && give_back(kTrimAll & ~kTrimRequests, &model)) {
    if (model.kv.grow()) return true;
  }
  return false;
}

EngineMemory Engine::memory() {
  EngineMemory memory;
  memory.stats = memory_->stats();
  const std::lock_guard lock(mutex_);
  memory.floor_bytes = memory_floor();
  for (const auto& weak : models_) {
    const std::shared_ptr<LoadedModel> model = weak.lock();
    if (model == nullptr) continue;
    ++memory.model_count;
    const KvCache::Usage usage = model->kv.usage();
    memory.kv.total_bytes += usage.total_bytes;
    memory.kv.used_bytes += usage.used_bytes;
    memory.kv.block_count += usage.block_count;
    memory.kv.free_count += usage.free_count;
    memory.prefixes += model->prefixes.usage();
  }
  memory.sessions = sessions_.usage();
  return memory;
}

Result<ModelMemory> Engine::model_memory(LoadedModel& model) {
  FSV_TRY(check_owned(model));
  const std::lock_guard lock(mutex_);
  ModelMemory memory;
  memory.residence = model.residence;
  memory.weight_bytes = model.weights.size_bytes();
  memory.activation_bytes = model.workspace.buffer().size_bytes();
  memory.other_bytes = model.heap_bytes();
  memory.kv = model.kv.usage();
  memory.prefixes = model.prefixes.usage();
  requests_.for_each([&](const Request& request) {
    if (!request.is_finished() && request.model.get() == &model) ++memory.request_count;
  });
  return memory;
}

}  // namespace fastserve
