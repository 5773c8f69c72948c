/* Engines and their events. A thread of each threaded engine waits for events and wakes the event loop, which polls; so
 * nothing is waited for on JavaScript's thread. An engine ends with its environment at the latest. */
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "addon.h"
#include "os.h"

#define BATCH 64
#define LOG_LINES_MAX 4096 /* waiting for the event loop; what comes then is dropped */

typedef struct engine {
  fsv_engine* handle;
  napi_env env;
  napi_threadsafe_function wake;
  napi_threadsafe_function log; /* NULL: none */
  os_thread* thread;            /* NULL: pumped, or joined */
  os_gate* gate;                /* shut from a wake to the poll that follows */
  atomic_bool is_ending;
  fsv_status wait_status; /* of the thread's last wait, written before the wake that tells of it */
  fsv_error wait_error;
  uint32_t uses; /* by the JavaScript object and by `wake`; on the event loop alone */
  fsv_event events[BATCH];
} engine;

typedef struct log_line {
  int32_t level;
  size_t size;
  char text[];
} log_line;

/* On the library's threads. */
static void on_log(void* user, int32_t level, const char* message, size_t message_size) {
  log_line* const line = malloc(sizeof(*line) + message_size);
  if (line == NULL) return;
  line->level = level;
  line->size = message_size;
  memcpy(line->text, message, message_size);
  if (napi_call_threadsafe_function(user, line, napi_tsfn_nonblocking) != napi_ok) free(line);
}

static void call_log(napi_env env, napi_value callback, void* context, void* data) {
  log_line* const line = data;
  (void)context;
  if (env != NULL && callback != NULL) {
    const napi_value arguments[] = {make_number(env, line->level), make_text(env, line->text, line->size)};
    napi_call_function(env, make_undefined(env), callback, 2, arguments, NULL);
  }
  free(line);
}

static void set_number(napi_env env, napi_value object, const char* name, double number) {
  napi_set_named_property(env, object, name, make_number(env, number));
}

static napi_value make_floats(napi_env env, const float* values, size_t count) {
  napi_value array = NULL;
  napi_create_array_with_length(env, count, &array);
  for (size_t i = 0; i < count; ++i) napi_set_element(env, array, (uint32_t)i, make_number(env, values[i]));
  return array;
}

static napi_value make_alternatives(napi_env env, const fsv_event* event) {
  napi_value rows = NULL;
  napi_create_array_with_length(env, event->token_count, &rows);
  for (size_t i = 0; i < event->token_count; ++i) {
    napi_value row = NULL;
    napi_create_array_with_length(env, event->top_logprob_count, &row);
    for (size_t j = 0; j < event->top_logprob_count; ++j) {
      const fsv_logprob* const one = &event->top_logprobs[i * event->top_logprob_count + j];
      napi_value pair = NULL;
      napi_create_object(env, &pair);
      set_number(env, pair, "tokenId", one->token_id);
      set_number(env, pair, "logprob", one->logprob);
      napi_set_element(env, row, (uint32_t)j, pair);
    }
    napi_set_element(env, rows, (uint32_t)i, row);
  }
  return rows;
}

static void add_piece(napi_env env, napi_value made, const fsv_event* event) {
  napi_set_named_property(env, made, "text", make_text(env, event->text, event->text_size));
  napi_set_named_property(env, made, "tokenIds", make_words(env, event->token_ids, event->token_count));
  set_number(env, made, "choice", event->choice);
  if (event->logprobs != NULL) {
    napi_set_named_property(env, made, "logprobs", make_floats(env, event->logprobs, event->token_count));
  }
  if (event->top_logprob_count > 0) {
    napi_set_named_property(env, made, "topLogprobs", make_alternatives(env, event));
  }
}

static void add_end(napi_env env, napi_value made, const fsv_event* event) {
  set_number(env, made, "reason", event->finish_reason);
  set_number(env, made, "choice", event->choice);
  set_number(env, made, "promptTokens", event->prompt_token_count);
  set_number(env, made, "generatedTokens", event->generated_token_count);
  set_number(env, made, "cachedTokens", event->cached_token_count);
  set_number(env, made, "queueUs", (double)event->queue_us);
  set_number(env, made, "firstTokenUs", (double)event->first_token_us);
  set_number(env, made, "totalUs", (double)event->total_us);
  set_number(env, made, "cumulativeLogprob", event->cumulative_logprob);
  set_number(env, made, "score", event->score);
}

static napi_value make_event(napi_env env, const fsv_event* event) {
  napi_value made = NULL;
  napi_create_object(env, &made);
  set_number(env, made, "type", event->type);
  set_number(env, made, "key", (double)event->user_data);
  if (event->type == FSV_EVENT_TOKENS || event->type == FSV_EVENT_SCORE) {
    add_piece(env, made, event);
  } else if (event->type == FSV_EVENT_LOAD_PROGRESS || event->type == FSV_EVENT_LOAD_FINISHED ||
             event->type == FSV_EVENT_MEMORY) {
    set_number(env, made, "pressure", event->pressure);
    set_number(env, made, "bytesDone", (double)event->bytes_done);
    set_number(env, made, "bytesTotal", (double)event->bytes_total);
  } else {
    add_end(env, made, event);
  }
  if (event->status != FSV_OK) {
    const napi_value failure = make_failure(env, event->status, event->message, event->message_size);
    if (failure != NULL) napi_set_named_property(env, made, "failure", failure);
  }
  return made;
}

/* What is pending, at most BATCH events; NULL with an exception where the engine has ended. */
static napi_value poll_events(napi_env env, engine* self, size_t* count) {
  fsv_error error = {0};
  napi_value array = NULL;
  napi_handle_scope scope;
  const fsv_status status = fsv_poll(self->handle, self->events, sizeof(fsv_event), BATCH, count, &error);
  if (status != FSV_OK) return throw_failure(env, &error, status), NULL;
  napi_create_array_with_length(env, *count, &array);
  for (size_t i = 0; i < *count; ++i) {
    if (napi_open_handle_scope(env, &scope) != napi_ok) break;
    napi_set_element(env, array, (uint32_t)i, make_event(env, &self->events[i]));
    napi_close_handle_scope(env, scope);
  }
  return array;
}

/* On the event loop: hands out all that is pending, then lets the thread wait again. */
static void call_events(napi_env env, napi_value callback, void* context, void* data) {
  engine* const self = context;
  (void)data;
  if (env == NULL || callback == NULL) return;
  const bool has_ended = self->wait_status != FSV_OK && self->wait_status != FSV_ERROR_TIMEOUT;
  size_t count = BATCH;
  while (count == BATCH && !atomic_load(&self->is_ending)) {
    napi_value events = poll_events(env, self, &count), failure = NULL;
    if (events == NULL) {
      napi_get_and_clear_last_exception(env, &failure);
      count = 0;
    } else if (has_ended && count < BATCH) {
      failure = make_failure(env, self->wait_status, self->wait_error.message, self->wait_error.message_size);
    }
    const napi_value arguments[] = {events != NULL ? events : make_undefined(env),
                                    failure != NULL ? failure : make_undefined(env)};
    if (napi_call_function(env, make_undefined(env), callback, 2, arguments, NULL) != napi_ok) break;
  }
  os_gate_open(self->gate);
}

/* The thread: ends when the engine has ended and said so. */
static void wait_for_events(void* context) {
  engine* const self = context;
  while (!atomic_load(&self->is_ending) && (self->wait_status == FSV_OK || self->wait_status == FSV_ERROR_TIMEOUT)) {
    self->wait_status = fsv_wait(self->handle, UINT64_MAX, &self->wait_error);
    if (atomic_load(&self->is_ending)) break;
    os_gate_shut(self->gate);
    if (napi_call_threadsafe_function(self->wake, NULL, napi_tsfn_nonblocking) != napi_ok) break;
    if (!atomic_load(&self->is_ending)) os_gate_pass(self->gate);
  }
  napi_release_threadsafe_function(self->wake, napi_tsfn_release);
}

static void join_thread(engine* self) {
  if (self->thread != NULL) os_thread_join(self->thread);
  self->thread = NULL;
}

static void end_with_environment(void* data) {
  engine* const self = data;
  atomic_store(&self->is_ending, true);
  fsv_engine_release(self->handle, NULL); /* ends the thread's wait; harmless where it was released before */
  os_gate_open(self->gate);
  join_thread(self);
  self->log = NULL; /* ended by the environment */
}

static void drop_use(napi_env env, engine* self) {
  if (--self->uses > 0) return;
  if (self->handle != NULL) {
    fsv_engine_release(self->handle, NULL);
    napi_remove_env_cleanup_hook(env, end_with_environment, self);
  }
  if (self->log != NULL) napi_release_threadsafe_function(self->log, napi_tsfn_release);
  os_gate_destroy(self->gate);
  free(self);
}

/* After the last call of `wake`, on the event loop. */
static void on_wake_ended(napi_env env, void* data, void* hint) {
  engine* const self = data;
  (void)hint;
  join_thread(self);
  self->wake = NULL;
  drop_use(env, self);
}

static void on_object_ended(napi_env env, void* data, void* hint) {
  (void)hint;
  drop_use(env, data);
}

static bool make_callback(napi_env env, napi_value function, engine* self, napi_threadsafe_function_call_js call,
                          size_t queue_size, napi_threadsafe_function* made) {
  const napi_value name = make_text(env, "fastserve", 9);
  const bool is_wake = call == call_events;
  return napi_create_threadsafe_function(env, function, NULL, name, queue_size, 1, is_wake ? self : NULL,
                                         is_wake ? on_wake_ended : NULL, self, call, made) == napi_ok &&
         napi_unref_threadsafe_function(env, *made) == napi_ok; /* waiting engines keep no process alive */
}

/* The engine of a configuration; the log's lines go to `on_log_line`, where there is one. */
static bool create_engine(napi_env env, engine* self, const napi_value* arguments) {
  arena memory = {0};
  fsv_engine_config config;
  fsv_error error = {0};
  bool is_made = read_struct(env, &memory, arguments[0], &table_fsv_engine_config, &config);
  if (is_made && !is_missing(env, arguments[2])) {
    is_made = make_callback(env, arguments[2], self, call_log, LOG_LINES_MAX, &self->log);
    config.log = on_log;
    config.log_user = self->log;
  }
  if (is_made) {
    const fsv_status status = fsv_engine_create(&config, &self->handle, &error);
    is_made = status == FSV_OK;
    if (!is_made) throw_failure(env, &error, status);
  }
  if (is_made && config.mode != FSV_MODE_PUMPED) {
    is_made = make_callback(env, arguments[1], self, call_events, 0, &self->wake);
    if (is_made) ++self->uses;
  }
  arena_free(env, &memory);
  return is_made;
}

/* engineOpen(config, onEvents(events, failure), onLog(level, line) | undefined) => {handle, events} */
static napi_value engine_open(napi_env env, napi_callback_info info) {
  napi_value arguments[3], result, object;
  size_t count = 3;
  if (napi_get_cb_info(env, info, &count, arguments, NULL, NULL) != napi_ok) return NULL;
  engine* const self = calloc(1, sizeof(*self));
  if (self == NULL) return out_of_memory(env), NULL;
  self->env = env;
  self->uses = 1;
  self->gate = os_gate_create();
  if (self->gate == NULL || !create_engine(env, self, arguments) ||
      napi_create_external(env, self, on_object_ended, NULL, &object) != napi_ok) {
    if (self->handle != NULL) fsv_engine_release(self->handle, NULL);
    self->handle = NULL;
    if (self->wake != NULL) napi_release_threadsafe_function(self->wake, napi_tsfn_abort);
    drop_use(env, self);
    return NULL;
  }
  napi_add_env_cleanup_hook(env, end_with_environment, self); /* runs before that of `wake` */
  if (self->wake != NULL) {
    self->thread = os_thread_start(wait_for_events, self);
    if (self->thread == NULL) {
      fsv_engine_release(self->handle, NULL);
      napi_release_threadsafe_function(self->wake, napi_tsfn_abort);
      return out_of_memory(env), NULL;
    }
  }
  napi_create_object(env, &result);
  napi_set_named_property(env, result, "handle", make_handle(env, (uint64_t)(uintptr_t)self->handle));
  napi_set_named_property(env, result, "events", object);
  return result;
}

static engine* this_engine(napi_env env, napi_callback_info info, napi_value* second) {
  napi_value arguments[2];
  size_t count = 2;
  void* self = NULL;
  if (napi_get_cb_info(env, info, &count, arguments, NULL, NULL) != napi_ok ||
      napi_get_value_external(env, arguments[0], &self) != napi_ok) {
    return type_error(env, "the engine", "one of engineOpen"), NULL;
  }
  *second = arguments[1];
  return self;
}

/* engineHold(events, isHeld): whether the process waits for the engine's events. */
static napi_value engine_hold(napi_env env, napi_callback_info info) {
  napi_value flag;
  bool is_held = false;
  engine* const self = this_engine(env, info, &flag);
  if (self == NULL || self->wake == NULL || napi_get_value_bool(env, flag, &is_held) != napi_ok) return NULL;
  if (is_held) {
    napi_ref_threadsafe_function(env, self->wake);
  } else {
    napi_unref_threadsafe_function(env, self->wake);
  }
  return NULL;
}

/* enginePoll(events): of pumped engines, what is pending. */
static napi_value engine_poll(napi_env env, napi_callback_info info) {
  napi_value unused;
  size_t count = 0;
  engine* const self = this_engine(env, info, &unused);
  return self == NULL ? NULL : poll_events(env, self, &count);
}

bool add_engines(napi_env env, napi_value exports) {
  const napi_property_descriptor properties[] = {
      {"engineOpen", NULL, engine_open, NULL, NULL, NULL, napi_default, NULL},
      {"engineHold", NULL, engine_hold, NULL, NULL, NULL, napi_default, NULL},
      {"enginePoll", NULL, engine_poll, NULL, NULL, NULL, napi_default, NULL}};
  return napi_define_properties(env, exports, 3, properties) == napi_ok;
}
