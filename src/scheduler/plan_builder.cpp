// Urgent ones first, each with what it can compute; waiting ones are admitted on the way.
#include "scheduler/plan_builder.h"

#include <algorithm>

namespace fastserve {

StepWork work_of(const SchedulerInput& input, const Plan& plan) {
  StepWork work;
  for (const PlanEntry& entry : plan.entries) {
    const SequenceView& view = (entry.from_waiting ? input.waiting : input.running)[entry.index];
    if (view.decoding) {
      work.decode_rows += entry.token_count;
      work.context_tokens += view.computed_tokens + entry.token_count;
    } else {
      work.add_prompt(entry.token_count, view.computed_tokens);
    }
  }
  return work;
}

void PlanBuilder::reserve(size_t view_count) {
  candidates_.reserve(view_count);
  victims_.reserve(view_count);
  is_settled_.reserve(view_count);
}

void PlanBuilder::begin(const SchedulerInput& input, Plan& plan) {
  input_ = &input;
  plan_ = &plan;
  plan.entries.clear();
  candidates_.clear();
}

// Thousands may wait while a step takes a few: they are sorted in runs, as far as the plan gets.
const Candidate& PlanBuilder::at(size_t place) {
  if (place >= sorted_count_) {
    const size_t run = std::max<size_t>(64, sorted_count_);
    const auto begin = candidates_.begin() + static_cast<std::ptrdiff_t>(sorted_count_);
    sorted_count_ = std::min(candidates_.size(), sorted_count_ + run);
    const auto end = candidates_.begin() + static_cast<std::ptrdiff_t>(sorted_count_);
    auto is_before = [](const Candidate& a, const Candidate& b) { return a.urgency < b.urgency; };
    if (end != candidates_.end()) std::nth_element(begin, end, candidates_.end(), is_before);
    std::sort(begin, end, is_before);
  }
  return candidates_[place];
}

int32_t PlanBuilder::rows_for(const Candidate& candidate) const {
  const SequenceView& view = *candidate.view;
  const int32_t room = std::min(limits_.prefill_tokens, rows_left_ - rows_kept(candidate));
  const int32_t rows =
      view.decoding ? std::min(1, rows_left_) : std::min({view.pending_tokens, input_->prefill_chunk_tokens, room});
  return is_guarded_against(candidate) ? rows_within_guard(view, rows) : rows;
}

// Rows that a prompt leaves to decodes further down: of its class one for each, of lower ones an eighth of all rows at
// most. The one that always advances does so.
int32_t PlanBuilder::rows_kept(const Candidate& candidate) const {
  constexpr int32_t kLowerShare = 8;
  if (candidate.urgency.is_reserved == 0) return std::min(decodes_left_ + decodes_below_, rows_left_ - 1);
  return std::min(rows_left_, decodes_left_ + std::min(decodes_below_, rows_left_ / kLowerShare));
}

// Decodes from this place on that will have slots, of its class and below.
void PlanBuilder::count_decodes(size_t place) {
  decodes_left_ = decodes_below_ = 0;
  const int64_t priority = at(place).urgency.priority;
  const size_t end = std::min(candidates_.size(), place + static_cast<size_t>(slots_left_));
  for (size_t next = place; next < end; ++next) {
    const Candidate& candidate = at(next);
    if (candidate.view->decoding) ++(candidate.urgency.priority == priority ? decodes_left_ : decodes_below_);
  }
}

int32_t PlanBuilder::rows_within_guard(const SequenceView& view, int32_t rows) const {
  if (view.decoding) {
    if (limits_.others_decode_rows <= 0) return 0;
    const StepWork row{.decode_rows = rows, .context_tokens = view.computed_tokens};
    return coefficients_.predict_ns(row) - coefficients_.step_ns <= limits_.others_ns ? rows : 0;
  }
  const double row_ns = std::max(coefficients_.prefill_token_ns, 1.0);
  const auto in_time = static_cast<int32_t>(std::min<double>(limits_.others_ns / row_ns, INT32_MAX));
  return std::min({rows, limits_.others_prefill_tokens, in_time});
}

void PlanBuilder::fill(const PlanLimits& limits, const void* policy, MayDrop may_drop) {
  policy_ = policy;
  may_drop_ = may_drop;
  limits_ = limits;
  coefficients_ = cost().coefficients();
  sorted_count_ = 0;
  is_settled_.assign(input_->running.size(), false);
  plan_all();
  if (!plan_->entries.empty() || limits.guarded_priority == PlanLimits().guarded_priority) return;
  limits_.guarded_priority = PlanLimits().guarded_priority;
  plan_all();
}

void PlanBuilder::plan_all() {
  is_blocked_ = false;
  slots_left_ = std::max(input_->slots, 1);
  rows_left_ = input_->max_batch_tokens;
  for (size_t place = 0; place < candidates_.size() && slots_left_ > 0 && rows_left_ > 0; ++place) {
    const Urgency& urgency = at(place).urgency;
    const bool is_first = place == 0 || at(place - 1).urgency.is_reserved != urgency.is_reserved ||
                          at(place - 1).urgency.priority != urgency.priority;
    if (is_first) count_decodes(place);
    consider(at(place));
  }
}

void PlanBuilder::consider(const Candidate& candidate) {
  const SequenceView& view = *candidate.view;
  const bool is_running = !candidate.from_waiting;
  if (is_running && is_settled_[candidate.index]) return;
  if (!is_running && is_blocked_ && candidate.urgency.priority >= blocked_priority_) return;
  if (view.decoding) decodes_left_ = std::max(decodes_left_ - 1, 0);
  const int32_t rows = rows_for(candidate);
  if (rows <= 0) return;
  if (!is_running && !admit(candidate)) {
    is_blocked_ = true;
    blocked_priority_ = candidate.urgency.priority;
    return;
  }
  if (is_running) is_settled_[candidate.index] = true;
  plan_->entries.push_back({candidate.from_waiting, candidate.index, rows});
  --slots_left_;
  rows_left_ -= rows;
  StepWork work;
  if (view.decoding) {
    work = {.decode_rows = rows, .context_tokens = view.computed_tokens};
  } else {
    limits_.prefill_tokens -= rows;
    work.add_prompt(rows, view.computed_tokens);
  }
  if (!is_guarded_against(candidate)) return;
  limits_.others_ns -= coefficients_.predict_ns(work) - coefficients_.step_ns;
  (view.decoding ? limits_.others_decode_rows : limits_.others_prefill_tokens) -= rows;
}

// Where there is no room, the least urgent of those that may be dropped give theirs, if it is enough.
bool PlanBuilder::admit(const Candidate& candidate) {
  if (input_->admission->try_admit(candidate.index)) return true;
  if (may_drop_ == nullptr) return false;
  victims_.clear();
  int64_t room = input_->kv_tokens_free;
  for (const Candidate& other : candidates_) {
    const bool is_open = !other.from_waiting && !is_settled_[other.index] && other.view->can_drop;
    if (!is_open || !(candidate.urgency < other.urgency) || !may_drop_(policy_, candidate, other)) continue;
    victims_.push_back(&other);
    room += other.view->kv_tokens;
  }
  if (victims_.empty() || room < candidate.view->kv_tokens) return false;
  std::sort(victims_.begin(), victims_.end(),
            [](const Candidate* a, const Candidate* b) { return b->urgency < a->urgency; });
  for (const Candidate* victim : victims_) {
    is_settled_[victim->index] = true;
    if (victim->view->job != nullptr) ++victim->view->job->drop_count;
    input_->admission->drop(victim->index);
    if (input_->admission->try_admit(candidate.index)) return true;
  }
  return false;
}

}  // namespace fastserve
