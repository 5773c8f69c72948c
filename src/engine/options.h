// What a host decides when it creates an engine, checked and with defaults filled in.
#pragma once
#include <cstdint>

#include <memory>
#include <string>

#include "backend/executor.h"
#include "backend/open_device.h"
#include "base/clock.h"
#include "base/log_queue.h"
#include "base/os.h"
#include "formats/model_files.h"
#include "kernels/kernel_api.h"
#include "memory/memory_resource.h"

namespace fastserve {

enum class SchedulerKind : uint32_t { kFcfs = 0, kMlfq = 1, kAdaptive = 2 };
enum class EngineMode : uint32_t { kThreaded = 0, kPumped = 1 };

struct EngineOptions {
  EngineMode mode = EngineMode::kThreaded;
  uint32_t thread_count = 0;  // 0: what affinity and cgroup allow
  bool reference_kernels = false;
  kernels::KvType kv_type = kernels::KvType::kF16;
  uint32_t context_tokens = 0;  // 0: the model's own, at most kContextDefaultMax
  SchedulerKind scheduler = SchedulerKind::kAdaptive;
  uint32_t max_sequences = 64;
  uint32_t max_batch_tokens = 512;
  uint32_t prefill_chunk_tokens = 512;
  uint32_t max_queued_requests = 1024;
  uint32_t max_pending_events = 256;
  uint64_t step_target_us = 0;  // what 95 of 100 steps are to stay within; 0: none
  uint64_t memory_budget_bytes = 0;
  uint64_t kv_bytes = 0;
  bool keeps_prefixes = false;
  bool tells_of_memory = false;  // in events
  // Called on the engine's thread, without its lock, with kNote* of Engine. May be null.
  void (*on_memory)(void* context, uint32_t notes, uint64_t used_bytes, uint64_t budget_bytes) = nullptr;
  void* on_memory_context = nullptr;
  std::string write_folder;  // empty: nothing is written
  LogSink log;
  std::shared_ptr<LogQueue> log_queue;  // of `log`, where the host pulls its lines
  os::ThreadSettings threads;
  // What the host lends; null: the system's.
  std::shared_ptr<ModelFiles> files;
  std::shared_ptr<MemoryResource> memory;
  std::shared_ptr<const Clock> clock;
  std::shared_ptr<Executor> executor;
  std::shared_ptr<OpenDevice> device;  // computes instead of the CPU; null: the CPU

  static constexpr uint32_t kContextDefaultMax = 8192;
};

const kernels::KernelTable& kernel_table(const EngineOptions& options);

// Zeros and nulls replaced by what they stand for.
EngineOptions with_defaults(EngineOptions options);

}  // namespace fastserve
