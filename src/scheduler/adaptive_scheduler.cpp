// The default policy: what hosts ask for first (classes, deadlines, shares), then levels of attained service where
// services are widely spread, then arrival.
#include <algorithm>
#include <cmath>

#include "scheduler/plan_builder.h"
#include "scheduler/service_spread.h"
#include "scheduler/tenant_shares.h"

namespace fastserve {
namespace {

double service_of(const SequenceView& view) { return view.job != nullptr ? view.job->service_ns : 0; }

class AdaptiveScheduler final : public Scheduler {
 public:
  explicit AdaptiveScheduler(const AdaptiveOptions& options) : options_(options) {}

  void plan(const SchedulerInput& input, Plan& plan) override {
    builder_.begin(input, plan);
    look_around(input);
    oldest_ = oldest_of(input);
    const int32_t period = std::max(options_.oldest_share / std::max(input.slots, 1), 1);
    const bool is_oldest_turn = ++plan_count_ % static_cast<uint64_t>(period) == 0;
    builder_.rank([&](const SequenceView& view, bool) {
      return urgency_of(view, is_oldest_turn && &view == oldest_, input.now_ns);
    });
    builder_.fill(limits_of(input), this, [](const void* self, const Candidate& urgent, const Candidate& victim) {
      return static_cast<const AdaptiveScheduler*>(self)->may_drop(urgent, victim);
    });
    charge(input, plan);
  }

  void finished(const JobRecord& record) override { spread_.ended(record.service_ns); }
  void reserve(size_t view_count) override { builder_.reserve(view_count); }

 private:
  // Who asks for what in this step.
  struct Scene {
    StepWork decodes;
    int64_t due_ns = kNeverNs;            // of the first token that somebody reads and waits for
    int32_t priority_min = INT32_MAX;     // of all
    int32_t prompt_priority = INT32_MIN;  // the highest of those whose prompts are not done,
    StepWork prompts;                     // and their prompts
    int64_t prompt_context = 0;           // tokens done of the longest prompt under way
  };

  void look_at(const SequenceView& view) {
    scene_.priority_min = std::min(scene_.priority_min, view.priority);
    if (view.decoding) {
      ++scene_.decodes.decode_rows;
      scene_.decodes.context_tokens += view.computed_tokens;
      scene_.due_ns = std::min(scene_.due_ns, view.due_ns);
      return;
    }
    scene_.prompt_context = std::max<int64_t>(scene_.prompt_context, view.computed_tokens);
    if (view.priority >= scene_.prompt_priority) {
      if (view.priority > scene_.prompt_priority) scene_.prompts = {};
      scene_.prompt_priority = view.priority;
      scene_.prompts.add_prompt(view.pending_tokens, view.computed_tokens);
    }
  }

  // Spread and shares as they are now.
  void look_around(const SchedulerInput& input) {
    spread_.begin();
    tenants_.begin();
    scene_ = {};
    cost_ = builder_.cost().coefficients();
    for (const auto views : {input.running, input.waiting}) {
      for (const SequenceView& view : views) {
        look_at(view);
        spread_.add(service_of(view));
        tenants_.seen(view.tenant);
      }
    }
    tenants_.settle();
    const double border = uses_levels_ ? options_.spread_off : options_.spread_on;
    uses_levels_ = spread_.is_known() && spread_.variation() >= border;
    quantum_ns_ = std::max(options_.first_quantum_means * spread_.mean_ns(), 1.0);
    share_quantum_ns_ = std::max(spread_.is_known() ? 4 * spread_.mean_ns() : 64 * step_ns_, 1.0);
  }

  // Whoever came first advances in one of so many slots, whatever else there is, and keeps what it has: nobody starves,
  // and where all others interrupt each other one completes.
  static const SequenceView* oldest_of(const SchedulerInput& input) {
    const SequenceView* oldest = nullptr;
    for (const auto views : {input.running, input.waiting}) {
      for (const SequenceView& view : views) {
        if (oldest == nullptr || std::pair(view.arrival_ns, view.id) < std::pair(oldest->arrival_ns, oldest->id)) {
          oldest = &view;
        }
      }
    }
    return oldest;
  }

  Urgency urgency_of(const SequenceView& view, bool is_reserved, int64_t now_ns) const {
    Urgency urgency;
    urgency.is_reserved = is_reserved ? 0 : 1;
    urgency.priority = -int64_t{view.priority};
    urgency.order = view.arrival_ns;
    urgency.id = view.id;
    if (view.due_ns != kNeverNs && is_due(view, now_ns)) {
      urgency.is_due = 0;
      urgency.order = view.due_ns;
      return urgency;
    }
    if (tenants_.count() > 1) {
      urgency.share = static_cast<int64_t>(tenants_.beyond_least_ns(view.tenant) / share_quantum_ns_);
    }
    if (uses_levels_) urgency.level = level_of(view);
    return urgency;
  }

  // Little more time is left than what is needed.
  bool is_due(const SequenceView& view, int64_t now_ns) const {
    const double needed_ns = view.decoding ? step_ns_ : 2 * prompt_ns(view);
    return static_cast<double>(view.due_ns - now_ns) < needed_ns + 2 * step_ns_;
  }

  double prompt_ns(const SequenceView& view) const {
    return view.decoding ? 0 : cost_.predict_ns(prompt_work(view)) - cost_.step_ns;
  }

  bool is_nearly_done(const SequenceView& view) const {
    return view.decoding && view.tokens_left_max <= options_.nearly_done_tokens;
  }

  // A prompt counts as taken from the beginning, since its length is known. There are few levels: among the long ones
  // it is better to finish one than to share among all.
  int64_t level_of(const SequenceView& view) const {
    constexpr int64_t kLevelMax = 2;
    if (is_nearly_done(view)) return 0;
    const double quanta = (service_of(view) + prompt_ns(view)) / quantum_ns_;
    return quanta < 1 ? 0 : std::min<int64_t>(1 + static_cast<int64_t>(std::log2(quanta)), kLevelMax);
  }

  bool may_drop(const Candidate& urgent, const Candidate& victim) const {
    const SequenceView& view = *victim.view;
    if (&view == oldest_ || is_nearly_done(view)) return false;
    if (view.job != nullptr && view.job->drop_count >= options_.drops_max) return false;
    if (urgent.urgency.is_reserved == 0 || urgent.urgency.priority < victim.urgency.priority) return true;
    if (urgent.urgency.is_due < victim.urgency.is_due) return true;
    // For what is merely shorter, or less served, computing again must cost less than what the victim had.
    const double again_ns = cost_.prefill_token_ns * view.computed_tokens;
    const bool is_worth_it = again_ns < service_of(view);
    return is_worth_it &&
           (urgent.urgency.share < victim.urgency.share || urgent.urgency.level + 1 < victim.urgency.level);
  }

  PlanLimits limits_of(const SchedulerInput& input) {
    PlanLimits limits;
    limits.prefill_tokens = prefill_tokens_max(input);
    if (scene_.prompt_priority > scene_.priority_min) {
      urgent_plan_ = plan_count_;
      urgent_priority_ = scene_.prompt_priority;
      keep_for_urgent(input, limits);
    } else if (urgent_plan_ != 0 && plan_count_ - urgent_plan_ < options_.urgent_memory) {
      limits.guarded_priority = -int64_t{urgent_priority_};
      keep_short(input, limits);
    }
    return limits;
  }

  // Prompts of lower classes are read in parts; where decodes alone take as long as a step should, in steps of their
  // own between theirs.
  void keep_short(const SchedulerInput& input, PlanLimits& limits) const {
    constexpr int64_t kPartMin = 16;
    const CostModel& cost = builder_.cost();
    const double short_ns = options_.guarded_steps * cost_.step_ns;
    const int64_t beside = cost.prefill_tokens_within(scene_.decodes, short_ns, scene_.prompt_context);
    const bool has_prompts = scene_.prompt_priority != INT32_MIN;
    int64_t part = std::max(beside, kPartMin);
    if (beside < kPartMin && has_prompts && scene_.decodes.decode_rows > 0) {
      const bool is_prompts_turn = plan_count_ % 2 == 0;
      limits.others_decode_rows = is_prompts_turn ? 0 : INT32_MAX;
      const int64_t alone = cost.prefill_tokens_within({}, short_ns, scene_.prompt_context);
      part = is_prompts_turn ? std::max(alone, kPartMin) : 0;
    }
    limits.others_prefill_tokens = static_cast<int32_t>(std::min<int64_t>(part, input.max_batch_tokens));
  }

  // A step with first tokens of a class takes rows of lower ones along as far as they delay it by little, or by no more
  // than it would cost to compute them in a step of their own.
  void keep_for_urgent(const SchedulerInput& input, PlanLimits& limits) const {
    constexpr double kLittle = 1.0 / 16;
    limits.guarded_priority = -int64_t{scene_.prompt_priority};
    const double rows = static_cast<double>(scene_.prompts.prefill_tokens);
    const double in_step = std::min(1.0, input.max_batch_tokens / std::max(rows, 1.0));
    const double prompts_ns = in_step * (cost_.predict_ns(scene_.prompts) - cost_.step_ns);
    limits.others_ns = std::max(cost_.step_ns, kLittle * prompts_ns);
  }

  // Prompts beside decodes whose next tokens are due take what time those leave, and a little in any case.
  int32_t prefill_tokens_max(const SchedulerInput& input) const {
    constexpr double kMargin = 0.9;  // steps vary
    if (scene_.due_ns == kNeverNs) return input.max_batch_tokens;
    return prefill_tokens_within(input, kMargin * static_cast<double>(scene_.due_ns - input.now_ns));
  }
  int32_t prefill_tokens_within(const SchedulerInput& input, double budget_ns) const {
    constexpr int64_t kLittle = 16;
    constexpr double kLittleSteps = 3;  // unless it makes the step longer than so many without it
    const CostModel& cost = builder_.cost();
    auto within = [&](double ns) { return cost.prefill_tokens_within(scene_.decodes, ns, scene_.prompt_context); };
    const int64_t little = std::clamp<int64_t>(within(kLittleSteps * cost.predict_ns(scene_.decodes)), 1, kLittle);
    return static_cast<int32_t>(std::min<int64_t>(std::max(within(budget_ns), little), input.max_batch_tokens));
  }

  // Each pays for its own rows and context, and all alike for the step itself.
  void charge(const SchedulerInput& input, const Plan& plan) {
    const double shared_ns = cost_.step_ns / static_cast<double>(std::max<size_t>(plan.entries.size(), 1));
    step_ns_ = builder_.cost().predict_ns(work_of(input, plan));
    for (const PlanEntry& entry : plan.entries) {
      const SequenceView& view = (entry.from_waiting ? input.waiting : input.running)[entry.index];
      const double row_ns = view.decoding ? cost_.decode_row_ns : cost_.prefill_token_ns;
      const double own_ns = shared_ns + row_ns * entry.token_count + cost_.context_token_ns * view.computed_tokens;
      if (tenants_.count() > 1) tenants_.charge(view.tenant, own_ns);
      if (view.job == nullptr) continue;
      view.job->service_ns += own_ns;
      view.job->last_planned_ns = input.now_ns;
    }
  }

  const AdaptiveOptions options_;
  PlanBuilder builder_;
  ServiceSpread spread_;
  TenantShares tenants_;
  bool uses_levels_ = false;
  Scene scene_;  // as these two, of the plan being made
  CostModel::Coefficients cost_;
  double quantum_ns_ = 1, share_quantum_ns_ = 1, step_ns_ = 0;
  uint64_t plan_count_ = 0;
  uint64_t urgent_plan_ = 0;  // the last one with prompts of a class above others', 0: none; and that class
  int32_t urgent_priority_ = 0;
  const SequenceView* oldest_ = nullptr;  // of the plan being made
};

}  // namespace

std::unique_ptr<Scheduler> create_adaptive_scheduler(const AdaptiveOptions& options) {
  return std::make_unique<AdaptiveScheduler>(options);
}

}  // namespace fastserve
