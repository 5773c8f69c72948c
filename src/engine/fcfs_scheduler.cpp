// First come, first served.
#include <algorithm>

#include "engine/scheduler.h"

namespace fastserve {
namespace {

class FcfsScheduler final : public Scheduler {
 public:
  void plan(const SchedulerInput& input, Plan& plan) override {
    plan.entries.clear();
    int32_t budget = input.max_batch_tokens;
    auto take = [&](bool from_waiting, size_t index, const SequenceView& sequence) {
      const int32_t wanted = sequence.decoding ? 1 : std::min(sequence.pending_tokens, input.prefill_chunk_tokens);
      const int32_t count = std::min(wanted, budget);
      plan.entries.push_back({from_waiting, static_cast<uint32_t>(index), count});
      budget -= count;
    };
    for (size_t i = 0; i < input.running.size() && budget > 0; ++i) {
      if (input.running[i].decoding) take(false, i, input.running[i]);
    }
    for (size_t i = 0; i < input.running.size() && budget > 0; ++i) {
      if (!input.running[i].decoding) take(false, i, input.running[i]);
    }
    for (size_t i = 0; i < input.waiting.size() && budget > 0; ++i) {
      if (!input.admission->try_admit(i)) break;
      take(true, i, input.waiting[i]);
    }
  }
};

}  // namespace

std::unique_ptr<Scheduler> create_fcfs_scheduler() { return std::make_unique<FcfsScheduler>(); }

}  // namespace fastserve
