// fsv_engine_config as EngineOptions.
#include "api/arguments.h"
#include "api/host_hooks.h"
#include "api/shim.h"
#include "backend/open_device.h"

namespace fastserve::api {
namespace {

static_assert(static_cast<uint32_t>(kernels::KvType::kF16) == FSV_KV_F16);
static_assert(static_cast<uint32_t>(kernels::KvType::kF32) == FSV_KV_F32);
static_assert(static_cast<uint32_t>(kernels::KvType::kBF16) == FSV_KV_BF16);
static_assert(static_cast<uint32_t>(kernels::KvType::kQ8) == FSV_KV_Q8);

fsv_engine_config default_config() {
  fsv_engine_config config;
  fsv_engine_config_init(&config, sizeof(config));
  return config;
}

Status check_range(const char* name, uint64_t value, uint64_t maximum) {
  if (value <= maximum) return {};
  return invalid(format("config.", name, " is ", value, ", at most ", maximum, " is possible"));
}

Status check_device(const fsv_engine_config& config) {
  if (config.device_kind == FSV_DEVICE_CUDA) return {};  // opening it tells
  if (config.device_kind != FSV_DEVICE_CPU) return invalid(format("config.device_kind is ", config.device_kind));
  if (config.device_index != 0) {
    return {StatusCode::kNotFound, format("there is no CPU device ", config.device_index)};
  }
  return {};
}

Status check_all(const fsv_engine_config& config) {
  FSV_TRY(check_range("mode", config.mode, FSV_MODE_PUMPED));
  FSV_TRY(check_device(config));
  FSV_TRY(check_range("thread_count", config.thread_count, 1024));
  FSV_TRY(check_range("kernels", config.kernels, FSV_KERNELS_REFERENCE));
  FSV_TRY(check_range("kv_dtype", config.kv_dtype, FSV_KV_Q8));
  FSV_TRY(check_range("scheduler", config.scheduler, FSV_SCHEDULER_ADAPTIVE));
  FSV_TRY(check_range("context_tokens", config.context_tokens, 1 << 24));
  FSV_TRY(check_range("max_sequences", config.max_sequences, 4096));
  FSV_TRY(check_range("max_batch_tokens", config.max_batch_tokens, 1 << 16));
  FSV_TRY(check_range("prefill_chunk_tokens", config.prefill_chunk_tokens, 1 << 16));
  FSV_TRY(check_range("max_queued_requests", config.max_queued_requests, 1 << 18));
  FSV_TRY(check_range("max_pending_events", config.max_pending_events, 1 << 20));
  FSV_TRY(check_range("kv_bytes", config.kv_bytes, uint64_t{1} << 46));
  FSV_TRY(check_range("thread_priority", config.thread_priority, FSV_THREADS_LOWEST));
  FSV_TRY(check_range("cpu_count", config.cpu_count, 4096));
  FSV_TRY(check_range("prefix_cache", config.prefix_cache, 1));
  FSV_TRY(check_range("memory_events", config.memory_events, 1));
  FSV_TRY(check_range("cublas", config.cublas, FSV_CUBLAS_OFF));
  if (config.cpus == nullptr && config.cpu_count != 0) return invalid("config.cpus is NULL");
  if (config.cpus != nullptr && config.cpu_count == 0) return invalid("config.cpu_count is 0");
  return {};
}

Status take_hooks(const fsv_engine_config& config, EngineOptions& options) {
  if (config.io != nullptr) {
    FSV_ASSIGN(options.files, host_files(config.io, "config.io"));
  }
  if (config.allocator != nullptr) {
    FSV_ASSIGN(options.memory, host_memory(config.allocator));
  }
  if (config.clock != nullptr) {
    FSV_ASSIGN(options.clock, host_clock(config.clock));
  }
  if (config.executor != nullptr) {
    FSV_ASSIGN(options.executor, host_executor(config.executor));
  }
  return {};
}

// A folder, or none.
Result<std::string> folder_argument(const char* data, size_t size, const char* name) {
  FSV_ASSIGN(const std::string_view given, text_argument(data, size, name));
  if (given.empty()) return std::string();
  FSV_ASSIGN(const std::string_view path, path_argument(given.data(), given.size(), name));
  return std::string(path);
}

Result<DeviceChoice> device_choice(const fsv_engine_config& config) {
  FSV_ASSIGN(const std::string folder,
             folder_argument(config.cublas_folder, config.cublas_folder_size, "config.cublas_folder"));
  if (config.cuda_stream != nullptr && config.mode != FSV_MODE_PUMPED) {
    return invalid("config.cuda_stream wants FSV_MODE_PUMPED: a stream is filled by one thread at a time");
  }
  return DeviceChoice{config.device_index, config.cublas == FSV_CUBLAS_AUTO, folder, config.cuda_context,
                      config.cuda_stream};
}

}  // namespace

Result<EngineOptions> engine_options(const fsv_engine_config* given) {
  const fsv_engine_config defaults = default_config();
  FSV_ASSIGN(const fsv_engine_config config, config_argument(given != nullptr ? given : &defaults, defaults, "config"));
  FSV_TRY(check_all(config));
  auto or_default = [](uint32_t value, uint32_t fallback) { return value != 0 ? value : fallback; };
  EngineOptions options;
  options.mode = static_cast<EngineMode>(config.mode);
  options.thread_count = config.thread_count;
  options.reference_kernels = config.kernels == FSV_KERNELS_REFERENCE;
  options.kv_type = static_cast<kernels::KvType>(config.kv_dtype);
  options.scheduler = static_cast<SchedulerKind>(config.scheduler);
  options.context_tokens = config.context_tokens;
  options.max_sequences = or_default(config.max_sequences, options.max_sequences);
  options.max_batch_tokens = or_default(config.max_batch_tokens, options.max_batch_tokens);
  options.max_sequences = std::min(options.max_sequences, options.max_batch_tokens);
  options.prefill_chunk_tokens = or_default(config.prefill_chunk_tokens, options.max_batch_tokens);
  options.max_queued_requests = or_default(config.max_queued_requests, options.max_queued_requests);
  options.max_pending_events = or_default(config.max_pending_events, options.max_pending_events);
  options.step_target_us = config.step_target_us;
  options.memory_budget_bytes = config.memory_budget_bytes;
  options.kv_bytes = config.kv_bytes;
  options.keeps_prefixes = config.prefix_cache != 0;
  const auto log_level = static_cast<LogLevel>(std::clamp(config.log_level, 0, 4));
  options.log = {config.log, config.log_user, log_level};
  if (config.log == nullptr && log_level != LogLevel::kOff) {
    options.log_queue = std::make_shared<LogQueue>();
    options.log = options.log_queue->sink(log_level);
  }
  options.threads.priority = static_cast<os::ThreadPriority>(config.thread_priority);
  options.threads.cpus.assign(config.cpus, config.cpus + config.cpu_count);
  FSV_ASSIGN(options.write_folder,
             folder_argument(config.write_folder, config.write_folder_size, "config.write_folder"));
  options.tells_of_memory = config.memory_events != 0;
  options.on_memory = config.on_memory;
  options.on_memory_context = config.on_memory_context;
  FSV_TRY(take_hooks(config, options));
  if (config.device_kind == FSV_DEVICE_CUDA) {
    FSV_ASSIGN(const DeviceChoice choice, device_choice(config));
    FSV_ASSIGN(options.device, OpenDevice::open_cuda(choice));
  }
  return options;
}

}  // namespace fastserve::api
