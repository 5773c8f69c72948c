// Experiments: capacity, runs at a share of it, and the highest rate at which a policy keeps its objective.
#pragma once
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "simulated_engine.h"

namespace fastserve::simulate {

// P50, P95 and P99 of one figure over some requests, in seconds.
struct Percentiles {
  double p50 = 0, p95 = 0, p99 = 0, mean = 0;
};
Percentiles percentiles_of(std::vector<double>& values);

// Requests of one range of lengths.
struct Bucket {
  std::string name;
  size_t count = 0;
  Percentiles first_token, gap, longest_gap, completion;  // gap: of all times between two tokens
};

struct Summary {
  size_t count = 0;
  Percentiles first_token, completion, gap, step;
  Percentiles queue;        // from arrival to the first row
  double token_s_mean = 0;  // completion over tokens, its mean over requests
  double tokens_per_second = 0;
  std::vector<Bucket> by_output, by_prompt;
  Percentiles interactive_first_token;  // of requests above class 0
  uint64_t steps = 0, drops = 0, recomputed_tokens = 0;
  double scheduler_us_per_step = 0;
  size_t resident_peak = 0;
};
Summary summarize(const std::vector<SimulatedRequest>& requests, const SimulationResult& result);

// What all runs of an experiment share.
struct Setting {
  CostProfile profile;
  LengthSource source;
  SimulationOptions simulation;
  size_t request_count = 5000;
  bool is_burst = false;
};

// The objective: a mean time per token of ten times what one request alone takes for a token.
constexpr double kObjectiveFactor = 10;
double uncontended_token_s(const Setting& setting);

// fcfs, mlfq, adaptive; arrival: fcfs that is blind to classes; oracle: the shortest remaining service first, lengths
// known; alone: fcfs of the requests above class 0, as if nobody else had come: the bound of what a policy can do for
// them. `requests` must outlive it.
Result<std::unique_ptr<Scheduler>> create_policy(const std::string& name, const std::vector<SimulatedRequest>& requests,
                                                 const CostProfile& profile);

// Requests a second that fcfs completes while there are always enough waiting.
Result<double> capacity_of(const Setting& setting, uint64_t seed);

struct Run {
  std::vector<SimulatedRequest> requests;
  Summary summary;
};
Result<Run> run_at(const Setting& setting, const std::string& policy, double rate, uint64_t seed);

// The highest rate of arrivals, to 2%, at which `keeps` holds; looks for it from `first_rate` on. 0: at none.
Result<double> highest_rate(double first_rate, const std::function<Result<bool>(double rate)>& keeps);
// The highest rate at which the objective is kept.
Result<double> rate_at_objective(const Setting& setting, const std::string& policy, double capacity, uint64_t seed);

}  // namespace fastserve::simulate
