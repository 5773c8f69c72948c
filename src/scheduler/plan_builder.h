// PlanBuilder: from an order of urgency to a plan: slots, rows, admissions, and who gives way to them. What policies
// that interrupt share.
#pragma once
#include <compare>
#include <cstdint>
#include <limits>
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

// What a plan may hold. Where nothing else can be planned, the guard of a class is lifted.
struct PlanLimits {
  int32_t prefill_tokens = INT32_MAX;  // of prompts, together
  // Of classes below this one: rows of their prompts, and what all their rows take.
  int64_t guarded_priority = INT64_MAX;  // negated, as in Urgency
  int32_t others_prefill_tokens = INT32_MAX;
  int32_t others_decode_rows = INT32_MAX;
  double others_ns = std::numeric_limits<double>::infinity();
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
  // Plans from the most urgent one down.
  void fill(const PlanLimits& limits, const void* policy, MayDrop may_drop);
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
  void plan_all();
  void consider(const Candidate& candidate);
  bool admit(const Candidate& candidate);
  int32_t rows_for(const Candidate& candidate) const;
  int32_t rows_kept(const Candidate& candidate) const;
  void count_decodes(size_t place);
  int32_t rows_within_guard(const SequenceView& view, int32_t rows) const;
  bool is_guarded_against(const Candidate& candidate) const {
    return candidate.urgency.is_reserved != 0 && candidate.urgency.priority > limits_.guarded_priority;
  }

  const CostModel unknown_cost_;
  const SchedulerInput* input_ = nullptr;
  Plan* plan_ = nullptr;
  const void* policy_ = nullptr;
  MayDrop may_drop_ = nullptr;
  std::vector<Candidate> candidates_;
  std::vector<const Candidate*> victims_;
  std::vector<bool> is_settled_;  // running ones that are in the plan, or dropped
  size_t sorted_count_ = 0;
  PlanLimits limits_;  // what is left of them
  CostModel::Coefficients coefficients_;
  int32_t slots_left_ = 0, rows_left_ = 0;
  int32_t decodes_left_ = 0, decodes_below_ = 0;  // that no place of the order has passed, of its class and below
  bool is_blocked_ = false;  // somebody could not be admitted: nobody of its class or below passes it
  int64_t blocked_priority_ = 0;
};

}  // namespace fastserve
