// What the scheduler sees of requests, and how its plans are carried out. mutex_ is held throughout.
#include <algorithm>

#include "engine/choices.h"
#include "engine/engine.h"

namespace fastserve {
namespace {

constexpr int32_t kFullLogitsRows = 32;  // of a step, where a host wants whole rows of logits

}  // namespace

// Plans and begins a step of one model. False when none of its requests can compute now.
bool Engine::plan_for(LoadedModel& model, int64_t now_ns) {
  batch_.begin(model);
  build_views(&model);
  SchedulerInput input;
  input.running = running_views_;
  input.waiting = waiting_views_;
  input.max_batch_tokens = std::min(step_rows_max(model), batch_tokens_max(model));
  input.prefill_chunk_tokens = static_cast<int32_t>(options_.prefill_chunk_tokens);
  input.admission = this;
  input.slots = static_cast<int32_t>(options_.max_sequences);
  input.now_ns = now_ns;
  input.kv_tokens_free = model.kv.unpromised_tokens() + model.kv.growable_tokens(memory_->available_bytes());
  input.cost = &model.cost;
  scheduler_->plan(input, plan_);
  step_work_ = work_of(input, plan_);
  step_busy_ns_ = 0;
  const int32_t drafts_max = this->drafts_max(input.max_batch_tokens);
  for (const PlanEntry& entry : plan_.entries) {
    Sequence& sequence = planned_sequence(entry);
    Request& request = *sequence.request;
    draft(sequence, drafts_max);
    // An admission may have brought more than was known of.
    const int32_t count = std::min(entry.token_count, sequence.pending_tokens());
    const int32_t rows = count + static_cast<int32_t>(sequence.draft.size());
    model.kv.reserve(sequence.kv, sequence.computed + rows);  // promised at admission
    if (request.first_row_ns == 0) request.first_row_ns = now_ns;
    request.in_step = true;
    batch_.add(sequence, count);
  }
  batch_.seal();
  auto has_left = [](Request* request) { return request->admitted || request->is_finished(); };
  waiting_.erase(std::remove_if(waiting_.begin(), waiting_.end(), has_left), waiting_.end());
  step_started_ns_ = clock_.now_ns();
  metrics_.scheduler_ns += static_cast<uint64_t>(step_started_ns_ - now_ns);
  if (batch_.row_count() == 0) {
    batch_.clear();
    return false;
  }
  model.served_turn = turn_;
  computed_committed_ = false;
  runner_.begin(batch_);
  return true;
}

// By the target that the host has set for steps.
int32_t Engine::batch_tokens_max(LoadedModel& model) const {
  const auto limit = static_cast<int32_t>(options_.max_batch_tokens);
  const BatchDemand demand = step_target_ns_ > 0 ? fastserve::demand_of(running_views_, waiting_views_) : BatchDemand{};
  return model.batching.tokens_max(step_target_ns_, model.cost, demand, limit);
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
  for (const Request* request : waiting_) look(request->model);
  return chosen;
}

// What its host asked for, and what it may be asked to give.
void Engine::describe_rights(const Sequence& sequence, SequenceView& view) {
  Request& request = *sequence.request;
  const RequestParameters& parameters = request.parameters;
  view.tenant = parameters.tenant;
  const bool has_begun = sequence.generated > 0;
  const uint64_t deadline_us = has_begun ? parameters.token_deadline_us : parameters.first_token_deadline_us;
  if (deadline_us > 0) {
    view.due_ns =
        (has_begun ? sequence.last_token_ns : request.submitted_ns) + static_cast<int64_t>(deadline_us) * 1000;
  }
  if (parameters.kind == RequestKind::kGenerate) {
    view.tokens_left_max = static_cast<int32_t>(parameters.max_tokens) - sequence.generated;
  }
  view.kv_tokens = int64_t{request.kv_tokens_max()} * static_cast<int64_t>(request.sequences.size());
  view.can_drop = request.can_drop();
  view.job = &request.job;
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
    if (!request.admitted && request.known_tokens > view.computed_tokens) {
      view.pending_tokens -= request.known_tokens - view.computed_tokens;
      view.computed_tokens = request.known_tokens;
    }
    view.priority = request.parameters.priority;
    view.decoding = sequence.generated > 0 && view.pending_tokens == 1;
    describe_rights(sequence, view);
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
    if (request->generated_count() > 0 && !has_room(request->first())) continue;  // it could not go on
    plan_waiting_.push_back(request);
    waiting_views_.push_back(view_of(request->first()));
  }
}

// Called back by the scheduler from begin_step; mutex_ is held.
bool Engine::try_admit(size_t waiting_index) {
  Request& request = *plan_waiting_[waiting_index];
  if (running_.size() + request.sequences.size() > residents_max_) return false;
  if (request.submitted_ns > starved_since_ns_) return false;  // somebody has waited longer for another model
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

// Between steps: a text that is computed again later, token for token as it was. Its request keeps its place among the
// waiting.
void Engine::drop_sequence(Sequence& sequence) {
  Request& request = *sequence.request;
  metrics_.recomputed_tokens += static_cast<uint64_t>(sequence.computed);
  ++metrics_.dropped;
  keep_prefix(sequence);
  request.model->kv.release(sequence.kv);
  sequence.computed = 0;
  request.known_tokens = 0;
  look_up_prefix(request);
  request.was_dropped = true;
  request.admitted = false;
  request.state = RequestState::kQueued;
  std::erase(running_, &sequence);
  const auto came_later = std::find_if(waiting_.begin(), waiting_.end(), [&](const Request* other) {
    return other->submitted_ns > request.submitted_ns;
  });
  waiting_.insert(came_later, &request);  // reserved for all
}

// Idle sessions hold no one up: where that lets the request in, they lose their KV.
Result<bool> Engine::admit_kv(Request& request) {
  LoadedModel& model = *request.model;
  const auto rows = static_cast<int32_t>(options_.max_batch_tokens);
  Sequence& first = request.first();
  SessionTurn* turn = request.parameters.turn.get();
  if (turn != nullptr) first.computed = sessions_.lend(*turn, first.kv);
  const bool is_borrowed = first.computed == 0 && request.takes_prefixes();
  if (is_borrowed) first.computed = model.prefixes.lend(model.kv, first.tokens, first.token_count() - 1, first.kv);
  bool admitted = admit_sequences(request, rows);
  while (!admitted && grow_pool(model)) admitted = admit_sequences(request, rows);
  if (!admitted && model.kv.could_admit(request.kv_tokens_max(), rows)) admitted = admit_after_evicting(request);
  if (!admitted && model.kv.could_admit(request.kv_tokens_max(), rows)) {
    sessions_.loosen(model);
    const Status tried = guarded([&] {
      admitted = admit_sequences(request, rows);
      return Status();
    });
    sessions_.settle(model);
    FSV_TRY(tried);
  }
  while (!admitted && grow_at_others_cost(model)) admitted = admit_sequences(request, rows);
  if (admitted) {
    if (!request.was_dropped) {
      request.cached_count = static_cast<uint32_t>(first.computed);
      metrics_.reused_tokens += request.cached_count;
    }
  } else {
    if (is_borrowed) model.kv.release(first.kv);
    if (turn != nullptr) sessions_.take_back(*turn, first.kv);
    first.computed = 0;
    FSV_TRY(check_refusal(model));
  }
  return admitted;
}

// Nobody holds what the request needs, and the budget has room: then it is the system that gives nothing, and nobody's
// end would change that.
Status Engine::check_refusal(const LoadedModel& model) const {
  const bool has_room = model.kv.growable_tokens(memory_->available_bytes()) > 0;
  if (!running_.empty() || !has_room || is_reloading_) return {};
  return Status::from_literal(StatusCode::kOutOfMemory, "no memory for keys and values, though the budget has room");
}

// Texts that are over make room for one that begins, the one used longest ago first.
bool Engine::admit_after_evicting(Request& request) {
  while (evict_prefixes(*request.model)) {
    if (admit_sequences(request, static_cast<int32_t>(options_.max_batch_tokens))) return true;
  }
  return false;
}

// A sequence gives its blocks up: whoever begins like it may have them.
void Engine::keep_prefix(Sequence& sequence) noexcept {
  LoadedModel& model = *sequence.request->model;
  if (!model.prefixes.is_on() || sequence.kv.groups.empty() || sequence.request->beams != nullptr) return;
  model.kv.suspend(sequence.kv);
  const auto count = static_cast<size_t>(std::min(sequence.computed, sequence.token_count()));
  model.prefixes.insert(model.kv, sequence.kv, std::span(sequence.tokens).first(count));
}

void Engine::look_up_prefix(Request& request) noexcept {
  const Sequence& first = request.first();
  LoadedModel& model = *request.model;
  if (!options_.keeps_prefixes || !request.takes_prefixes()) return;
  const Status reserved = guarded([&] {
    if (!model.prefixes.is_on()) model.prefixes.reserve(model.kv);
    return Status();
  });
  if (!reserved.ok()) return;  // another request may find memory for the tree
  request.known_tokens = model.prefixes.match(model.kv, first.tokens, first.token_count() - 1);
}

}  // namespace fastserve
