// Engine: create, retain, release, shutdown, step, pause; memory and metrics.
#include "api/handles.h"
#include "api/shim.h"
#include "backend/device_library.h"

namespace {

using namespace fastserve;       // NOLINT(google-build-using-namespace): shims speak both languages
using namespace fastserve::api;  // NOLINT(google-build-using-namespace)

static_assert(static_cast<uint32_t>(kernels::KvType::kF16) == FSV_KV_F16);
static_assert(static_cast<uint32_t>(kernels::KvType::kF32) == FSV_KV_F32);
static_assert(static_cast<uint32_t>(kernels::KvType::kBF16) == FSV_KV_BF16);
static_assert(static_cast<uint32_t>(kernels::KvType::kQ8) == FSV_KV_Q8);

fsv_engine_config default_config() {
  fsv_engine_config config;
  fsv_engine_config_init(&config);
  return config;
}

Status check_range(const char* name, uint64_t value, uint64_t maximum) {
  if (value <= maximum) return {};
  return invalid(format("config.", name, " is ", value, ", at most ", maximum, " is possible"));
}

Status check_device(const fsv_engine_config& config) {
  if (config.device_kind == FSV_DEVICE_CUDA) {
    FSV_ASSIGN(const std::shared_ptr<DeviceLibrary> library, DeviceLibrary::cuda());
    int32_t count = 0;
    if (library != nullptr) {
      FSV_ASSIGN(count, library->count_devices());
    }
    if (config.device_index >= static_cast<uint32_t>(count)) {
      return {StatusCode::kNotFound,
              format("there is no CUDA device ", config.device_index, "; this machine has ", count)};
    }
    return {StatusCode::kUnsupported, "engines of this version compute on the CPU alone"};
  }
  if (config.device_kind != FSV_DEVICE_CPU) return invalid(format("config.device_kind is ", config.device_kind));
  if (config.device_index != 0) {
    return {StatusCode::kNotFound, format("there is no CPU device ", config.device_index)};
  }
  return {};
}

Result<EngineOptions> engine_options(const fsv_engine_config& config) {
  FSV_TRY(check_range("mode", config.mode, FSV_MODE_PUMPED));
  FSV_TRY(check_device(config));
  FSV_TRY(check_range("thread_count", config.thread_count, 1024));
  FSV_TRY(check_range("kernels", config.kernels, FSV_KERNELS_REFERENCE));
  FSV_TRY(check_range("kv_dtype", config.kv_dtype, FSV_KV_Q8));
  FSV_TRY(check_range("scheduler", config.scheduler, FSV_SCHEDULER_FCFS));
  FSV_TRY(check_range("context_tokens", config.context_tokens, 1 << 24));
  FSV_TRY(check_range("max_sequences", config.max_sequences, 4096));
  FSV_TRY(check_range("max_batch_tokens", config.max_batch_tokens, 1 << 16));
  FSV_TRY(check_range("prefill_chunk_tokens", config.prefill_chunk_tokens, 1 << 16));
  FSV_TRY(check_range("max_queued_requests", config.max_queued_requests, 1 << 18));
  FSV_TRY(check_range("max_pending_events", config.max_pending_events, 1 << 20));
  FSV_TRY(check_range("kv_bytes", config.kv_bytes, uint64_t{1} << 46));
  auto or_default = [](uint32_t value, uint32_t fallback) { return value != 0 ? value : fallback; };
  EngineOptions options;
  options.mode = static_cast<EngineMode>(config.mode);
  options.thread_count = config.thread_count;
  options.reference_kernels = config.kernels == FSV_KERNELS_REFERENCE;
  options.kv_type = static_cast<kernels::KvType>(config.kv_dtype);
  options.context_tokens = config.context_tokens;
  options.max_sequences = or_default(config.max_sequences, options.max_sequences);
  options.max_batch_tokens = or_default(config.max_batch_tokens, options.max_batch_tokens);
  options.max_sequences = std::min(options.max_sequences, options.max_batch_tokens);
  options.prefill_chunk_tokens = or_default(config.prefill_chunk_tokens, options.max_batch_tokens);
  options.max_queued_requests = or_default(config.max_queued_requests, options.max_queued_requests);
  options.max_pending_events = or_default(config.max_pending_events, options.max_pending_events);
  options.memory_budget_bytes = config.memory_budget_bytes;
  options.kv_bytes = config.kv_bytes;
  options.log = {config.log, config.log_user, static_cast<LogLevel>(std::clamp(config.log_level, 0, 4))};
  return options;
}

}  // namespace

extern "C" {

void fsv_engine_config_init(fsv_engine_config* config) { init_struct(config); }

fsv_status fsv_engine_create(const fsv_engine_config* config, fsv_engine** engine, fsv_error* error) {
  return shim(error, [&]() -> Status {
    if (engine == nullptr) return invalid("engine is NULL");
    *engine = nullptr;
    const fsv_engine_config defaults = default_config();
    FSV_ASSIGN(const fsv_engine_config checked,
               config_argument(config != nullptr ? config : &defaults, defaults, "config"));
    FSV_ASSIGN(const EngineOptions options, engine_options(checked));
    FSV_ASSIGN(std::shared_ptr<Engine> created, Engine::create(options));
    auto object = std::make_shared<EngineObject>();
    object->engine = std::move(created);
    FSV_ASSIGN(void* handle, register_handle(HandleKind::kEngine, std::move(object)));
    *engine = static_cast<fsv_engine*>(handle);
    return {};
  });
}

fsv_status fsv_engine_retain(fsv_engine* engine, fsv_error* error) {
  return shim(error, [&] { return retain_handle(HandleKind::kEngine, engine); });
}

fsv_status fsv_engine_release(fsv_engine* engine, fsv_error* error) {
  return shim(error, [&]() -> Status {
    FSV_ASSIGN(const std::shared_ptr<void> last, release_handle(HandleKind::kEngine, engine));
    if (last != nullptr) static_cast<EngineObject*>(last.get())->engine->shutdown(0);
    return {};
  });
}

fsv_status fsv_engine_shutdown(fsv_engine* engine, uint64_t timeout_us, fsv_error* error) {
  return shim(error, [&]() -> Status {
    FSV_ASSIGN(const std::shared_ptr<Engine> target, find_engine(engine));
    target->shutdown(timeout_us);
    return {};
  });
}

fsv_status fsv_engine_step(fsv_engine* engine, uint64_t max_us, uint32_t* more, fsv_error* error) {
  return shim(error, [&]() -> Status {
    FSV_ASSIGN(const std::shared_ptr<Engine> target, find_engine(engine));
    bool has_more = false;
    FSV_TRY(target->step(max_us, &has_more));
    if (more != nullptr) *more = has_more ? 1 : 0;
    return {};
  });
}

static fsv_status set_paused(fsv_engine* engine, bool paused, fsv_error* error) {
  return shim(error, [&]() -> Status {
    FSV_ASSIGN(const std::shared_ptr<Engine> target, find_engine(engine));
    target->pause(paused);
    return {};
  });
}
fsv_status fsv_engine_pause(fsv_engine* engine, fsv_error* error) { return set_paused(engine, true, error); }
fsv_status fsv_engine_resume(fsv_engine* engine, fsv_error* error) { return set_paused(engine, false, error); }

void fsv_memory_stats_init(fsv_memory_stats* stats) { init_struct(stats); }

fsv_status fsv_memory_get_stats(fsv_engine* engine, fsv_memory_stats* stats, fsv_error* error) {
  return shim(error, [&]() -> Status {
    FSV_ASSIGN(const std::shared_ptr<Engine> target, find_engine(engine));
    const EngineMemory memory = target->memory();
    auto used_by = [&](MemoryUse use) { return memory.stats.used_bytes_by_use[static_cast<size_t>(use)]; };
    fsv_memory_stats filled{};
    filled.model_count = memory.model_count;
    filled.budget_bytes = memory.stats.budget_bytes;
    filled.used_bytes = memory.stats.used_bytes;
    filled.weight_bytes = used_by(MemoryUse::kWeights);
    filled.kv_bytes = used_by(MemoryUse::kKv);
    filled.activation_bytes = used_by(MemoryUse::kActivations);
    filled.other_bytes = used_by(MemoryUse::kOther);
    filled.peak_bytes = memory.stats.peak_bytes;
    filled.kv_block_bytes_used = static_cast<uint64_t>(memory.kv.used_bytes);
    filled.kv_block_count = static_cast<uint64_t>(memory.kv.block_count);
    filled.kv_block_free_count = static_cast<uint64_t>(memory.kv.free_count);
    filled.session_kv_bytes = static_cast<uint64_t>(memory.sessions.kv_bytes);
    filled.session_count = memory.sessions.session_count;
    return fill_info(stats, filled, "stats");
  });
}

void fsv_metrics_init(fsv_metrics* metrics) { init_struct(metrics); }

fsv_status fsv_metrics_snapshot(fsv_engine* engine, fsv_metrics* metrics, fsv_error* error) {
  return shim(error, [&]() -> Status {
    FSV_ASSIGN(const std::shared_ptr<Engine> target, find_engine(engine));
    const EngineMetrics now = target->metrics();
    fsv_metrics filled{};
    filled.queued_requests = now.queued;
    filled.running_requests = now.running;
    filled.paused_requests = now.paused;
    filled.submitted_requests = now.submitted;
    filled.finished_requests = now.finished;
    filled.cancelled_requests = now.cancelled;
    filled.failed_requests = now.failed;
    filled.prefill_tokens = now.prefill_tokens;
    filled.decode_tokens = now.decode_tokens;
    filled.steps = now.steps;
    filled.step_us_total = now.step_us;
    filled.scheduler_us_total = now.scheduler_us;
    filled.max_step_us = now.max_step_us;
    filled.batch_rows_total = now.batch_rows;
    return fill_info(metrics, filled, "metrics");
  });
}

}  // extern "C"
