// FastServe's queue as published: levels of doubling quanta, skip-join, demotion, promotion of the starved.
#include <algorithm>

#include "scheduler/plan_builder.h"

namespace fastserve {
namespace {

class MlfqScheduler final : public Scheduler {
 public:
  explicit MlfqScheduler(const MlfqOptions& options) : options_(options) {}

  void plan(const SchedulerInput& input, Plan& plan) override {
    builder_.begin(input, plan);
    for (const auto views : {input.running, input.waiting}) {
      for (const SequenceView& view : views) place(view, input);
    }
    builder_.rank([](const SequenceView& view, bool) {
      return Urgency{.level = level_of(view), .order = view.arrival_ns, .id = view.id};
    });
    // From the tail of the lowest level.
    builder_.fill({}, &options_, [](const void* own, const Candidate& urgent, const Candidate& victim) {
      const JobRecord* job = victim.view->job;
      return urgent.urgency.level < victim.urgency.level && job != nullptr &&
             job->drop_count < static_cast<const MlfqOptions*>(own)->drops_max;
    });
    charge(input, plan);
  }
  void reserve(size_t view_count) override { builder_.reserve(view_count); }

 private:
  double quantum_ns(int32_t level) const {
    return options_.first_quantum_ns * static_cast<double>(uint64_t{1} << level);
  }
  static int32_t level_of(const SequenceView& view) { return view.job != nullptr ? std::max(view.job->level, 0) : 0; }

  // Levels at the beginning of a step.
  void place(const SequenceView& view, const SchedulerInput& input) const {
    if (view.job == nullptr) return;
    JobRecord& job = *view.job;
    const int32_t last = options_.level_count - 1;
    if (job.level < 0) {
      const double prompt_ns = builder_.cost().predict_ns(prompt_work(view));
      job.level = 0;
      while (job.level < last && quantum_ns(job.level) < prompt_ns) ++job.level;
      job.last_planned_ns = input.now_ns;
    }
    if (job.level > 0 && input.now_ns - job.last_planned_ns >= options_.starvation_ns) {
      job.level = 0;
      job.level_service_ns = 0;
    }
    if (job.level < last && job.level_service_ns >= quantum_ns(job.level)) {
      ++job.level;
      job.level_service_ns = 0;
    }
  }

  // A step is service to everyone in it, as long as it takes.
  void charge(const SchedulerInput& input, const Plan& plan) const {
    const double step_ns = builder_.cost().predict_ns(work_of(input, plan));
    for (const PlanEntry& entry : plan.entries) {
      JobRecord* job = (entry.from_waiting ? input.waiting : input.running)[entry.index].job;
      if (job == nullptr) continue;
      job->service_ns += step_ns;
      job->level_service_ns += step_ns;
      job->last_planned_ns = input.now_ns;
    }
  }

  const MlfqOptions options_;
  PlanBuilder builder_;
};

}  // namespace

std::unique_ptr<Scheduler> create_mlfq_scheduler(const MlfqOptions& options) {
  return std::make_unique<MlfqScheduler>(options);
}

}  // namespace fastserve
