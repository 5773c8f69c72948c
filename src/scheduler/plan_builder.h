// PlanBuilder: from an order of urgency to a plan: slots, rows, admissions, and who gives way to them. What policies
// that interrupt share.
#pragma once
#include <compare>
#include <cstdint>
#include <vector>

#include "scheduler/scheduler.h"

namespace fastserve {

// A sequence's place in the order; smaller comes first.
struct Urgency {
  int64_t is_reserved = 1;  // 0: the one that always advances
  int64_t priority = 0;     // negated
  int64_t is_due = 1;       // 0: its deadline is near
  int64_t share = 0;        // of its tenant, beyond the least served one's
  int64_t level = 0;
  int64_t order = 0;  // arrival, or the deadline of those that are due
  uint64_t id = 0;
  auto operator<=>(const Urgency&) const = default;
};

struct Candidate {
  Urgency urgency;
  bool from_waiting = false;
  uint32_t index = 0;
  const SequenceView* view = nullptr;
};

class PlanBuilder {
 public:
  // Whether `victim`, which computes nothing in this plan, gives its keys and values to `urgent`.
  using MayDrop = bool (*)(const void* policy, const Candidate& urgent, const Candidate& victim);

  void reserve(size_t view_count);
  // Empties the plan and the candidates.
  void begin(const SchedulerInput& input, Plan& plan);
  // One for each view, in any order; running ones and waiting ones as `urgency_of(view, from_waiting)` ranks them.
  template <typename UrgencyOf>
  void rank(UrgencyOf&& urgency_of) {
    add(input_->running, false, urgency_of);
    add(input_->waiting, true, urgency_of);
  }
  // Plans from the most urgent one down. Rows of prompts are at most `prefill_tokens_max` together.
  void fill(int32_t prefill_tokens_max, const void* policy, MayDrop may_drop);
  const CostModel& cost() const { return input_->cost != nullptr ? *input_->cost : unknown_cost_; }

 private:
  template <typename UrgencyOf>
  void add(std::span<const SequenceView> views, bool from_waiting, UrgencyOf&& urgency_of) {
    for (uint32_t i = 0; i < views.size(); ++i) {
      candidates_.push_back({urgency_of(views[i], from_waiting), from_waiting, i, &views[i]});
    }
  }
  // The candidate at this place of the order; sorts as far as it must.
  const Candidate& at(size_t place);
  void consider(const Candidate& candidate);
  bool admit(const Candidate& candidate);
  int32_t rows_for(const SequenceView& view) const;

  const CostModel unknown_cost_;
  const SchedulerInput* input_ = nullptr;
  Plan* plan_ = nullptr;
  const void* policy_ = nullptr;
  MayDrop may_drop_ = nullptr;
  std::vector<Candidate> candidates_;
  std::vector<const Candidate*> victims_;
  std::vector<bool> is_settled_;  // running ones that are in the plan, or dropped
  size_t sorted_count_ = 0;
  int32_t slots_left_ = 0, rows_left_ = 0, prefill_left_ = 0, decodes_left_ = 0;
  bool is_blocked_ = false;  // somebody could not be admitted: nobody of its class or below passes it
  int64_t blocked_priority_ = 0;
};

}  // namespace fastserve
