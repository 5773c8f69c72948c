// First come, first served, higher priorities before lower ones.
#include <algorithm>
#include <numeric>

#include "scheduler/scheduler.h"

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
    if (budget == 0) return;
    for (const uint32_t i : by_priority(input.running)) {
      if (budget > 0 && !input.running[i].decoding) take(false, i, input.running[i]);
    }
    if (budget == 0) return;
    for (const uint32_t i : by_priority(input.waiting)) {
      if (budget == 0 || !input.admission->try_admit(i)) break;
      take(true, i, input.waiting[i]);
    }
  }

  void reserve(size_t view_count) override { order_.reserve(view_count); }
  size_t residents_max(size_t slots, size_t) const override { return slots; }

 private:
  std::span<const uint32_t> by_priority(std::span<const SequenceView> views) {
    order_.resize(views.size());  // keeps its capacity
    std::iota(order_.begin(), order_.end(), 0U);
    auto comes_first = [&](uint32_t a, uint32_t b) {
      return views[a].priority != views[b].priority ? views[a].priority > views[b].priority : a < b;
    };
    if (!std::is_sorted(order_.begin(), order_.end(), comes_first)) {
      std::sort(order_.begin(), order_.end(), comes_first);
    }
    return order_;
  }

  std::vector<uint32_t> order_;
};

}  // namespace

std::unique_ptr<Scheduler> create_fcfs_scheduler() { return std::make_unique<FcfsScheduler>(); }

}  // namespace fastserve
