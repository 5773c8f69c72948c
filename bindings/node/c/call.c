/* Calls of the functions in generated.c: arguments in, results out, at once or on a thread of libuv's pool. */
#include <stdlib.h>
#include <string.h>

#include "addon.h"

#define FIRST_CAPACITY 2048

static bool read_parameter(napi_env env, arena* memory, const parameter* item, napi_value value, slot* at) {
  int64_t number = 0;
  char* text = NULL;
  switch (item->kind) {
    case PARAMETER_HANDLE:
    case PARAMETER_U64:
      return read_u64(env, value, item->name, &at->u64);
    case PARAMETER_U32:
      return read_i64(env, value, item->name, &number) && (at->u32 = (uint32_t)number, true);
    case PARAMETER_I32:
      return read_i64(env, value, item->name, &number) && (at->u32 = (uint32_t)(int32_t)number, true);
    case PARAMETER_TEXT:
      return read_text(env, memory, value, item->name, &text, &at[1].size) && (at->pointer = text, true);
    case PARAMETER_IDS:
      return read_words(env, memory, value, item->name, &at->pointer, &at[1].size);
    case PARAMETER_BYTES:
      return read_bytes(env, memory, value, item->name, &at->pointer, &at[1].size);
    case PARAMETER_STRUCTS:
      return read_structs(env, memory, value, item->name, item->table, &at->pointer, &at[1].size);
    default:
      if (is_missing(env, value)) return true;
      at->pointer = arena_take(memory, item->table->size);
      return at->pointer == NULL ? out_of_memory(env) : read_struct(env, memory, value, item->table, at->pointer);
  }
}

static bool is_given(parameter_kind kind) { return kind > PARAMETER_REST && kind < PARAMETER_OUT_HANDLE; }

static size_t element_size(parameter_kind kind) { return kind == PARAMETER_OUT_IDS ? sizeof(int32_t) : 1; }

static bool is_array(parameter_kind kind) { return kind == PARAMETER_OUT_TEXT || kind == PARAMETER_OUT_IDS; }

static bool read_arguments(napi_env env, napi_callback_info info, const function* target, arena* memory, slot* slots) {
  napi_value arguments[PARAMETERS_MAX];
  size_t count = PARAMETERS_MAX, used = 0;
  if (napi_get_cb_info(env, info, &count, arguments, NULL, NULL) != napi_ok) return false;
  for (uint32_t i = 0; i < target->parameter_count; ++i) {
    const parameter* const item = &target->parameters[i];
    if (is_given(item->kind)) {
      if (!read_parameter(env, memory, item, arguments[used++], &slots[i])) return false;
      if (strcmp(item->name, "model") == 0) memory->model = slots[i].pointer;
    } else if (is_array(item->kind)) {
      slots[i].pointer = arena_take(memory, FIRST_CAPACITY * element_size(item->kind));
      slots[i + 1].size = FIRST_CAPACITY;
      if (slots[i].pointer == NULL) return out_of_memory(env);
    } else if (item->kind == PARAMETER_OUT_STRUCT) {
      slots[i].pointer = arena_take(memory, item->table->size);
      if (slots[i].pointer == NULL) return out_of_memory(env);
      item->table->init(slots[i].pointer);
    }
  }
  return true;
}

/* Calls again with as much room as was missing. */
static fsv_status call_with_room(const function* target, arena* memory, slot* slots, fsv_error* error) {
  for (;;) {
    const fsv_status status = target->call(slots, error);
    if (status != FSV_ERROR_BUFFER_TOO_SMALL) return status;
    for (uint32_t i = 0; i < target->parameter_count; ++i) {
      if (!is_array(target->parameters[i].kind)) continue;
      slots[i + 1].size = slots[i + 2].size;
      slots[i].pointer = arena_take(memory, slots[i + 1].size * element_size(target->parameters[i].kind));
      if (slots[i].pointer == NULL) return FSV_ERROR_OUT_OF_MEMORY;
    }
  }
}

static napi_value make_result(napi_env env, const parameter* item, const slot* at) {
  switch (item->kind) {
    case PARAMETER_OUT_HANDLE:
    case PARAMETER_OUT_TAG:
      return make_handle(env, at->u64);
    case PARAMETER_OUT_U32:
      return make_number(env, at->u32);
    case PARAMETER_OUT_STRUCT:
      return make_struct(env, item->table, at->pointer);
    case PARAMETER_OUT_TEXT:
      return make_text(env, at->pointer, at[2].size);
    case PARAMETER_OUT_IDS:
      return make_words(env, at->pointer, at[2].size);
    default:
      return make_text(env, at->pointer, strlen(at->pointer));
  }
}

/* Nothing, the one result, or an object of several. */
static napi_value make_results(napi_env env, const function* target, const slot* slots) {
  napi_value result = make_undefined(env), all = NULL;
  uint32_t count = 0;
  for (uint32_t i = 0; i < target->parameter_count; ++i) {
    const parameter* const item = &target->parameters[i];
    if (item->kind < PARAMETER_OUT_HANDLE) continue;
    result = make_result(env, item, &slots[i]);
    if (all == NULL) napi_create_object(env, &all);
    napi_set_named_property(env, all, item->name, result);
    ++count;
  }
  return count > 1 ? all : result;
}

static napi_value call_now(napi_env env, napi_callback_info info) {
  arena memory = {0};
  slot slots[PARAMETERS_MAX] = {{0}};
  void* data = NULL;
  napi_value result = NULL;
  if (napi_get_cb_info(env, info, NULL, NULL, NULL, &data) != napi_ok) return NULL;
  const function* const target = data;
  if (read_arguments(env, info, target, &memory, slots)) {
    fsv_error error = {0};
    const fsv_status status = call_with_room(target, &memory, slots, &error);
    if (status == FSV_OK) {
      result = make_results(env, target, slots);
    } else {
      throw_failure(env, &error, status);
    }
  }
  arena_free(env, &memory);
  return result;
}

static fsv_status execute_function(work* self) {
  return call_with_room(self->target, &self->memory, self->slots, &self->error);
}

static napi_value finish_function(napi_env env, work* self) { return make_results(env, self->target, self->slots); }

static napi_value call_later(napi_env env, napi_callback_info info) {
  void* data = NULL;
  if (napi_get_cb_info(env, info, NULL, NULL, NULL, &data) != napi_ok) return NULL;
  work* const made = calloc(1, sizeof(*made));
  if (made == NULL) return out_of_memory(env), NULL;
  made->target = data;
  made->execute = execute_function;
  made->finish = finish_function;
  if (read_arguments(env, info, made->target, &made->memory, made->slots)) return start_work(env, made);
  arena_free(env, &made->memory);
  free(made);
  return NULL;
}

static void on_execute(napi_env env, void* data) {
  work* const self = data;
  (void)env;
  self->status = self->execute(self);
}

static void free_work(napi_env env, work* self) {
  if (self->dispose != NULL) self->dispose(self);
  arena_free(env, &self->memory);
  if (self->handle != NULL) napi_delete_async_work(env, self->handle);
  free(self);
}

static void on_complete(napi_env env, napi_status status, void* data) {
  work* const self = data;
  if (status != napi_ok) {
    self->status = FSV_ERROR_CANCELLED; /* the environment ends */
    self->error.message_size = 0;
  }
  const napi_value result = self->status == FSV_OK ? self->finish(env, self) : NULL;
  if (result != NULL) {
    napi_resolve_deferred(env, self->deferred, result);
  } else {
    const napi_value failure = make_failure(env, self->status, self->error.message, self->error.message_size);
    if (failure != NULL) napi_reject_deferred(env, self->deferred, failure);
  }
  free_work(env, self);
}

napi_value start_work(napi_env env, work* made) {
  napi_value name, promise = NULL;
  if (napi_create_string_utf8(env, "fastserve", NAPI_AUTO_LENGTH, &name) == napi_ok &&
      napi_create_async_work(env, NULL, name, on_execute, on_complete, made, &made->handle) == napi_ok &&
      napi_create_promise(env, &made->deferred, &promise) == napi_ok &&
      napi_queue_async_work(env, made->handle) == napi_ok) {
    return promise;
  }
  free_work(env, made);
  return NULL;
}

bool add_functions(napi_env env, napi_value exports) {
  for (size_t i = 0; i < function_count; ++i) {
    void* const data = (void*)&functions[i];
    const napi_property_descriptor properties[] = {
        {functions[i].name, NULL, call_now, NULL, NULL, NULL, napi_default, data},
        {functions[i].async_name, NULL, call_later, NULL, NULL, NULL, napi_default, data}};
    if (napi_define_properties(env, exports, 2, properties) != napi_ok) return false;
  }
  return true;
}
