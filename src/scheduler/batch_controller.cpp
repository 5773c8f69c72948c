#include "scheduler/batch_controller.h"

#include <algorithm>
#include <cmath>

namespace fastserve {
namespace {

constexpr double kUp = 0.002;       // of the share, for each step within D
constexpr double kDown = 39 * kUp;  // for each above: both balance where one step in forty is
constexpr double kShareMin = 0.25, kShareMax = 1.5;
constexpr double kAttainable = 0.9;      // of D: where a step of one row takes longer, D is out of reach, and
constexpr double kSmallestSteps = 1.25;  // steps take so many times as long: below it a batch saves no time
constexpr double kDecodeShare = 0.9;     // of the budget: beyond it decodes get no more company, since they grow
constexpr int32_t kFirstTokens = 16;     // of the first step; each doubles it until the cost model knows something
constexpr int32_t kDoublings = 10;
constexpr double kBacklogSteps = 4;  // prompts queue up: they need more than so many usual steps

}  // namespace

BatchDemand demand_of(std::span<const SequenceView> running, std::span<const SequenceView> waiting) {
  BatchDemand demand;
  for (const auto views : {running, waiting}) {
    for (const SequenceView& view : views) {
      if (view.decoding) {
        ++demand.decodes.decode_rows;
        demand.decodes.context_tokens += view.computed_tokens + 1;
      } else {
        demand.prompt_tokens += view.pending_tokens;
        demand.prompt_context = std::max<int64_t>(demand.prompt_context, view.computed_tokens);
      }
    }
  }
  return demand;
}

double BatchController::budget_ns(int64_t target_ns, const CostModel& cost, const BatchDemand& demand) {
  const int64_t rows = std::max<int64_t>(demand.decodes.decode_rows, 1);
  const StepWork smallest{.decode_rows = 1, .context_tokens = demand.decodes.context_tokens / rows};
  const auto target = static_cast<double>(target_ns);
  const double smallest_ns = cost.predict_ns(smallest);
  return std::max(share_ * target, (smallest_ns > kAttainable * target ? kSmallestSteps : 1) * smallest_ns);
}

int32_t BatchController::tokens_max(int64_t target_ns, const CostModel& cost, const BatchDemand& demand,
                                    int32_t limit) {
  target_ns_ = target_ns;
  is_burst_ = false;
  is_short_ = false;
  tokens_max_ = std::max(limit, 1);
  if (target_ns <= 0) return tokens_max_;
  const double budget = budget_ns(target_ns, cost, demand);
  const StepWork& decodes = demand.decodes;
  const double decode_ns = cost.predict_ns(decodes);
  const double fixed_ns = cost.coefficients().step_ns;
  double tokens = static_cast<double>(decodes.decode_rows);
  if (decode_ns > budget) {
    tokens *= (budget - fixed_ns) / std::max(decode_ns - fixed_ns, 1.0);
  } else if (decodes.decode_rows == 0 || decode_ns <= kDecodeShare * budget) {
    const auto room = static_cast<double>(cost.prefill_tokens_within(decodes, budget, demand.prompt_context));
    is_burst_ = steps_since_burst_ >= kBurstPeriod && static_cast<double>(demand.prompt_tokens) > kBacklogSteps * room;
    tokens += is_burst_ ? static_cast<double>(cost.prefill_tokens_within(
                              decodes, kBurstTargets * static_cast<double>(target_ns) * std::min(share_, 1.0),
                              demand.prompt_context))
                        : room;
  }
  if (steps_seen_ < kDoublings) tokens = std::min(tokens, std::ldexp(kFirstTokens, steps_seen_));
  tokens_max_ = static_cast<int32_t>(std::clamp<double>(std::floor(tokens), 1, tokens_max_));
  is_short_ = decodes.decode_rows + demand.prompt_tokens > tokens_max_;
  return tokens_max_;
}

void BatchController::record(int64_t rows, int64_t duration_ns) {
  if (rows <= 0 || duration_ns <= 0) return;
  steps_[next_step_ % kWindow] = {rows, duration_ns};
  ++next_step_;
  steps_seen_ = std::min(steps_seen_ + 1, kDoublings);
  steps_since_burst_ = is_burst_ ? 0 : std::min(steps_since_burst_ + 1, kBurstPeriod);
  // A step that had fewer rows than it might have had says little about one that has them all.
  constexpr int64_t kFullTenths = 9;
  if (target_ns_ <= 0 || is_burst_ || !is_short_ || 10 * rows < kFullTenths * tokens_max_) return;
  share_ *= duration_ns <= target_ns_ ? 1 + kUp : 1 - kDown;
  share_ = std::clamp(share_, kShareMin, kShareMax);
}

BatchController::Figures BatchController::figures(int64_t target_ns, const CostModel& cost, int32_t limit) const {
  Figures figures;
  figures.tokens_max = tokens_max_;
  const size_t count = std::min(next_step_, kWindow);
  if (count == 0) return figures;
  std::array<int64_t, kWindow> durations{};
  double rows = 0, time_ns = 0;
  for (size_t i = 0; i < count; ++i) {
    durations[i] = steps_[i].duration_ns;
    rows += static_cast<double>(steps_[i].rows);
    time_ns += static_cast<double>(steps_[i].duration_ns);
  }
  const auto rank = static_cast<std::ptrdiff_t>((count * 95 + 99) / 100 - 1);
  std::nth_element(durations.begin(), durations.begin() + rank, durations.begin() + static_cast<std::ptrdiff_t>(count));
  figures.step_p95_ns = durations[static_cast<size_t>(rank)];
  figures.tokens_per_s = 1e9 * rows / time_ns;
  const double step_ns = time_ns / static_cast<double>(count);
  const double fixed_ns = std::min(cost.coefficients().step_ns, step_ns);
  const double row_ns = (step_ns - fixed_ns) * static_cast<double>(count) / rows;
  figures.full_tokens_per_s = std::max(1e9 * limit / (fixed_ns + row_ns * limit), figures.tokens_per_s);
  if (target_ns <= 0) return figures;
  const double latency = 1 - static_cast<double>(figures.step_p95_ns) / static_cast<double>(target_ns);
  figures.objective = kLambda * latency + (1 - kLambda) * figures.tokens_per_s / figures.full_tokens_per_s;
  return figures;
}

}  // namespace fastserve
