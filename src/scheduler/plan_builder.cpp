// Urgent ones first, each with what it can compute; waiting ones are admitted on the way.
#include "scheduler/plan_builder.h"

#include <algorithm>

namespace fastserve {

StepWork work_of(const SchedulerInput& input, const Plan& plan) {
  StepWork work;
  for (const PlanEntry& entry : plan.entries) {
    const SequenceView& view = (entry.from_waiting ? input.waiting : input.running)[entry.index];
    (view.decoding ? work.decode_rows : work.prefill_tokens) += entry.token_count;
    work.context_tokens += view.computed_tokens + entry.token_count;
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

int32_t PlanBuilder::rows_for(const SequenceView& view) const {
  if (view.decoding) return std::min(1, rows_left_);
  const int32_t room = std::min(prefill_left_, rows_left_ - decodes_left_);
  return std::min({view.pending_tokens, input_->prefill_chunk_tokens, room});
}

void PlanBuilder::fill(int32_t prefill_tokens_max, const void* policy, MayDrop may_drop) {
  policy_ = policy;
  may_drop_ = may_drop;
  sorted_count_ = 0;
  is_settled_.assign(input_->running.size(), false);
  is_blocked_ = false;
  slots_left_ = std::max(input_->slots, 1);
  rows_left_ = input_->max_batch_tokens;
  prefill_left_ = prefill_tokens_max;
  // Rows that are kept for decodes further down.
  decodes_left_ = 0;
  const size_t first = std::min(candidates_.size(), static_cast<size_t>(slots_left_));
  for (size_t place = 0; place < first; ++place) decodes_left_ += at(place).view->decoding ? 1 : 0;
  decodes_left_ = std::min(decodes_left_, rows_left_);
  for (size_t place = 0; place < candidates_.size() && slots_left_ > 0 && rows_left_ > 0; ++place) consider(at(place));
}

void PlanBuilder::consider(const Candidate& candidate) {
  const SequenceView& view = *candidate.view;
  const bool is_running = !candidate.from_waiting;
  if (is_running && is_settled_[candidate.index]) return;
  if (!is_running && is_blocked_ && candidate.urgency.priority >= blocked_priority_) return;
  if (view.decoding) decodes_left_ = std::max(decodes_left_ - 1, 0);
  const int32_t rows = rows_for(view);
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
  if (!view.decoding) prefill_left_ -= rows;
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
