// Scheduler: which sequences compute how many tokens in the next step. Pure policy: no hardware, no clock of its own,
// no allocation in steady state. The engine shows it views and carries out its plan.
#pragma once
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

namespace fastserve {

// One sequence as policy sees it.
struct SequenceView {
  uint64_t id = 0;
  int64_t arrival_ns = 0;
  int32_t pending_tokens = 0;   // known but not computed: the rest of the prompt, or 1 in decode
  int32_t computed_tokens = 0;  // in the KV cache
  bool decoding = false;        // the prompt is done
  int32_t priority = 0;         // higher first, where the scheduler heeds it
};

// Asks the engine to give a waiting sequence its slot and its promise of KV blocks.
class Admission {
 public:
  virtual ~Admission() = default;
  virtual bool try_admit(size_t waiting_index) = 0;
};

struct SchedulerInput {
  std::span<const SequenceView> running;  // admitted, able to compute; in order of admission
  std::span<const SequenceView> waiting;  // in order of arrival
  int32_t max_batch_tokens = 0;
  int32_t prefill_chunk_tokens = 0;
  Admission* admission = nullptr;
};

struct PlanEntry {
  bool from_waiting = false;
  uint32_t index = 0;  // in `running`, or in `waiting` (admitted by this plan)
  int32_t token_count = 0;
};

struct Plan {
  std::vector<PlanEntry> entries;  // order of rows in the batch
};

class Scheduler {
 public:
  virtual ~Scheduler() = default;
  // Replaces plan.entries. Every entry has token_count >= 1; their sum is at most max_batch_tokens.
  virtual void plan(const SchedulerInput& input, Plan& plan) = 0;
};

// First come, first served among equals, with chunked prefill: every running decode, then prefill chunks, then
// admissions until one does not fit; both by priority, then by arrival. What runs is never interrupted.
std::unique_ptr<Scheduler> create_fcfs_scheduler();

}  // namespace fastserve
