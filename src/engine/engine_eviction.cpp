// Models that go and come back under the budget. A model that nobody uses gives its weights, activations and KV away
// where others need them, the one used longest ago first; what is left (tokenizer, template, facts) still serves its
// handles. The next request loads it again, from where it came, and waits until it is there.
#include <algorithm>

#include "base/format.h"
#include "engine/engine.h"

namespace fastserve {

bool Engine::has_requests(const LoadedModel& model) const {
  bool has = false;
  requests_.for_each([&](const Request& request) { has |= !request.is_finished() && request.model.get() == &model; });
  return has;
}

// Whether requests of it have begun: those that wait can wait for the model too.
bool Engine::is_serving(const LoadedModel& model) const {
  return std::any_of(running_.begin(), running_.end(),
                     [&](const Sequence* sequence) { return sequence->request->model.get() == &model; });
}

// Whether its memory can go now. mutex_ held.
bool Engine::can_evict(const LoadedModel& model) const {
  return model.residence == LoadedModel::Residence::kHere && model.source.can_reload && batch_.model() != &model &&
         !is_serving(model);
}

Status Engine::evict(LoadedModel& model) {
  FSV_TRY(check_runs(model));
  const std::lock_guard lock(mutex_);
  if (!model.source.can_reload) {
    return Status::from_literal(StatusCode::kUnsupported,
                                "the model cannot be loaded again: it came from a buffer or through an io of its own "
                                "without FSV_LOAD_KEEP_SOURCE, or with FSV_LOAD_PINNED");
  }
  if (model.residence == LoadedModel::Residence::kGone) return {};
  if (model.residence == LoadedModel::Residence::kComing || has_requests(model)) {
    return Status::from_literal(StatusCode::kWrongState, "requests of the model have not ended, or it is being loaded");
  }
  if (can_evict(model)) {
    evict_model(model);
  } else {  // the step that its last request ended in is not over
    model.is_unwanted = evicts_some_ = true;
    ask_for_memory();
  }
  return {};
}

// Between steps.
void Engine::evict_wanted() {
  const std::lock_guard lock(mutex_);
  if (!std::exchange(evicts_some_, false)) return;
  for (const auto& model : models_by_use()) {
    if (std::exchange(model->is_unwanted, false) && can_evict(*model)) evict_model(*model);
  }
}

// mutex_ held, as below.
void Engine::evict_model(LoadedModel& model) noexcept {
  while (evict_prefixes(model)) {
  }
  sessions_.drop_all(model);
  (void)guarded([&] {
    while (shrink_pool(model)) {
    }
    if (retired_models_ == nullptr) return Status();
    // In pumped mode what is large goes a piece at a time.
    const std::shared_ptr<LoadedModel> rest = RetiredModels::create_model(retired_models_);
    rest->memory = memory_;
    model.move_resident(*rest);
    return Status();
  });
  LoadedModel left;
  model.move_resident(left);
  model.residence = LoadedModel::Residence::kGone;
  ++metrics_.evicted_models;
  note_memory(kNoteEvicted);
}

// The one used longest ago of those that nobody uses; `keeps` stays.
bool Engine::evict_idle_model(const LoadedModel* keeps) {
  for (const auto& model : models_by_use()) {
    if (model.get() == keeps || !can_evict(*model)) continue;
    evict_model(*model);
    return true;
  }
  return false;
}

// Before a plan: models that requests wait for. mutex_ held, as below.
void Engine::call_models_back(uint64_t turn) {
  starved_since_ns_ = kNeverNs;
  for (size_t i = 0; i < waiting_.size(); ++i) {  // a failure ends some of them, and calls for the next plan
    const Request& request = *waiting_[i];
    LoadedModel& model = *request.model;
    const bool is_coming = model.residence == LoadedModel::Residence::kComing;
    if (is_coming) starved_since_ns_ = std::min(starved_since_ns_, request.submitted_ns);
    if (model.residence != LoadedModel::Residence::kGone || model.served_turn == turn || is_reloading_) continue;
    model.served_turn = turn;
    want_back(request.model);
  }
}

// Requests wait for a model that is gone: it is loaded again, once there can be room. Until then nobody who came later
// begins, so that the models in its way become idle.
void Engine::want_back(const std::shared_ptr<LoadedModel>& waited_for) {
  const std::shared_ptr<LoadedModel> model = waited_for;  // its requests may end here
  // While it loads, headers and what is being read count too.
  constexpr uint64_t kHeaderBytes = uint64_t{256} << 10;
  const uint64_t loading = model->runtime_bytes / 8 + kHeaderBytes;
  const uint64_t needed = model->runtime_bytes + loading + pool_bytes_for(*model, kv_floor(*model));
  // Those that came first go first.
  const auto first =
      std::find_if(waiting_.begin(), waiting_.end(), [&](const Request* request) { return request->model == model; });
  const bool others_first = std::any_of(waiting_.begin(), first, [](const Request* request) {
    return request->model->residence != LoadedModel::Residence::kGone;
  });
  if (memory_->available_bytes() < needed && others_first) return;
  starved_since_ns_ = std::min(starved_since_ns_, (*first)->submitted_ns);
  while (memory_->available_bytes() < needed && give_back(kTrimAll & ~kTrimRequests, model.get())) {
  }
  const auto models = models_by_use();
  const bool others_run = std::any_of(models.begin(), models.end(), [&](const auto& other) {
    return other != model && other->residence == LoadedModel::Residence::kHere && is_serving(*other);
  });
  if (memory_->available_bytes() < needed && others_run) return;
  Status begun = guarded([&] { return begin_reload(model); });
  reload_is_alone_ = !others_run;
  if (begun.ok()) {
    model->residence = LoadedModel::Residence::kComing;
    is_reloading_ = true;
    work_.notify_all();
  } else if (begun.code() != StatusCode::kQueueFull) {  // else it is tried again when a ticket has gone
    end_reload(*model, std::move(begun));
  }
}

Status Engine::begin_reload(const std::shared_ptr<LoadedModel>& model) {
  auto ticket = std::make_shared<Ticket>();
  ticket->reloaded = model;
  ticket->priority = INT32_MAX;  // somebody waits
  LoadRequest request;
  request.files = model->source.files != nullptr ? model->source.files : options_.files;
  request.path = model->source.path;
  request.options = model->load_options;
  request.weights_only = true;
  ticket->job = create_job(std::move(request));
  load_queue_.reserve(load_queue_.size() + 1);
  ticket->number = tickets_.insert(ticket);
  if (ticket->number == 0) return Status::from_literal(StatusCode::kQueueFull, "too many loads and untaken models");
  load_queue_.push_back(ticket->number);
  return {};
}

// What was read again takes its place. A failure ends the requests that wait for it.
void Engine::end_reload(LoadedModel& model, Result<std::shared_ptr<LoadedModel>> result) noexcept {
  Status status = result.ok() ? guarded([&]() -> Status {
    LoadedModel& fresh = *result.value();
    if (fresh.fingerprint != model.fingerprint) {
      return Status(StatusCode::kCorrupt, format("\"", model.source.path, "\" has changed since it was loaded first"));
    }
    return model.take_weights(fresh);
  })
                              : result.status();
  model.residence = status.ok() ? LoadedModel::Residence::kHere : LoadedModel::Residence::kGone;
  is_reloading_ = false;
  if (status.ok()) {
    ++metrics_.reloaded_models;
    note_memory(kNoteReloaded);
  } else if (status.code() != StatusCode::kBudgetTooSmall || reload_is_alone_) {  // else others leave room later
    requests_.for_each([&](Request& request) {
      if (request.model.get() == &model && !request.is_finished())
        finish_request(request, FinishReason::kError, status);
    });
    for (auto* list : {&waiting_, &incoming_}) {
      std::erase_if(*list, [](const Request* request) { return request->is_finished(); });
    }
  }
  ask_for_memory();
}

// For a load that finds too little: what others can do without goes. On the loader's thread, or in step(); no lock
// held.
void Engine::make_room(uint64_t size_bytes) {
  if (options_.mode == EngineMode::kPumped) {
    {
      const std::lock_guard lock(mutex_);
      note_memory(kNoteShort);
    }
    say_memory();
    while (memory_->available_bytes() < size_bytes) {
      if (retired_models_ != nullptr && retired_models_->drop_once()) continue;
      const std::lock_guard lock(mutex_);
      if (!give_back(kTrimAll & ~kTrimRequests, nullptr)) return;
    }
    return;
  }
  std::unique_lock lock(mutex_);
  note_memory(kNoteShort);
  room_wanted_bytes_ = std::max(room_wanted_bytes_, size_bytes);
  ask_for_memory();
  settled_.wait(lock, [&] { return room_wanted_bytes_ == 0 || is_stopping_; });
}

}  // namespace fastserve
