// BatchController: how many tokens a step may have, so that 95 of 100 steps stay within a target latency D. The batch
// grows while the measured 95th percentile is below D and backs off above it. Pure policy: no clock, no allocation.
#pragma once
#include <array>
#include <cstdint>

#include "scheduler/scheduler.h"

namespace fastserve {

// What asks for rows in the next step.
struct BatchDemand {
  StepWork decodes;            // all that decode
  int64_t prompt_tokens = 0;   // not computed yet, in all prompts together
  int64_t prompt_context = 0;  // tokens done of the longest prompt under way
};
BatchDemand demand_of(std::span<const SequenceView> running, std::span<const SequenceView> waiting);

// It aims at a time, not at a number of tokens: what D has room for is turned into tokens by the cost model, anew for
// each step, since a token's cost depends on what it is and sees. What is learned is the share of D that plans may aim
// at so that one step in forty takes longer than D, by a walk whose ups and downs balance exactly there: it corrects
// what the model gets wrong, and leaves room for what cannot be foreseen. As many steps again are bursts.
class BatchController {
 public:
  static constexpr double kLambda = 0.5;       // of the objective
  static constexpr int32_t kBurstPeriod = 40;  // while prompts queue up, one step in so many ...
  static constexpr double kBurstTargets = 4;   // ... may take so many times D: the percentile that D speaks of stays

  // Rows that the next step may have, 1 to `limit`. `target_ns`: D; 0: as many as there may be.
  int32_t tokens_max(int64_t target_ns, const CostModel& cost, const BatchDemand& demand, int32_t limit);
  // The step planned last had these rows and took so long.
  void record(int64_t rows, int64_t duration_ns);

  // Of the last steps.
  struct Figures {
    int32_t tokens_max = 0;        // of the last plan
    int64_t step_p95_ns = 0;       // L
    double tokens_per_s = 0;       // T
    double full_tokens_per_s = 0;  // Tmax: what the same mix would bring in batches of `limit` tokens
    // J = kLambda * (D - L) / D + (1 - kLambda) * T / Tmax: 1 is instant and as fast as can be; 0 without a target.
    double objective = 0;
  };
  Figures figures(int64_t target_ns, const CostModel& cost, int32_t limit) const;

 private:
  static constexpr size_t kWindow = 128;
  struct Step {
    int64_t rows = 0, duration_ns = 0;
  };
  double budget_ns(int64_t target_ns, const CostModel& cost, const BatchDemand& demand);

  double share_ = 0.75;  // of D
  int64_t target_ns_ = 0;
  int32_t tokens_max_ = 0, steps_since_burst_ = 0, steps_seen_ = 0;
  bool is_burst_ = false, is_short_ = false;  // the last plan: takes longer than D; had to leave somebody out
  std::array<Step, kWindow> steps_{};         // a ring
  size_t next_step_ = 0;
};

}  // namespace fastserve
