// Scheduler: which sequences compute how many tokens in the next step, and who gives way. Pure policy over plain
// descriptions: no hardware, no clock of its own, no allocation in steady state. The engine, or a simulation, shows it
// views and carries out its plan.
#pragma once
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "scheduler/cost_model.h"

namespace fastserve {

constexpr int64_t kNeverNs = INT64_MAX;

// What a policy remembers of a request from plan to plan. It lives with the request, and only schedulers write it.
struct JobRecord {
  double service_ns = 0;         // what its steps took, as far as they were its own
  double level_service_ns = 0;   // of it, since it joined its level
  int64_t last_planned_ns = -1;  // -1: never
  int32_t level = -1;            // of a multi-level queue; -1: has not joined yet
  uint32_t drop_count = 0;       // how often its keys and values were taken
};

// One sequence as policy sees it.
struct SequenceView {
  uint64_t id = 0;  // of its request
  int64_t arrival_ns = 0;
  int32_t pending_tokens = 0;           // known but not computed: the rest of the prompt, or 1 in decode
  int32_t computed_tokens = 0;          // in the KV cache, or of a waiting one: found there
  bool decoding = false;                // the prompt is done
  int32_t priority = 0;                 // its class: higher first
  uint64_t tenant = 0;                  // tenants of one class share alike
  int64_t due_ns = kNeverNs;            // of its next token, the first one included
  int32_t tokens_left_max = INT32_MAX;  // that it may still draw
  int64_t kv_tokens = 0;                // slots promised to it, or that it asks for
  bool can_drop = false;                // admitted: its keys and values may be taken and computed again
  JobRecord* job = nullptr;             // of its request; null: nothing is remembered
};

// Carries out what a plan decides while it is made.
class Admission {
 public:
  virtual ~Admission() = default;
  // Gives a waiting sequence its promise of KV blocks.
  virtual bool try_admit(size_t waiting_index) = 0;
  // Takes the keys and values of a running sequence that can_drop; it waits from the next plan on.
  virtual void drop(size_t running_index) = 0;
};

struct SchedulerInput {
  std::span<const SequenceView> running;  // admitted, able to compute; in order of admission
  std::span<const SequenceView> waiting;  // in order of arrival
  int32_t max_batch_tokens = 0;
  int32_t prefill_chunk_tokens = 0;
  Admission* admission = nullptr;
  int32_t slots = INT32_MAX;  // sequences of one step
  int64_t now_ns = 0;
  int64_t kv_tokens_free = 0;       // slots that are promised to nobody
  const CostModel* cost = nullptr;  // null: of a model that has never run
};

struct PlanEntry {
  bool from_waiting = false;
  uint32_t index = 0;  // in `running`, or in `waiting` (admitted by this plan)
  int32_t token_count = 0;
};

struct Plan {
  std::vector<PlanEntry> entries;  // order of rows in the batch
};

// What is left of a sequence's prompt.
inline StepWork prompt_work(const SequenceView& view) {
  StepWork work;
  work.add_prompt(view.pending_tokens, view.computed_tokens);
  return work;
}
// What a plan computes.
StepWork work_of(const SchedulerInput& input, const Plan& plan);

class Scheduler {
 public:
  virtual ~Scheduler() = default;
  // Replaces plan.entries. Every entry has token_count >= 1; their sum is at most max_batch_tokens, their number at
  // most `slots`. Whoever runs and is not in the plan is paused: it keeps its keys and values.
  virtual void plan(const SchedulerInput& input, Plan& plan) = 0;
  // Makes room for so many views, so that no plan of them allocates. May throw bad_alloc.
  virtual void reserve(size_t view_count) = 0;
  // A request has ended by itself (not by a cancel or failure): policies learn from its record.
  virtual void finished(const JobRecord& record) { (void)record; }
  // How many sequences may hold keys and values at once.
  virtual size_t residents_max(size_t slots, size_t limit) const {
    (void)slots;
    return limit;
  }
};

// First come, first served among equals, with chunked prefill: every running decode, then prefill chunks, then
// admissions until one does not fit; both by priority, then by arrival. What runs is never interrupted.
std::unique_ptr<Scheduler> create_fcfs_scheduler();

// FastServe's skip-join multi-level feedback queue (arXiv 2305.05920, section 4) with the constants of its released
// code: a request joins the first level whose quantum covers its prompt, sinks when it has used the quantum up, rises
// to the top after starving, and pre-empts whoever is below it. Priorities, deadlines and tenants do not count.
struct MlfqOptions {
  double first_quantum_ns = 10e6;  // each level has twice the quantum of the one above
  int32_t level_count = 16;
  int64_t starvation_ns = 3'000'000'000;
  uint32_t drops_max = 3;  // of one request; not the paper's, which swaps, but computing again must end some time
};
std::unique_ptr<Scheduler> create_mlfq_scheduler(const MlfqOptions& options = {});

// Classes, then deadlines, then tenants' shares, then levels of attained service, then arrival. Levels count only where
// what requests took so far is widely spread; else the order is that of arrival, as in fcfs. The oldest request always
// advances. See docs/decisions/006-scheduling.md.
struct AdaptiveOptions {
  double first_quantum_means = 1;  // the first level's quantum, in mean services of a request
  double spread_on = 1.6,
         spread_off = 1.3;         // coefficient of variation from which on, below which levels (do not) count
  uint32_t drops_max = 3;          // of one request
  int32_t nearly_done_tokens = 8;  // with fewer left, nobody is interrupted
  int32_t oldest_share = 32;       // 1 in so many slots is the oldest request's
  // After prompts of a class above others', for so many plans steps with prompts of the others' are kept as short as so
  // many times the cost of a step itself: the next urgent one comes while a step is under way.
  uint64_t urgent_memory = 2048;
  double guarded_steps = 5;
};
std::unique_ptr<Scheduler> create_adaptive_scheduler(const AdaptiveOptions& options = {});

}  // namespace fastserve
