#include "experiment.h"

#include <algorithm>
#include <cmath>

#include "base/format.h"
#include "scheduler/plan_builder.h"

namespace fastserve::simulate {
namespace {

double seconds(int64_t ns) { return static_cast<double>(ns) * 1e-9; }

// Knows how long answers become: the bound of what an order can do for mean completion. Interrupts like mlfq.
class OracleScheduler final : public Scheduler {
 public:
  OracleScheduler(const std::vector<SimulatedRequest>& requests, const CostProfile& profile)
      : requests_(requests), profile_(profile) {}

  void plan(const SchedulerInput& input, Plan& plan) override {
    builder_.begin(input, plan);
    builder_.rank([&](const SequenceView& view, bool) {
      const SimulatedRequest& asked = requests_[view.id - 1];
      const int32_t generated = asked.max_tokens - view.tokens_left_max;
      const double decode_ns = profile_.cost.decode_row_ns + profile_.cost.step_ns / input.slots;
      const double left_ns = decode_ns * (asked.output_tokens - generated) +
                             profile_.cost.prefill_token_ns * (view.decoding ? 0 : view.pending_tokens);
      return Urgency{.level = static_cast<int64_t>(left_ns), .order = view.arrival_ns, .id = view.id};
    });
    builder_.fill({}, nullptr, [](const void*, const Candidate& urgent, const Candidate& victim) {
      return 2 * urgent.urgency.level < victim.urgency.level;
    });
  }
  void reserve(size_t view_count) override { builder_.reserve(view_count); }

 private:
  const std::vector<SimulatedRequest>& requests_;
  const CostProfile profile_;
  PlanBuilder builder_;
};

// First come, first served, whatever their classes.
class ArrivalScheduler final : public Scheduler {
 public:
  void plan(const SchedulerInput& input, Plan& plan) override {
    builder_.begin(input, plan);
    builder_.rank([](const SequenceView& view, bool) { return Urgency{.order = view.arrival_ns, .id = view.id}; });
    builder_.fill({}, nullptr, nullptr);
  }
  void reserve(size_t view_count) override { builder_.reserve(view_count); }
  size_t residents_max(size_t slots, size_t) const override { return slots; }

 private:
  PlanBuilder builder_;
};

// What percentiles are taken of.
struct Samples {
  std::vector<double> queue, first, gap, longest_gap, completion;

  void add(const SimulatedRequest& request, const Outcome& outcome) {
    queue.push_back(seconds(outcome.first_row_ns - request.arrival_ns));
    first.push_back(seconds(outcome.first_token_ns - request.arrival_ns));
    longest_gap.push_back(seconds(outcome.longest_gap_ns));
    completion.push_back(seconds(outcome.finished_ns - request.arrival_ns));
    for (const int32_t us : outcome.gaps_us) gap.push_back(1e-6 * us);
  }
};

Bucket bucket_of(const std::vector<SimulatedRequest>& requests, const SimulationResult& result, std::string name,
                 int32_t least, int32_t most, int32_t SimulatedRequest::* length) {
  Samples samples;
  for (size_t i = 0; i < requests.size(); ++i) {
    if (requests[i].*length >= least && requests[i].*length <= most) samples.add(requests[i], result.outcomes[i]);
  }
  Bucket bucket;
  bucket.name = std::move(name);
  bucket.count = samples.first.size();
  bucket.first_token = percentiles_of(samples.first);
  bucket.gap = percentiles_of(samples.gap);
  bucket.longest_gap = percentiles_of(samples.longest_gap);
  bucket.completion = percentiles_of(samples.completion);
  return bucket;
}

std::vector<Bucket> buckets_of(const std::vector<SimulatedRequest>& requests, const SimulationResult& result,
                               int32_t SimulatedRequest::* length) {
  std::vector<Bucket> buckets;
  int32_t least = 1;
  for (const int32_t most : {64, 256, 1024, 2048, INT32_MAX}) {
    const std::string name = most == INT32_MAX ? format("over ", least - 1) : format(least, " to ", most);
    Bucket bucket = bucket_of(requests, result, name, least, most, length);
    if (bucket.count > 0) buckets.push_back(std::move(bucket));
    least = most == INT32_MAX ? most : most + 1;
  }
  return buckets;
}

}  // namespace

Percentiles percentiles_of(std::vector<double>& values) {
  if (values.empty()) return {};
  std::sort(values.begin(), values.end());
  auto at = [&](double share) {  // the nearest rank
    const auto rank = static_cast<size_t>(std::ceil(share * static_cast<double>(values.size())));
    return values[std::clamp<size_t>(rank, 1, values.size()) - 1];
  };
  double sum = 0;
  for (const double value : values) sum += value;
  return {at(0.5), at(0.95), at(0.99), sum / static_cast<double>(values.size())};
}

Summary summarize(const std::vector<SimulatedRequest>& requests, const SimulationResult& result) {
  Summary summary;
  summary.count = requests.size();
  Samples samples;
  std::vector<double> interactive, steps;
  double tokens = 0;
  for (size_t i = 0; i < requests.size(); ++i) {
    const Outcome& outcome = result.outcomes[i];
    samples.add(requests[i], outcome);
    if (requests[i].priority > 0) interactive.push_back(samples.first.back());
    summary.token_s_mean += samples.completion.back() / outcome.generated / static_cast<double>(requests.size());
    tokens += outcome.generated;
  }
  for (const int32_t us : result.steps_us) steps.push_back(1e-6 * us);
  summary.first_token = percentiles_of(samples.first);
  summary.completion = percentiles_of(samples.completion);
  summary.queue = percentiles_of(samples.queue);
  summary.gap = percentiles_of(samples.gap);
  summary.step = percentiles_of(steps);
  summary.interactive_first_token = percentiles_of(interactive);
  summary.tokens_per_second = tokens / std::max(seconds(result.end_ns), 1e-9);
  summary.by_output = buckets_of(requests, result, &SimulatedRequest::output_tokens);
  summary.by_prompt = buckets_of(requests, result, &SimulatedRequest::prompt_tokens);
  summary.steps = result.steps;
  summary.drops = result.drops;
  summary.recomputed_tokens = result.recomputed_tokens;
  summary.resident_peak = result.resident_peak;
  summary.scheduler_us_per_step =
      static_cast<double>(result.scheduler_ns) * 1e-3 / static_cast<double>(std::max<uint64_t>(result.steps, 1));
  return summary;
}

Result<std::unique_ptr<Scheduler>> create_policy(const std::string& name, const std::vector<SimulatedRequest>& requests,
                                                 const CostProfile& profile) {
  if (name == "fcfs" || name == "alone") return create_fcfs_scheduler();
  if (name == "mlfq") return create_mlfq_scheduler();
  if (name == "adaptive") return create_adaptive_scheduler();
  if (name == "arrival") return std::unique_ptr<Scheduler>(std::make_unique<ArrivalScheduler>());
  if (name == "oracle") return std::unique_ptr<Scheduler>(std::make_unique<OracleScheduler>(requests, profile));
  return Status(StatusCode::kInvalidArgument,
                format("there is no policy \"", name, "\": fcfs, mlfq, adaptive, arrival, oracle, alone"));
}

// One request alone, of lengths as the source has them on average.
double uncontended_token_s(const Setting& setting) {
  std::mt19937_64 random(1);
  constexpr int kDraws = 2000;
  double context = 0;
  for (int i = 0; i < kDraws; ++i) {
    const Lengths lengths = setting.source.draw(random);
    context += (lengths.prompt_tokens + 0.5 * lengths.output_tokens) / kDraws;
  }
  return setting.profile.step_ns({.decode_rows = 1, .context_tokens = static_cast<int64_t>(context)}) * 1e-9;
}

namespace {

Result<SimulationResult> simulate(const Setting& setting, const std::string& policy,
                                  const std::vector<SimulatedRequest>& requests, uint64_t seed) {
  FSV_ASSIGN(const std::unique_ptr<Scheduler> scheduler, create_policy(policy, requests, setting.profile));
  FSV_ASSIGN(SimulatedEngine engine, SimulatedEngine::create(setting.profile, setting.simulation));
  FSV_ASSIGN(SimulationResult result, engine.run(requests, *scheduler, seed));
  if (!result.broken.empty()) return Status(StatusCode::kInternal, format(policy, ": ", result.broken));
  return result;
}

}  // namespace

Result<double> capacity_of(const Setting& setting, uint64_t seed) {
  const std::vector<SimulatedRequest> requests = draw_requests(setting.source, setting.request_count, 0, seed);
  FSV_ASSIGN(const SimulationResult result, simulate(setting, "fcfs", requests, seed));
  return static_cast<double>(result.done_by_last_admission) / std::max(seconds(result.last_admission_ns), 1e-9);
}

Result<Run> run_at(const Setting& setting, const std::string& policy, double rate, uint64_t seed) {
  Run run;
  run.requests = setting.is_burst ? draw_burst(setting.source, setting.request_count, rate, {}, seed)
                                  : draw_requests(setting.source, setting.request_count, rate, seed);
  if (policy == "alone") {
    std::erase_if(run.requests, [](const SimulatedRequest& request) { return request.priority <= 0; });
    if (run.requests.empty()) {
      return Status(StatusCode::kInvalidArgument,
                    "no request of this workload is above class 0: policy alone has none");
    }
  }
  FSV_ASSIGN(const SimulationResult result, simulate(setting, policy, run.requests, seed));
  run.summary = summarize(run.requests, result);
  return run;
}

Result<double> highest_rate(double first_rate, const std::function<Result<bool>(double rate)>& keeps) {
  double kept = 0, broken = 0;
  for (double rate = first_rate; broken == 0 || broken / kept > 1.02;) {
    FSV_ASSIGN(const bool is_kept, keeps(rate));
    (is_kept ? kept : broken) = rate;
    if (kept > 128 * first_rate || (kept == 0 && rate < first_rate / 500)) return kept;
    rate = kept == 0 ? rate / 2 : broken == 0 ? rate * 2 : std::sqrt(kept * broken);
  }
  return kept;
}

Result<double> rate_at_objective(const Setting& setting, const std::string& policy, double capacity, uint64_t seed) {
  const double objective_s = kObjectiveFactor * uncontended_token_s(setting);
  return highest_rate(capacity / 2, [&](double rate) -> Result<bool> {
    FSV_ASSIGN(const Run run, run_at(setting, policy, rate, seed));
    return run.summary.token_s_mean <= objective_s;
  });
}

}  // namespace fastserve::simulate
