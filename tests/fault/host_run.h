// One whole life of an engine over the C ABI, for tests that make the heap fail under it: everything is called, every
// status is possible, nothing may abort or hang.
#pragma once
#include <unistd.h>

#include <atomic>
#include <cstdio>
#include <cstring>
#include <string>

#include "fastserve.h"
#include "support/tiny_model.h"

namespace fastserve::test {

// Takes nothing from the heap itself: that is made to fail.
struct RunResult {
  static constexpr size_t kRoom = 256;
  fsv_status failures[kRoom] = {};  // of calls and events, in order
  size_t failure_count = 0;
  int32_t tokens[kRoom] = {};  // of the one generation
  size_t token_count = 0;
  bool finished = false;
  int32_t chat_tokens[kRoom] = {};  // of the chat
  size_t chat_token_count = 0;
  int32_t session_tokens[kRoom] = {};  // of the session's turns
  size_t session_token_count = 0;
  int32_t reloaded_tokens[kRoom] = {};  // of the generation once more, after the model has gone and come back
  size_t reloaded_token_count = 0;
};

// The model of such a life: one with a chat template of its own, a loop, a condition and a filter in it.
inline TinyShape life_shape() {
  TinyShape shape;
  shape.keys = {
      {"tokenizer.chat_template", kGgufString, 0,
       "{%- for message in messages -%}<|im_start|>{{ message.role }}\n{{ message.content | trim }}<|im_end|>\n"
       "{%- endfor -%}{%- if add_generation_prompt -%}<|im_start|>assistant\n{%- endif -%}"}};
  return shape;
}

inline void note(RunResult& result, fsv_status status) {
  if (status != FSV_OK && result.failure_count < RunResult::kRoom) result.failures[result.failure_count++] = status;
}

// Polls what is there; tokens and failures go to `result`.
inline void poll_into(fsv_engine* engine, RunResult& result) {
  for (int tries = 0; tries < 3; ++tries) {
    fsv_event events[8];
    size_t count = 0;
    const fsv_status status = fsv_poll(engine, events, sizeof(fsv_event), 8, &count, nullptr);
    note(result, status);
    for (size_t i = 0; i < count; ++i) {
      note(result, events[i].status);
      if (events[i].type == FSV_EVENT_TOKENS) {
        for (size_t t = 0; t < events[i].token_count && result.token_count < RunResult::kRoom; ++t) {
          result.tokens[result.token_count++] = events[i].token_ids[t];
        }
      }
      if (events[i].type == FSV_EVENT_FINISHED) result.finished = true;
    }
    if (status == FSV_OK && count == 0) return;
  }
}

inline fsv_model* load_model(fsv_engine* engine, const std::string& path, bool is_pumped, RunResult& result) {
  fsv_load_config config;
  fsv_load_config_init(&config, sizeof(config));
  config.path = path.c_str();
  config.path_size = path.size();
  fsv_ticket ticket = 0;
  fsv_error error{};
  note(result, fsv_model_load(engine, &config, &ticket, &error));
  if (ticket == 0) return nullptr;
  if (is_pumped) {
    uint32_t more = 1;
    for (int i = 0; more != 0 && i < 1000; ++i) note(result, fsv_engine_step(engine, 1000, &more, &error));
  } else {
    note(result, fsv_ticket_wait(engine, ticket, 20000000, &error));
  }
  fsv_model* model = nullptr;
  note(result, fsv_ticket_take_model(engine, ticket, &model, &error));
  return model;
}

inline void run_to_the_end(fsv_engine* engine, bool is_pumped, RunResult& result) {
  for (int i = 0; i < 2000 && !result.finished; ++i) {
    if (is_pumped) {
      uint32_t more = 0;
      note(result, fsv_engine_step(engine, 1000, &more, nullptr));
    } else {
      (void)fsv_wait(engine, 10000, nullptr);
    }
    poll_into(engine, result);
  }
}

inline void generate(fsv_engine* engine, fsv_model* model, bool is_pumped, RunResult& result) {
  const char text[] = "and the end of the line";
  const fsv_string stop = {"nowhere", SIZE_MAX};
  fsv_sampling sampling;
  fsv_sampling_init(&sampling, sizeof(sampling));
  sampling.temperature = 0;
  fsv_generate_config config;
  fsv_generate_config_init(&config, sizeof(config));
  config.text = text;
  config.text_size = SIZE_MAX;
  config.max_tokens = 12;
  config.ignore_eos = 1;
  config.logprob_count = 2;
  config.stop_strings = &stop;
  config.stop_string_count = 1;
  config.sampling = &sampling;
  fsv_request request = 0;
  note(result, fsv_submit_generate(engine, model, &config, &request, nullptr));
  if (request != 0) run_to_the_end(engine, is_pumped, result);
}

// A conversation that the model's template makes a prompt of.
inline void chat(fsv_engine* engine, fsv_model* model, bool is_pumped, RunResult& result) {
  const fsv_chat_message messages[] = {{"system", 6, "the end", 7}, {"user", 4, " and the line ", 14}};
  fsv_chat conversation;
  fsv_chat_init(&conversation, sizeof(conversation));
  conversation.messages = messages;
  conversation.message_count = 2;
  fsv_sampling sampling;
  fsv_sampling_init(&sampling, sizeof(sampling));
  sampling.temperature = 0;
  fsv_generate_config config;
  fsv_generate_config_init(&config, sizeof(config));
  config.max_tokens = 8;
  config.ignore_eos = 1;
  config.sampling = &sampling;
  fsv_request request = 0;
  note(result, fsv_submit_chat(engine, model, &conversation, &config, &request, nullptr));
  if (request == 0) return;
  RunResult said;
  run_to_the_end(engine, is_pumped, said);
  for (size_t i = 0; i < said.failure_count; ++i) note(result, said.failures[i]);
  result.chat_token_count = said.token_count;
  for (size_t i = 0; i < said.token_count; ++i) result.chat_tokens[i] = said.tokens[i];
}

// What a session is written to; nothing of it comes from the heap.
struct SavedSession {
  static constexpr size_t kRoom = 1 << 16;
  uint8_t bytes[kRoom];
  size_t size = 0;
  static fsv_status write(void* self, const void* data, size_t size_bytes, uint64_t) {
    auto& saved = *static_cast<SavedSession*>(self);
    if (size_bytes > kRoom - saved.size) return FSV_ERROR_BUFFER_TOO_SMALL;
    std::memcpy(saved.bytes + saved.size, data, size_bytes);
    saved.size += size_bytes;
    return FSV_OK;
  }
};

// Into memory and into a file, and back from either.
inline void save_and_load(fsv_engine* engine, fsv_model* model, fsv_session* session, RunResult& result) {
  static SavedSession saved;
  saved.size = 0;
  fsv_session* loaded = nullptr;
  const fsv_status exported = fsv_session_export(session, 0, &SavedSession::write, &saved, nullptr);
  note(result, exported);
  if (exported == FSV_OK) {
    note(result, fsv_session_import(engine, model, saved.bytes, saved.size, &loaded, nullptr));
    if (loaded != nullptr) note(result, fsv_session_release(loaded, nullptr));
  }
  char name[64], path[128];
  std::snprintf(name, sizeof(name), "fastserve_test_%d.session", getpid());
  std::snprintf(path, sizeof(path), "%s/%s", P_tmpdir, name);
  const fsv_status written = fsv_session_save(session, name, SIZE_MAX, 0, nullptr);
  note(result, written);
  if (written != FSV_OK) return;
  note(result, fsv_session_load(engine, model, path, SIZE_MAX, &loaded, nullptr));
  if (loaded != nullptr) note(result, fsv_session_release(loaded, nullptr));
  std::remove(path);
}

// A session of two turns, a fork that goes on, and what takes turns back.
inline void converse(fsv_engine* engine, fsv_model* model, bool is_pumped, RunResult& result) {
  const int32_t ids[] = {10, 20, 30, 40, 50};
  fsv_session *session = nullptr, *fork = nullptr;
  note(result, fsv_session_create(engine, model, &session, nullptr));
  if (session == nullptr) return;
  fsv_sampling sampling;
  fsv_sampling_init(&sampling, sizeof(sampling));
  sampling.temperature = 0;
  fsv_generate_config config;
  fsv_generate_config_init(&config, sizeof(config));
  config.token_ids = ids;
  config.token_count = 5;
  config.max_tokens = 20;
  config.ignore_eos = 1;
  config.sampling = &sampling;
  RunResult said;
  for (int turn = 0; turn < 3; ++turn) {
    if (turn == 2) {
      note(result, fsv_session_fork(session, 30, &fork, nullptr));
      if (fork == nullptr) break;
    }
    config.session = fork != nullptr ? fork : session;
    fsv_request request = 0;
    note(result, fsv_submit_generate(engine, nullptr, &config, &request, nullptr));
    if (request == 0) break;
    said.finished = false;
    run_to_the_end(engine, is_pumped, said);
  }
  for (size_t i = 0; i < said.failure_count; ++i) note(result, said.failures[i]);
  result.session_token_count = said.token_count;
  for (size_t i = 0; i < said.token_count; ++i) result.session_tokens[i] = said.tokens[i];
  save_and_load(engine, model, session, result);
  const fsv_status undone = fsv_session_undo(session, nullptr);
  if (undone != FSV_ERROR_WRONG_STATE) note(result, undone);  // a turn that failed cannot be taken back
  note(result, fsv_session_truncate(session, 0, nullptr));
  if (fork != nullptr) note(result, fsv_session_release(fork, nullptr));
  note(result, fsv_session_release(session, nullptr));
}

// The model's memory goes, and comes back with the next request.
inline void evict_and_return(fsv_engine* engine, fsv_model* model, bool is_pumped, RunResult& result) {
  const fsv_status evicted = fsv_model_evict(engine, model, nullptr);
  if (evicted != FSV_ERROR_WRONG_STATE) note(result, evicted);  // requests that failed to begin may be there
  RunResult said;
  generate(engine, model, is_pumped, said);
  for (size_t i = 0; i < said.failure_count; ++i) note(result, said.failures[i]);
  result.reloaded_token_count = said.token_count;
  for (size_t i = 0; i < said.token_count; ++i) result.reloaded_tokens[i] = said.tokens[i];
}

// Two more requests of two answers each: one is cancelled, one lives until the shutdown.
inline void cancel_and_leave(fsv_engine* engine, fsv_model* model, bool is_pumped, RunResult& result) {
  const int32_t ids[] = {10, 20, 30, 40, 50};
  fsv_generate_config config;
  fsv_generate_config_init(&config, sizeof(config));
  config.token_ids = ids;
  config.token_count = 5;
  config.max_tokens = 100;
  config.ignore_eos = 1;
  config.choice_count = 2;
  fsv_request cancelled = 0, left = 0;
  note(result, fsv_submit_generate(engine, model, &config, &cancelled, nullptr));
  fsv_beam_search beam_search;
  fsv_beam_search_init(&beam_search, sizeof(beam_search));
  beam_search.beam_count = 2;
  config.beam_search = &beam_search;
  note(result, fsv_submit_generate(engine, model, &config, &left, nullptr));
  uint32_t more = 0;
  if (is_pumped) note(result, fsv_engine_step(engine, 0, &more, nullptr));
  if (cancelled != 0) (void)fsv_request_cancel(engine, cancelled, nullptr);
  if (is_pumped) note(result, fsv_engine_step(engine, 0, &more, nullptr));
}

inline std::atomic<size_t> log_lines{0};  // of all lives

// `edit` (may be null) changes the engine's configuration. Everything that can be said is logged.
inline RunResult run_a_life(const std::string& path, bool is_pumped, void (*edit)(fsv_engine_config&) = nullptr) {
  RunResult result;
  fsv_engine_config config;
  fsv_engine_config_init(&config, sizeof(config));
  config.mode = is_pumped ? FSV_MODE_PUMPED : FSV_MODE_THREADED;
  config.thread_count = is_pumped ? 1 : 2;
  config.context_tokens = 128;
  config.max_sequences = 4;
  config.max_batch_tokens = 64;
  config.max_queued_requests = 16;
  config.max_pending_events = 32;
  config.write_folder = P_tmpdir;
  config.write_folder_size = SIZE_MAX;
  config.log = [](void*, int32_t, const char*, size_t) { ++log_lines; };
  config.log_level = FSV_LOG_DEBUG;
  if (edit != nullptr) edit(config);
  fsv_engine* engine = nullptr;
  note(result, fsv_engine_create(&config, &engine, nullptr));
  if (engine == nullptr) return result;
  fsv_model* model = load_model(engine, path, is_pumped, result);
  if (model != nullptr) {
    generate(engine, model, is_pumped, result);
    chat(engine, model, is_pumped, result);
    converse(engine, model, is_pumped, result);
    evict_and_return(engine, model, is_pumped, result);
    cancel_and_leave(engine, model, is_pumped, result);
    note(result, fsv_engine_shutdown(engine, 0, nullptr));
    note(result, fsv_model_release(model, nullptr));
  }
  note(result, fsv_engine_release(engine, nullptr));
  return result;
}

}  // namespace fastserve::test
