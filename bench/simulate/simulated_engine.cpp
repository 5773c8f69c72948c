#include "simulated_engine.h"

#include <algorithm>
#include <chrono>

#include "base/format.h"

namespace fastserve::simulate {

Result<SimulatedEngine> SimulatedEngine::create(const CostProfile& profile, const SimulationOptions& options) {
  KvLayout layout;
  layout.layers.push_back({.kv_head_count = 1, .head_dim = 1, .value_dim = 1, .window = 0});  // only counted
  const int64_t tokens = options.kv_tokens > 0 ? options.kv_tokens : profile.kv_tokens;
  FSV_ASSIGN(KvCache kv, KvCache::create(layout, page_memory(), tokens));
  return SimulatedEngine(profile, options, std::move(kv));
}

Result<SimulationResult> SimulatedEngine::run(const std::vector<SimulatedRequest>& requests, Scheduler& scheduler,
                                              uint64_t seed) {
  SimulationResult result;
  result.outcomes.resize(requests.size());
  random_.seed(seed);
  resident_max_ = scheduler.residents_max(static_cast<size_t>(options_.slots), options_.queue_max);
  FSV_TRY(take(requests));
  for (;;) {
    collect_cancelled(result);
    arrive(requests);
    if (step(scheduler, result)) continue;
    if (next_arrival_ == requests.size()) break;
    now_ns_ = std::max(now_ns_, requests[next_arrival_].arrival_ns);
  }
  result.end_ns = now_ns_;
  result.recomputed_tokens = recomputed_tokens_;
  if (alive_ > 0 && result.broken.empty()) result.broken = format(alive_, " requests can never go on");
  if (options_.checks) check_end(result);
  return result;
}

Status SimulatedEngine::take(const std::vector<SimulatedRequest>& requests) {
  cost_ = CostModel();
  batching_ = BatchController();
  now_ns_ = 0;
  next_arrival_ = next_cancel_ = alive_ = 0;
  recomputed_tokens_ = 0;
  jobs_.clear();
  cancels_.clear();
  jobs_.reserve(requests.size());
  if (options_.checks) text_ = SimulatedText(kv_.pool(0).block_count());
  for (const SimulatedRequest& asked : requests) {
    if (!kv_.can_ever_admit(asked.prompt_tokens + asked.max_tokens, profile_.max_batch_tokens)) {
      return {StatusCode::kBudgetTooSmall, format("a request of ", asked.prompt_tokens, " + ", asked.max_tokens,
                                                  " tokens is more than all KV there is")};
    }
    Job& job = jobs_.emplace_back();
    job.asked = &asked;
    job.id = jobs_.size();
    if (options_.checks) job.tokens = SimulatedText::prompt(job.id, asked.prompt_tokens);
    if (asked.cancel_ns > 0) cancels_.push_back(&job);
  }
  std::stable_sort(cancels_.begin(), cancels_.end(),
                   [](const Job* a, const Job* b) { return a->asked->cancel_ns < b->asked->cancel_ns; });
  return {};
}

void SimulatedEngine::arrive(const std::vector<SimulatedRequest>& requests) {
  while (next_arrival_ < requests.size() && alive_ < options_.queue_max &&
         requests[next_arrival_].arrival_ns <= now_ns_) {
    Job& job = jobs_[next_arrival_++];
    if (job.is_over) continue;
    job.has_arrived = true;
    waiting_.push_back(&job);
    ++alive_;
  }
}

void SimulatedEngine::collect_cancelled(SimulationResult& result) {
  for (; next_cancel_ < cancels_.size() && cancels_[next_cancel_]->asked->cancel_ns <= now_ns_; ++next_cancel_) {
    Job& job = *cancels_[next_cancel_];
    if (job.is_over) continue;
    job.is_over = true;
    result.outcomes[job.id - 1].is_cancelled = true;
    if (!job.has_arrived) continue;
    kv_.release(job.kv);
    std::erase(waiting_, &job);
    std::erase(running_, &job);
    --alive_;
  }
}

SequenceView SimulatedEngine::view_of(Job& job) const {
  SequenceView view;
  view.id = job.id;
  view.arrival_ns = job.asked->arrival_ns;
  view.pending_tokens = job.token_count() - job.computed;
  view.computed_tokens = job.computed;
  view.decoding = job.generated > 0 && view.pending_tokens == 1;
  view.priority = job.asked->priority;
  view.tenant = job.asked->tenant;
  const bool has_begun = job.generated > 0;
  const int64_t deadline = has_begun ? job.asked->token_deadline_ns : job.asked->first_token_deadline_ns;
  if (deadline > 0) view.due_ns = (has_begun ? job.last_token_ns : job.asked->arrival_ns) + deadline;
  view.tokens_left_max = job.asked->max_tokens - job.generated;
  view.kv_tokens = job.asked->prompt_tokens + job.asked->max_tokens;
  view.can_drop = true;
  view.job = &job.record;
  return view;
}

bool SimulatedEngine::try_admit(size_t waiting_index) {
  Job& job = *planned_waiting_[waiting_index];
  if (running_.size() >= resident_max_) return false;
  if (!kv_.admit(job.kv, job.asked->prompt_tokens + job.asked->max_tokens, profile_.max_batch_tokens)) return false;
  running_.push_back(&job);
  return true;
}

void SimulatedEngine::drop(size_t running_index) {
  Job& job = *planned_running_[running_index];
  recomputed_tokens_ += static_cast<uint64_t>(job.computed);
  kv_.release(job.kv);
  job.computed = 0;
  std::erase(running_, &job);
  dropped_.push_back(&job);
}

bool SimulatedEngine::step(Scheduler& scheduler, SimulationResult& result) {
  planned_running_ = running_;
  planned_waiting_ = waiting_;
  running_views_.clear();
  waiting_views_.clear();
  for (Job* job : running_) running_views_.push_back(view_of(*job));
  for (Job* job : waiting_) waiting_views_.push_back(view_of(*job));
  const int32_t rows_max = options_.batch_tokens > 0 ? options_.batch_tokens : profile_.max_batch_tokens;
  SchedulerInput input{running_views_, waiting_views_, rows_max, rows_max, this};
  input.slots = options_.slots;
  input.now_ns = now_ns_;
  input.kv_tokens_free = kv_.unpromised_tokens();
  input.cost = &cost_;
  dropped_.clear();
  const auto began = std::chrono::steady_clock::now();
  if (options_.step_target_ns > 0) {
    const BatchDemand demand = demand_of(running_views_, waiting_views_);
    input.max_batch_tokens = batching_.tokens_max(options_.step_target_ns, cost_, demand, rows_max);
  }
  scheduler.plan(input, plan_);
  result.scheduler_ns += (std::chrono::steady_clock::now() - began).count();
  if (options_.checks) check_plan(input, plan_, result);
  settle_admissions(result);
  if (plan_.entries.empty()) return false;
  const StepWork work = work_of(input, plan_);
  const double spread = std::uniform_real_distribution<double>(1 - options_.noise, 1 + options_.noise)(random_);
  const auto duration_ns = std::max<int64_t>(static_cast<int64_t>(profile_.step_ns(work) * spread), 1);
  const int64_t began_ns = now_ns_;
  now_ns_ += duration_ns;
  cost_.observe(work, duration_ns);
  batching_.record(work.prefill_tokens + work.decode_rows, duration_ns);
  result.steps_us.push_back(static_cast<int32_t>(std::min<int64_t>(duration_ns / 1000, INT32_MAX)));
  ++result.steps;
  for (const PlanEntry& entry : plan_.entries) {
    Job& job = *(entry.from_waiting ? planned_waiting_ : planned_running_)[entry.index];
    Outcome& outcome = result.outcomes[job.id - 1];
    if (outcome.first_row_ns < 0) outcome.first_row_ns = began_ns;
    if (!advance(job, entry.token_count, result)) continue;
    scheduler.finished(job.record);
    kv_.release(job.kv);
    std::erase(running_, &job);
    job.is_over = true;
    --alive_;
  }
  return true;
}

// Who was admitted waits no more; who was dropped waits again, where it came in.
void SimulatedEngine::settle_admissions(SimulationResult& result) {
  result.drops += dropped_.size();
  result.resident_peak = std::max(result.resident_peak, running_.size());
  if (running_.size() <= planned_running_.size() && dropped_.empty()) return;
  std::erase_if(waiting_, [](const Job* job) { return !job->kv.groups.empty() && job->kv.admitted; });
  for (Job* job : dropped_) {
    waiting_.insert(std::upper_bound(waiting_.begin(), waiting_.end(), job,
                                     [](const Job* a, const Job* b) { return a->id < b->id; }),
                    job);
  }
  if (next_arrival_ == jobs_.size() && waiting_.empty() && result.last_admission_ns == 0) {
    result.last_admission_ns = now_ns_;
    result.done_by_last_admission = jobs_.size() - alive_;
  }
}

bool SimulatedEngine::advance(Job& job, int32_t rows, SimulationResult& result) {
  if (!kv_.reserve(job.kv, job.computed + rows) && result.broken.empty()) {
    result.broken = format("request ", job.id, ": no block for token ", job.computed + rows);
  }
  if (options_.checks) text_.compute(job.kv.groups[0].blocks, job.tokens, job.computed, rows);
  job.computed += rows;
  if (job.computed < job.token_count()) return false;
  if (options_.checks) job.tokens.push_back(text_.next(job.kv.groups[0].blocks, job.computed));
  ++job.generated;
  Outcome& outcome = result.outcomes[job.id - 1];
  if (job.generated == 1) {
    outcome.first_token_ns = now_ns_;
  } else {
    const int64_t gap_ns = now_ns_ - job.last_token_ns;
    outcome.longest_gap_ns = std::max(outcome.longest_gap_ns, gap_ns);
    outcome.gaps_us.push_back(static_cast<int32_t>(std::min<int64_t>(gap_ns / 1000, INT32_MAX)));
  }
  job.last_token_ns = now_ns_;
  outcome.generated = job.generated;
  outcome.drops = job.record.drop_count;
  if (job.generated < job.asked->output_tokens) return false;
  outcome.finished_ns = now_ns_;
  return true;
}

void SimulatedEngine::check_plan(const SchedulerInput& input, const Plan& plan, SimulationResult& result) const {
  if (!result.broken.empty()) return;
  int64_t rows = 0;
  std::vector<uint64_t> ids;
  for (const PlanEntry& entry : plan.entries) {
    const SequenceView& view = (entry.from_waiting ? input.waiting : input.running)[entry.index];
    const Job& job = jobs_[view.id - 1];
    rows += entry.token_count;
    ids.push_back(view.id);
    if (entry.token_count < 1 || entry.token_count > view.pending_tokens) result.broken = "an entry's rows";
    if (!job.kv.admitted) result.broken = "a planned request without KV";
  }
  if (rows > input.max_batch_tokens) result.broken = "more rows than a batch has";
  if (plan.entries.size() > static_cast<size_t>(input.slots)) result.broken = "more sequences than slots";
  std::sort(ids.begin(), ids.end());
  if (std::adjacent_find(ids.begin(), ids.end()) != ids.end()) result.broken = "a request twice in a plan";
  if (plan.entries.empty() && !(input.running.empty() && input.waiting.empty())) result.broken = "nobody advances";
  std::vector<const SequenceKv*> held;
  for (const Job& job : jobs_) held.push_back(&job.kv);
  if (result.steps % 64 == 0 && !kv_.check_integrity(held)) result.broken = "blocks are not those that jobs hold";
}

void SimulatedEngine::check_end(SimulationResult& result) const {
  if (!result.broken.empty()) return;
  if (kv_.usage().free_count != kv_.usage().block_count || kv_.pool(0).promised_count() != 0) {
    result.broken = "blocks or promises are left at the end";
  }
  for (const Job& job : jobs_) {
    const bool is_cancelled = result.outcomes[job.id - 1].is_cancelled;
    if (!is_cancelled && job.generated != job.asked->output_tokens) {
      result.broken = format("request ", job.id, " lost or won tokens");
    }
    if (job.tokens != SimulatedText::alone(job.id, job.asked->prompt_tokens, job.generated)) {
      result.broken = format("request ", job.id, " says what it would not say alone");
    }
  }
}

}  // namespace fastserve::simulate
