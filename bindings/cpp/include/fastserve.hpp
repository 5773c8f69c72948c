// fastserve for C++17: RAII over fastserve.h, in headers alone. Needs neither exceptions nor RTTI: what can fail
// returns a Result. Objects are movable, release what they hold, and may be used from any thread; closing twice is
// harmless, and what is called after it fails with FSV_ERROR_STALE.
//
//   auto engine = fsv::Engine::create();
//   auto model = engine->load("model.gguf");
//   if (!model) return puts(model.error().message.c_str());
//   auto answer = model->generate("The capital of France is");
//   while (auto piece = answer->next()) fputs(piece->text.c_str(), stdout);
#pragma once
#include <fastserve.h>

#include <cstring>
#include <functional>
#include <memory>
#include <new>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "fastserve_machine.hpp"
#include "fastserve_pump.hpp"
#include "fastserve_result.hpp"
#include "fastserve_types.hpp"

namespace fsv {

constexpr uint64_t kForever = UINT64_MAX;

// Called with pressure (FSV_PRESSURE_*), bytes used and the budget's, by the engine's thread: before anything is given
// up (FSV_PRESSURE_SHORT), and after something was. It must not throw, and may call Engine::set_memory_budget and
// memory_stats, nothing else of the library.
using OnMemory = std::function<void(uint32_t, uint64_t, uint64_t)>;

// What went or came back for want of memory.
struct MemoryEvent {
  uint32_t pressure;  // FSV_PRESSURE_*
  uint64_t used_bytes;
  uint64_t budget_bytes;  // 0: none
};

namespace detail {

// A reference-counted handle of the library, released once. The number stays after close(): the library knows it to be
// stale.
template <class T, fsv_status (*kRelease)(T*, fsv_error*)>
class Handle {
 public:
  explicit Handle(T* handle) noexcept : handle_(handle), is_open_(true) {}
  Handle(Handle&& other) noexcept
      : handle_(std::exchange(other.handle_, nullptr)), is_open_(std::exchange(other.is_open_, false)) {}
  Handle& operator=(Handle&& other) noexcept {
    if (this != &other) {
      close();
      handle_ = std::exchange(other.handle_, nullptr);
      is_open_ = std::exchange(other.is_open_, false);
    }
    return *this;
  }
  ~Handle() { close(); }

  T* get() const noexcept { return handle_; }
  void close() noexcept {
    if (std::exchange(is_open_, false)) (void)kRelease(handle_, nullptr);
  }

 private:
  T* handle_;
  bool is_open_;
};
using EngineHandle = Handle<fsv_engine, fsv_engine_release>;
using ModelHandle = Handle<fsv_model, fsv_model_release>;
using SessionHandle = Handle<fsv_session, fsv_session_release>;

// What every object of an engine shares.
struct EngineState {
  EngineState(fsv_engine* engine, bool is_pumped, std::unique_ptr<OnMemory> hook)
      : on_memory(std::move(hook)), handle(engine), pump(engine, is_pumped) {}
  std::unique_ptr<OnMemory> on_memory;  // ends after the engine
  EngineHandle handle;
  Pump pump;
};

inline fsv_string string_of(std::string_view text) { return {text.data(), text.size()}; }

}  // namespace detail

struct Message {
  std::string role, content;
};

// Settings of a request: those of fsv_generate_config, but the prompt, and those of `sampling` once it is there.
struct GenerateOptions : GenerateConfig {
  std::optional<Sampling> sampling_options;  // none: as the model's makers want it
  std::vector<std::string> stop;
  std::vector<int32_t> stop_ids;

  // Begins with the settings of fsv_sampling_init: change these.
  Sampling& sampling_settings() {
    if (!sampling_options) sampling_options.emplace();
    return *sampling_options;
  }
};

// New tokens, and the text that they complete.
using Piece = Event;

// A running request. Iterate it with next(); the destructor cancels what still runs.
class Generation {
 public:
  Generation(Generation&&) noexcept = default;
  Generation& operator=(Generation&& other) noexcept {
    if (this != &other) {
      close();
      state_ = std::move(other.state_);
      sink_ = std::move(other.sink_);
      request_ = other.request_;
      end_ = std::move(other.end_);
      failure_ = std::move(other.failure_);
      is_over_ = other.is_over_;
    }
    return *this;
  }
  ~Generation() { close(); }

  // The next piece. None at the end, or where it fails: error() tells which; FSV_ERROR_TIMEOUT after `timeout_us`, and
  // one may go on.
  std::optional<Piece> next(uint64_t timeout_us = kForever) {
    failure_.status = FSV_OK;
    while (!is_over_) {
      Event event;
      fsv_error error{};
      const fsv_status status = state_->pump.next(*sink_, timeout_us, event, error);
      if (status != FSV_OK) {
        failure_ = detail::error_of(status, error);
        is_over_ = status != FSV_ERROR_TIMEOUT;
        return std::nullopt;
      }
      if (event.numbers.type == FSV_EVENT_TOKENS || event.numbers.type == FSV_EVENT_SCORE) return event;
      if (event.numbers.type == FSV_EVENT_FINISHED) finish(std::move(event));
    }
    return std::nullopt;
  }

  // Waits for the end: all text (of the first choice).
  Result<std::string> text() {
    std::string all;
    while (auto piece = next()) {
      if (piece->numbers.choice == 0) all += piece->text;
    }
    if (failure_.status != FSV_OK) return failure_;
    return all;
  }

  // FSV_OK, or why next() gave nothing.
  const Error& error() const noexcept { return failure_; }
  // The FINISHED event with its counts, once the end was reached.
  const std::optional<Event>& end() const noexcept { return end_; }
  fsv_finish_reason finish_reason() const noexcept { return end_ ? end_->numbers.finish_reason : FSV_FINISH_NONE; }

  // Asks the request to end, from any thread; next() goes on to its end.
  void cancel() noexcept {
    if (state_) (void)fsv_request_cancel(state_->handle.get(), request_, nullptr);
  }
  // How far it is; FSV_ERROR_STALE some time after its end.
  Result<RequestInfo> info() {
    return detail::info<RequestInfo, fsv_request_info>(fsv_request_get_info, state_->handle.get(), request_);
  }
  // Of a live request, from the next step on.
  Result<Done> set_priority(int32_t priority) {
    return detail::call(Done{}, fsv_request_set_priority, state_->handle.get(), request_, priority);
  }
  // Cancels, and forgets the rest.
  void close() noexcept {
    if (!state_ || is_over_) return;
    cancel();
    is_over_ = true;
    state_->pump.close(*sink_);
  }

 private:
  friend class Model;
  explicit Generation(std::shared_ptr<detail::EngineState> state)
      : state_(std::move(state)), sink_(state_->pump.open()) {}

  void finish(Event event) {
    is_over_ = true;
    if (event.numbers.status != FSV_OK) failure_ = {event.numbers.status, event.message};
    end_ = std::move(event);
  }

  std::shared_ptr<detail::EngineState> state_;
  std::shared_ptr<detail::Sink> sink_;
  fsv_request request_ = 0;
  std::optional<Event> end_;
  Error failure_;
  bool is_over_ = false;
};

struct Bytes {
  std::unique_ptr<char[]> data;
  size_t size = 0;
  operator std::string_view() const noexcept { return {data.get(), size}; }
};

// A text kept between requests, which name it: options.session = session.get().
class Session {
 public:
  fsv_session* get() const noexcept { return handle_.get(); }
  void close() noexcept { handle_.close(); }

  // A session of the first `token_count` tokens; what is computed of them is shared.
  Result<Session> fork(size_t token_count = SIZE_MAX) {
    fsv_session* made = nullptr;
    auto done = detail::call(Done{}, fsv_session_fork, get(), token_count, &made);
    if (!done) return done.error();
    return Session(made);
  }
  Result<Done> truncate(size_t token_count) { return detail::call(Done{}, fsv_session_truncate, get(), token_count); }
  Result<Done> undo() { return detail::call(Done{}, fsv_session_undo, get()); }
  // Writes the file `name` of the engine's write_folder.
  Result<Done> save(std::string_view name, uint32_t flags = 0) {
    return detail::call(Done{}, fsv_session_save, get(), name.data(), name.size(), flags);
  }
  // The same as bytes, for Model::import_session().
  Result<Bytes> export_bytes(uint32_t flags = 0) {
    Bytes bytes;
    auto done = detail::call(Done{}, fsv_session_export, get(), flags, append, static_cast<void*>(&bytes));
    if (!done) return done.error();
    return bytes;
  }
  Result<SessionInfo> info() { return detail::info<SessionInfo, fsv_session_info>(fsv_session_get_info, get()); }
  Result<std::vector<int32_t>> token_ids() {
    return detail::fill<std::vector<int32_t>>([this](int32_t* ids, size_t capacity, size_t* count, fsv_error* error) {
      return fsv_session_get_tokens(get(), ids, capacity, count, error);
    });
  }

 private:
  friend class Model;
  explicit Session(fsv_session* handle) noexcept : handle_(handle) {}

  // Called by the library: nothing may be thrown.
  static fsv_status append(void* context, const void* data, size_t size, uint64_t total) noexcept {
    auto& bytes = *static_cast<Bytes*>(context);
    if (!bytes.data) bytes.data.reset(new (std::nothrow) char[static_cast<size_t>(total)]);
    if (!bytes.data || size > total - bytes.size) return FSV_ERROR_OUT_OF_MEMORY;
    std::memcpy(bytes.data.get() + bytes.size, data, size);
    bytes.size += size;
    return FSV_OK;
  }

  detail::SessionHandle handle_;
};

// A model in its engine. After close() no new request can name it; running ones finish.
class Model {
 public:
  fsv_model* get() const noexcept { return handle_.get(); }
  void close() noexcept { handle_.close(); }

  // Begin an answer, and return at once.
  Result<Generation> generate(std::string_view prompt, GenerateOptions options = {}) {
    options.text = prompt.data() != nullptr ? prompt.data() : "";
    options.text_size = prompt.size();
    return submit(options, [this](const fsv_generate_config* config, fsv_request* request, fsv_error* error) {
      return fsv_submit_generate(engine(), get(), config, request, error);
    });
  }
  Result<Generation> generate(const std::vector<int32_t>& prompt, GenerateOptions options = {}) {
    options.token_ids = prompt.data();
    options.token_count = prompt.size();
    return submit(options, [this](const fsv_generate_config* config, fsv_request* request, fsv_error* error) {
      return fsv_submit_generate(engine(), get(), config, request, error);
    });
  }
  Result<Generation> chat(const std::vector<Message>& messages, GenerateOptions options = {}) {
    const auto parts = messages_of(messages);
    Chat chat;
    chat.messages = parts.data();
    chat.message_count = parts.size();
    return submit(options, [&](const fsv_generate_config* config, fsv_request* request, fsv_error* error) {
      return fsv_submit_chat(engine(), get(), &chat, config, request, error);
    });
  }

  // log p(token[i] | token[0..i-1]) of every token of a text, computed now; the first value is 0.
  Result<std::vector<float>> score(std::string_view prompt) {
    ScoreConfig config;
    config.text = prompt.data() != nullptr ? prompt.data() : "";
    config.text_size = prompt.size();
    return score(config);
  }
  Result<std::vector<float>> score(const std::vector<int32_t>& prompt) {
    ScoreConfig config;
    config.token_ids = prompt.data();
    config.token_count = prompt.size();
    return score(config);
  }

  Result<Session> session() { return made(fsv_session_create); }
  // A session of a file that Session::save() wrote.
  Result<Session> load_session(std::string_view path) { return made(fsv_session_load, path.data(), path.size()); }
  // A session of the bytes that Session::export_bytes() gave.
  Result<Session> import_session(std::string_view bytes) {
    return made(fsv_session_import, static_cast<const void*>(bytes.data()), bytes.size());
  }

  Result<ModelInfo> info() { return detail::info<ModelInfo, fsv_model_info>(fsv_model_get_info, get()); }
  // Gives its memory back now: the next request loads it again. FSV_ERROR_WRONG_STATE with live requests,
  // FSV_ERROR_UNSUPPORTED where it was loaded with FSV_LOAD_PINNED.
  Result<Done> evict() { return detail::call(Done{}, fsv_model_evict, engine(), get()); }
  // What it takes, and whether it is there (state, FSV_MODEL_*).
  Result<ModelMemory> memory() {
    return detail::info<ModelMemory, fsv_model_memory>(fsv_memory_get_model, engine(), get());
  }
  // How the model's makers want it sampled: change it, and pass it as options.sampling_options. Its stages may point
  // into the model.
  Result<Sampling> default_sampling() {
    return detail::info<Sampling, fsv_sampling>(fsv_model_default_sampling, get());
  }
  Result<std::vector<int32_t>> tokenize(std::string_view text, uint32_t flags = FSV_TOKENIZE_ADD_BOS) {
    return detail::fill<std::vector<int32_t>>([&](int32_t* ids, size_t capacity, size_t* count, fsv_error* error) {
      return fsv_tokenize(get(), text.data(), text.size(), flags, ids, capacity, count, error);
    });
  }
  // Token ids, and for each the range of bytes of `text` that it stands for.
  Result<std::vector<std::pair<int32_t, fsv_text_range>>> tokenize_ranges(std::string_view text,
                                                                          uint32_t flags = FSV_TOKENIZE_ADD_BOS) {
    std::vector<fsv_text_range> ranges;
    auto ids = detail::fill<std::vector<int32_t>>([&](int32_t* to, size_t capacity, size_t* count, fsv_error* error) {
      ranges.resize(capacity);
      return fsv_tokenize_ranges(get(), text.data(), text.size(), flags, to, capacity > 0 ? ranges.data() : nullptr,
                                 capacity, count, error);
    });
    if (!ids) return ids.error();
    std::vector<std::pair<int32_t, fsv_text_range>> found;
    for (size_t i = 0; i < ids->size(); ++i) found.emplace_back((*ids)[i], ranges[i]);
    return found;
  }
  // The bytes of one token; `attributes`, where given, becomes its FSV_TOKEN_*.
  Result<std::string> token(int32_t id, uint32_t* attributes = nullptr) {
    return detail::fill<std::string>([&](char* buffer, size_t capacity, size_t* size, fsv_error* error) {
      return fsv_token_get(get(), id, buffer, capacity, size, attributes, error);
    });
  }
  Result<std::string> detokenize(const std::vector<int32_t>& ids, uint32_t flags = FSV_DETOKENIZE_SKIP_SPECIAL) {
    return detail::fill<std::string>([&](char* buffer, size_t capacity, size_t* size, fsv_error* error) {
      return fsv_detokenize(get(), ids.data(), ids.size(), flags, buffer, capacity, size, error);
    });
  }
  // The conversation as the model's template writes it.
  Result<std::string> render_chat(const std::vector<Message>& messages,
                                  uint32_t flags = FSV_CHAT_ADD_GENERATION_PROMPT) {
    const auto parts = messages_of(messages);
    return detail::fill<std::string>([&](char* buffer, size_t capacity, size_t* size, fsv_error* error) {
      return fsv_chat_render(get(), parts.data(), parts.size(), flags, buffer, capacity, size, error);
    });
  }
  // The same as token ids: control tokens are the template's own alone.
  Result<std::vector<int32_t>> tokenize_chat(const std::vector<Message>& messages,
                                             uint32_t flags = FSV_CHAT_ADD_GENERATION_PROMPT) {
    const auto parts = messages_of(messages);
    return detail::fill<std::vector<int32_t>>([&](int32_t* ids, size_t capacity, size_t* count, fsv_error* error) {
      return fsv_chat_tokenize(get(), parts.data(), parts.size(), flags, ids, capacity, count, error);
    });
  }

 private:
  friend class Engine;
  Model(std::shared_ptr<detail::EngineState> state, fsv_model* handle) : state_(std::move(state)), handle_(handle) {}

  fsv_engine* engine() const noexcept { return state_->handle.get(); }

  // A session that `function` makes.
  template <class Function, class... Arguments>
  Result<Session> made(Function function, Arguments... arguments) {
    fsv_session* session = nullptr;
    auto done = detail::call(Done{}, function, engine(), get(), arguments..., &session);
    if (!done) return done.error();
    return Session(session);
  }

  static std::vector<fsv_chat_message> messages_of(const std::vector<Message>& messages) {
    std::vector<fsv_chat_message> parts;
    for (const Message& message : messages) {
      parts.push_back({message.role.data(), message.role.size(), message.content.data(), message.content.size()});
    }
    return parts;
  }

  template <class Submit>
  Result<Generation> submit(GenerateOptions& options, Submit submit_config) {
    std::vector<fsv_string> stops;
    for (const std::string& stop : options.stop) stops.push_back(detail::string_of(stop));
    options.stop_strings = stops.data();
    options.stop_string_count = stops.size();
    options.stop_token_ids = options.stop_ids.data();
    options.stop_token_count = options.stop_ids.size();
    if (options.sampling_options) options.sampling = &*options.sampling_options;
    return begin([&](uint64_t key, fsv_request* request, fsv_error* error) {
      options.user_data = key;
      return submit_config(&options, request, error);
    });
  }

  Result<std::vector<float>> score(ScoreConfig& config) {
    auto scoring = begin([&](uint64_t key, fsv_request* request, fsv_error* error) {
      config.user_data = key;
      return fsv_submit_score(engine(), get(), &config, request, error);
    });
    if (!scoring) return scoring.error();
    std::vector<float> scores;
    while (auto piece = scoring->next()) scores.insert(scores.end(), piece->logprobs.begin(), piece->logprobs.end());
    if (scoring->error().status != FSV_OK) return scoring->error();
    return scores;
  }

  // A request that `submit(key, &request, &error)` makes; its events are to bring the key back.
  template <class Submit>
  Result<Generation> begin(Submit submit) {
    Generation generation(state_);
    fsv_error error{};
    const fsv_status status = submit(generation.sink_->key, &generation.request_, &error);
    if (status == FSV_OK) return generation;
    generation.is_over_ = true;
    state_->pump.close(*generation.sink_);
    return detail::error_of(status, error);
  }

  std::shared_ptr<detail::EngineState> state_;
  detail::ModelHandle handle_;
};

// Runs requests of the models loaded in it, many at once. Ends when it and all that it made are gone, or with close().
class Engine {
 public:
  static Result<Engine> create(EngineConfig config = {}, OnMemory on_memory = nullptr) {
    std::unique_ptr<OnMemory> hook;
    if (on_memory) {
      hook = std::make_unique<OnMemory>(std::move(on_memory));
      config.on_memory = tell;
      config.on_memory_context = hook.get();
    }
    fsv_engine* made = nullptr;
    auto done = detail::call(Done{}, fsv_engine_create, static_cast<const fsv_engine_config*>(&config), &made);
    if (!done) return done.error();
    return Engine(std::make_shared<detail::EngineState>(made, config.mode == FSV_MODE_PUMPED, std::move(hook)));
  }

  fsv_engine* get() const noexcept { return state_->handle.get(); }
  void close() noexcept { state_->handle.close(); }

  // Loads a GGUF file or a Hugging Face folder and waits for it. `on_progress(bytes_done, bytes_total)` is called
  // meanwhile; false cancels the load (FSV_ERROR_CANCELLED).
  using Progress = std::function<bool(uint64_t, uint64_t)>;
  Result<Model> load(std::string_view path, const Progress& on_progress = nullptr, LoadConfig config = {}) {
    const auto sink = state_->pump.open();
    config.path = path.data();
    config.path_size = path.size();
    config.user_data = sink->key;
    fsv_ticket ticket = 0;
    auto done = detail::call(Done{}, fsv_model_load, get(), static_cast<const fsv_load_config*>(&config), &ticket);
    if (done) done = follow(*sink, ticket, on_progress);
    state_->pump.close(*sink);
    if (!done) return done.error();
    fsv_model* model = nullptr;
    done = detail::call(Done{}, fsv_ticket_take_model, get(), ticket, &model);
    if (!done) return done.error();
    return Model(state_, model);
  }

  Result<Done> pause() { return detail::call(Done{}, fsv_engine_pause, get()); }
  Result<Done> resume() { return detail::call(Done{}, fsv_engine_resume, get()); }
  // Pumped engines: works for about `max_us`; whether work is left.
  Result<bool> step(uint64_t max_us) {
    uint32_t more = 0;
    auto done = detail::call(Done{}, fsv_engine_step, get(), max_us, &more);
    if (!done) return done.error();
    return more != 0;
  }
  Result<Done> shutdown(uint64_t timeout_us = kForever) {
    return detail::call(Done{}, fsv_engine_shutdown, get(), timeout_us);
  }
  // Of a living engine; 0: none. What it takes away goes within milliseconds, and changes no text.
  Result<Done> set_memory_budget(uint64_t bytes) { return detail::call(Done{}, fsv_memory_set_budget, get(), bytes); }
  // Gives memory that nobody holds back to the system, and what `flags` (FSV_TRIM_*) name.
  Result<Done> trim(uint32_t flags = 0) { return detail::call(Done{}, fsv_memory_trim, get(), flags); }
  // Waits for the next MEMORY event of an engine with memory_events; FSV_ERROR_TIMEOUT after `timeout_us`. What came
  // while nobody waited is one event.
  Result<MemoryEvent> next_memory_event(uint64_t timeout_us = kForever) {
    Event event;
    fsv_error error{};
    const fsv_status status = state_->pump.next(state_->pump.memory(), timeout_us, event, error);
    if (status != FSV_OK) return detail::error_of(status, error);
    return MemoryEvent{event.numbers.pressure, event.numbers.bytes_done, event.numbers.bytes_total};
  }
  Result<MemoryStats> memory_stats() {
    return detail::info<MemoryStats, fsv_memory_stats>(fsv_memory_get_stats, get());
  }
  Result<Metrics> metrics() { return detail::info<Metrics, fsv_metrics>(fsv_metrics_snapshot, get()); }
  // The latency that 95 of 100 steps are to stay within, from the next step on; 0: none.
  Result<Done> set_step_target(uint64_t target_us) {
    return detail::call(Done{}, fsv_engine_set_step_target, get(), target_us);
  }

 private:
  explicit Engine(std::shared_ptr<detail::EngineState> state) : state_(std::move(state)) {}

  static void tell(void* context, uint32_t pressure, uint64_t used_bytes, uint64_t budget_bytes) noexcept {
    (*static_cast<OnMemory*>(context))(pressure, used_bytes, budget_bytes);
  }

  // Until the load has ended, however it did: taking the model tells.
  Result<Done> follow(detail::Sink& sink, fsv_ticket ticket, const Progress& on_progress) {
    for (Event event; event.numbers.type != FSV_EVENT_LOAD_FINISHED;) {
      fsv_error error{};
      const fsv_status status = state_->pump.next(sink, kForever, event, error);
      const bool is_wanted = status != FSV_OK || event.numbers.status != FSV_OK || !on_progress ||
                             on_progress(event.numbers.bytes_done, event.numbers.bytes_total);
      if (status == FSV_OK && is_wanted) continue;
      (void)fsv_ticket_cancel(get(), ticket, nullptr);
      if (is_wanted) return detail::error_of(status, error);
      return Error{FSV_ERROR_CANCELLED, "the load was cancelled"};
    }
    return Done{};
  }

  std::shared_ptr<detail::EngineState> state_;
};

}  // namespace fsv
