// RAII over the C ABI: every handle taken here is released here.
#include "engine_session.h"

#include <algorithm>
#include <chrono>
#include <iterator>

#include "progress_bar.h"
#include "terminal.h"

namespace fastserve::cli {

namespace {

constexpr uint64_t kWaitUs = 50'000;  // how long Ctrl-C may go unnoticed
constexpr size_t kEventsPerPoll = 64;

fsv_engine_config engine_config(const EngineOptions& options) {
  fsv_engine_config config;
  fsv_engine_config_init(&config, sizeof(config));
  config.thread_count = options.threads;
  config.device_kind = options.device == "cuda" ? FSV_DEVICE_CUDA : FSV_DEVICE_CPU;
  config.device_index = options.device_index;
  config.kernels = options.kernels == "reference" ? FSV_KERNELS_REFERENCE : FSV_KERNELS_FAST;
  config.kv_dtype = options.kv == "f32"    ? FSV_KV_F32
                    : options.kv == "bf16" ? FSV_KV_BF16
                    : options.kv == "q8"   ? FSV_KV_Q8
                                           : FSV_KV_F16;
  config.context_tokens = options.context;
  config.max_sequences = options.max_sequences;
  config.memory_budget_bytes = options.memory_budget;
  return config;
}

// Calls that fill an array of ids: asks for the count, then for the ids.
template <typename Fill>
std::vector<int32_t> filled_ids(const Fill& fill) {
  fsv_error error;
  size_t count = 0;
  check(fill(nullptr, 0, &count, &error), error);
  std::vector<int32_t> ids(count);
  if (count > 0) check(fill(ids.data(), ids.size(), &count, &error), error);
  return ids;
}

constexpr const char* kLoadDtypes[] = {"stored", "f32",  "f16",  "bf16", "q8_0",
                                       "q4_0",   "q4_1", "q5_0", "q5_1"};  // by FSV_DTYPE_*

uint32_t load_dtype_number(std::string_view name) {
  return static_cast<uint32_t>(std::find(std::begin(kLoadDtypes), std::end(kLoadDtypes), name) - kLoadDtypes);
}

}  // namespace

std::vector<std::string> load_dtype_names() { return {std::begin(kLoadDtypes), std::end(kLoadDtypes)}; }

EngineSession::EngineSession(const EngineOptions& options) : events_(kEventsPerPoll) {
  const auto start = std::chrono::steady_clock::now();
  const fsv_engine_config config = engine_config(options);
  fsv_error error;
  check(fsv_engine_create(&config, &engine_, &error), error);
  try {
    load(options);
    load_ms_ = std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start).count();
    fsv_model_info_init(&info_, sizeof(info_));
    check(fsv_model_get_info(model_, &info_, &error), error);
  } catch (...) {
    release();  // a constructor that throws runs no destructor
    throw;
  }
}

EngineSession::~EngineSession() { release(); }

void EngineSession::release() {
  if (model_) fsv_model_release(model_, nullptr);
  if (engine_) fsv_engine_release(engine_, nullptr);
  model_ = nullptr;
  engine_ = nullptr;
}

void EngineSession::load(const EngineOptions& options) {
  fsv_load_config config;
  fsv_load_config_init(&config, sizeof(config));
  config.path = options.model.data();
  config.path_size = options.model.size();
  config.io = options.io;
  config.load_dtype = load_dtype_number(options.load_dtype);
  if (options.text_only) config.flags |= FSV_LOAD_TEXT_ONLY;
  fsv_error error;
  fsv_ticket ticket = 0;
  check(fsv_model_load(engine_, &config, &ticket, &error), error);
  ProgressBar bar("loading");
  bar.update(0, 1);  // at once: a load may be over before it says how far it is
  for (bool ended = false; !ended;) {
    for (const fsv_event& event : wait_events()) {
      if (event.request != ticket) continue;
      if (event.type == FSV_EVENT_LOAD_PROGRESS) bar.update(event.bytes_done, event.bytes_total);
      if (event.type == FSV_EVENT_LOAD_FINISHED) ended = true;
    }
    if (!ended && interrupted()) {
      fsv_ticket_cancel(engine_, ticket, nullptr);
      throw Failure(FSV_ERROR_CANCELLED, "interrupted while loading " + options.model);
    }
  }
  check(fsv_ticket_take_model(engine_, ticket, &model_, &error), error);
}

fsv_sampling EngineSession::model_sampling() const {
  fsv_sampling sampling;
  fsv_sampling_init(&sampling, sizeof(sampling));
  fsv_error error;
  check(fsv_model_default_sampling(model_, &sampling, &error), error);
  return sampling;
}

std::vector<int32_t> EngineSession::tokenize(std::string_view text, uint32_t flags) const {
  return filled_ids([&](int32_t* ids, size_t capacity, size_t* count, fsv_error* error) {
    return fsv_tokenize(model_, text.data(), text.size(), flags, ids, capacity, count, error);
  });
}

std::vector<int32_t> EngineSession::chat_tokenize(std::span<const fsv_chat_message> messages) const {
  return filled_ids([&](int32_t* ids, size_t capacity, size_t* count, fsv_error* error) {
    return fsv_chat_tokenize(model_, messages.data(), messages.size(), FSV_CHAT_ADD_GENERATION_PROMPT, ids, capacity,
                             count, error);
  });
}

std::span<const fsv_event> EngineSession::wait_events() {
  fsv_error error;
  const fsv_status waited = fsv_wait(engine_, kWaitUs, &error);
  if (waited == FSV_ERROR_TIMEOUT) return {};
  check(waited, error);
  size_t count = 0;
  check(fsv_poll(engine_, events_.data(), sizeof(fsv_event), events_.size(), &count, &error), error);
  return {events_.data(), count};
}

void EngineSession::cancel(std::span<const fsv_request> requests) {
  for (const fsv_request request : requests) fsv_request_cancel(engine_, request, nullptr);
}

}  // namespace fastserve::cli
