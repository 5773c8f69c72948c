// What a plan takes: 64 streams that decode, and so many requests that wait for a slot. A step of 64 rows takes some
// milliseconds on the fastest machine.
#include <benchmark/benchmark.h>

#include "scheduler/batch_controller.h"

namespace fastserve {
namespace {

constexpr int kStreams = 64;

class Closed final : public Admission {
 public:
  bool try_admit(size_t) override { return false; }
  void drop(size_t) override {}
};

void plan(benchmark::State& state, std::unique_ptr<Scheduler> scheduler, int64_t target_ns) {
  const auto waiting_count = static_cast<size_t>(state.range(0));
  std::vector<JobRecord> jobs(kStreams + waiting_count);
  std::vector<SequenceView> running(kStreams), waiting(waiting_count);
  for (size_t i = 0; i < jobs.size(); ++i) {
    SequenceView& view = i < kStreams ? running[i] : waiting[i - kStreams];
    view = {.id = i + 1, .arrival_ns = static_cast<int64_t>(i), .pending_tokens = i < kStreams ? 1 : 100};
    view.decoding = i < kStreams;
    view.computed_tokens = view.decoding ? 500 : 0;
    view.job = &jobs[i];
  }
  Closed admission;
  CostModel cost;
  BatchController batching;
  SchedulerInput input{running, waiting, 512, 512, &admission};
  input.slots = kStreams;
  input.cost = &cost;
  Plan planned;
  scheduler->reserve(jobs.size());
  planned.entries.reserve(jobs.size());
  for (auto _ : state) {
    input.now_ns += 10'000'000;
    if (target_ns > 0) {
      input.max_batch_tokens = batching.tokens_max(target_ns, cost, demand_of(running, waiting), 512);
    }
    scheduler->plan(input, planned);
    const StepWork work = work_of(input, planned);
    cost.observe(work, 10'000'000);
    batching.record(work.decode_rows, 10'000'000);
    benchmark::DoNotOptimize(planned.entries.data());
  }
}

void fcfs(benchmark::State& state) { plan(state, create_fcfs_scheduler(), 0); }
void mlfq(benchmark::State& state) { plan(state, create_mlfq_scheduler(), 0); }
void adaptive(benchmark::State& state) { plan(state, create_adaptive_scheduler(), 0); }
void adaptive_with_target(benchmark::State& state) { plan(state, create_adaptive_scheduler(), 50'000'000); }

BENCHMARK(fcfs)->Arg(0)->Arg(64)->Arg(1000);
BENCHMARK(mlfq)->Arg(0)->Arg(64)->Arg(1000);
BENCHMARK(adaptive)->Arg(0)->Arg(64)->Arg(1000);
BENCHMARK(adaptive_with_target)->Arg(0)->Arg(64)->Arg(1000);

}  // namespace
}  // namespace fastserve
