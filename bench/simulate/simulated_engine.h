// SimulatedEngine: the engine's scheduling without its computing: the real scheduler, cost model and KV account over a
// virtual clock and steps that take what a profile says.
#pragma once
#include <random>
#include <vector>

#include "cost_profile.h"
#include "scheduler/batch_controller.h"
#include "scheduler/scheduler.h"
#include "simulated_text.h"
#include "state/kv_cache.h"
#include "workload.h"

namespace fastserve::simulate {

struct SimulationOptions {
  int32_t slots = 16;
  size_t queue_max = 1024;     // waiting and running; later arrivals stay with their sender until there is room
  int64_t kv_tokens = 0;       // 0: the profile's
  int32_t batch_tokens = 0;    // of one step, at most; 0: the profile's
  int64_t step_target_ns = 0;  // for the batch controller; 0: none
  double noise = 0.03;         // spread of a step's time around the profile's
  bool checks = false;         // every step's bounds and every token, for tests
};

struct Outcome {
  int64_t first_row_ns = -1, first_token_ns = -1, finished_ns = -1;
  int64_t longest_gap_ns = 0;    // between two tokens
  std::vector<int32_t> gaps_us;  // all of them
  bool is_cancelled = false;     // before it ended
  int32_t generated = 0;
  uint32_t drops = 0;
};

struct SimulationResult {
  std::vector<Outcome> outcomes;  // of the requests, in their order
  int64_t end_ns = 0;
  int64_t last_admission_ns = 0;  // when the last of the requests began
  size_t done_by_last_admission = 0;
  uint64_t steps = 0, drops = 0, recomputed_tokens = 0;
  std::vector<int32_t> steps_us;  // what each took
  int64_t scheduler_ns = 0;       // of the machine's own time
  size_t resident_peak = 0;
  std::string broken;  // of `checks`: what did not hold; empty: all did
};

class SimulatedEngine final : private Admission {
 public:
  static Result<SimulatedEngine> create(const CostProfile& profile, const SimulationOptions& options);
  // Runs requests (by arrival) to their ends. `scheduler` is a new one for each run.
  Result<SimulationResult> run(const std::vector<SimulatedRequest>& requests, Scheduler& scheduler, uint64_t seed);

 private:
  struct Job {
    const SimulatedRequest* asked = nullptr;
    uint64_t id = 0;  // its index among the requests, and 1
    SequenceKv kv;
    JobRecord record;
    int32_t computed = 0, generated = 0;
    bool has_arrived = false, is_over = false;
    int64_t last_token_ns = 0;
    std::vector<uint64_t> tokens;  // of `checks`: prompt, then what was said
    int32_t token_count() const { return asked->prompt_tokens + generated; }
  };
  SimulatedEngine(const CostProfile& profile, const SimulationOptions& options, KvCache kv)
      : profile_(profile), options_(options), kv_(std::move(kv)) {}

  Status take(const std::vector<SimulatedRequest>& requests);
  void arrive(const std::vector<SimulatedRequest>& requests);
  void collect_cancelled(SimulationResult& result);
  bool step(Scheduler& scheduler, SimulationResult& result);
  SequenceView view_of(Job& job) const;
  bool try_admit(size_t waiting_index) override;
  void drop(size_t running_index) override;
  void settle_admissions(SimulationResult& result);
  // The rows of an entry are computed; true where that ends the request.
  bool advance(Job& job, int32_t rows, SimulationResult& result);
  void check_plan(const SchedulerInput& input, const Plan& plan, SimulationResult& result) const;
  void check_end(SimulationResult& result) const;

  const CostProfile profile_;
  const SimulationOptions options_;
  KvCache kv_;
  CostModel cost_;
  BatchController batching_;
  SimulatedText text_;
  std::vector<Job> jobs_;
  std::vector<Job*> cancels_;  // those that will be, by time
  std::vector<Job*> running_, waiting_, planned_running_, planned_waiting_;
  std::vector<SequenceView> running_views_, waiting_views_;
  std::vector<Job*> dropped_;
  Plan plan_;
  size_t next_arrival_ = 0, next_cancel_ = 0, resident_max_ = 0, alive_ = 0;
  int64_t now_ns_ = 0;
  uint64_t recomputed_tokens_ = 0;
  std::mt19937_64 random_;
};

}  // namespace fastserve::simulate
