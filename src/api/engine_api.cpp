// Engine: create, retain, release, shutdown, step, pause; metrics.
#include "api/arguments.h"
#include "api/handles.h"
#include "api/shim.h"

namespace {

using namespace fastserve;       // NOLINT(google-build-using-namespace): shims speak both languages
using namespace fastserve::api;  // NOLINT(google-build-using-namespace)

}  // namespace

extern "C" {

void fsv_engine_config_init(fsv_engine_config* config, uint32_t struct_size) {
  init_struct(config, struct_size, [](fsv_engine_config& defaults) { defaults.scheduler = FSV_SCHEDULER_ADAPTIVE; });
}
void fsv_io_init(fsv_io* io, uint32_t struct_size) { init_struct(io, struct_size); }
void fsv_allocator_init(fsv_allocator* allocator, uint32_t struct_size) { init_struct(allocator, struct_size); }
void fsv_clock_init(fsv_clock* clock, uint32_t struct_size) { init_struct(clock, struct_size); }
void fsv_executor_init(fsv_executor* executor, uint32_t struct_size) { init_struct(executor, struct_size); }

fsv_status fsv_engine_create(const fsv_engine_config* config, fsv_engine** engine, fsv_error* error) {
  return shim(error, [&]() -> Status {
    if (engine == nullptr) return invalid("engine is NULL");
    *engine = nullptr;
    FSV_ASSIGN(const EngineOptions options, engine_options(config));
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
    if (last == nullptr) return {};
    Engine& ended = *static_cast<EngineObject*>(last.get())->engine;
    ended.shutdown(0);
    if (ended.options().log_queue != nullptr) ended.options().log_queue->close();
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

fsv_status fsv_engine_set_step_target(fsv_engine* engine, uint64_t target_us, fsv_error* error) {
  return shim(error, [&]() -> Status {
    FSV_ASSIGN(const std::shared_ptr<Engine> target, find_engine(engine));
    target->set_step_target(target_us);
    return {};
  });
}

fsv_status fsv_engine_read_log(fsv_engine* engine, uint64_t timeout_us, int32_t* level, char* buffer, size_t capacity,
                               size_t* size, fsv_error* error) {
  return shim(error, [&]() -> Status {
    if (level == nullptr) return invalid("level is NULL");
    FSV_ASSIGN(const std::shared_ptr<Engine> target, find_engine(engine));
    const std::shared_ptr<LogQueue>& queue = target->options().log_queue;
    if (queue == nullptr) {
      return Status::from_literal(StatusCode::kWrongState,
                                  "this engine keeps no log: its config has no log_level, or a function that takes it");
    }
    return queue->read(timeout_us, [&](int32_t line_level, std::string_view text) -> Result<bool> {
      *level = line_level;
      FSV_TRY(fill_array(text.data(), text.size(), buffer, capacity, size));
      return buffer != nullptr;
    });
  });
}

void fsv_metrics_init(fsv_metrics* metrics, uint32_t struct_size) { init_struct(metrics, struct_size); }

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
    filled.scheduler_us_total = now.scheduler_ns / 1000;
    filled.max_step_us = now.max_step_us;
    filled.dropped_requests = now.dropped;
    filled.recomputed_tokens = now.recomputed_tokens;
    filled.prefix_lookups = now.prefixes.lookup_count;
    filled.prefix_hits = now.prefixes.hit_count;
    filled.prefix_hit_tokens = now.prefixes.hit_tokens;
    filled.prefix_evictions = now.prefixes.evicted_count;
    filled.batch_rows_total = now.batch_rows;
    filled.reused_tokens = now.reused_tokens;
    filled.drafted_tokens = now.drafts;
    filled.drafts_accepted = now.drafts_true;
    filled.step_target_us = now.step_target_us;
    filled.step_us_p95 = static_cast<uint64_t>(now.batching.step_p95_ns) / 1000;
    filled.batch_tokens_max = static_cast<uint64_t>(now.batching.tokens_max);
    filled.tokens_per_second = now.batching.tokens_per_s;
    filled.tokens_per_second_full = now.batching.full_tokens_per_s;
    filled.batch_objective = now.batching.objective;
    filled.evicted_models = now.evicted_models;
    filled.reloaded_models = now.reloaded_models;
    return fill_info(metrics, filled, "metrics");
  });
}

}  // extern "C"
