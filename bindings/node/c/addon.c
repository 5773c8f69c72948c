/* The addon's exports, its errors, saved sessions, and tokens with their places. */
#include "addon.h"

#include <stdlib.h>
#include <string.h>

napi_value make_failure(napi_env env, fsv_status status, const char* message, size_t message_size) {
  instance* self = NULL;
  napi_value make, failure = NULL;
  if (napi_get_instance_data(env, (void**)&self) != napi_ok || self == NULL || self->make_error == NULL ||
      napi_get_reference_value(env, self->make_error, &make) != napi_ok) {
    return NULL;
  }
  if (message_size == 0) {
    message = fsv_status_name(status);
    message_size = strlen(message);
  }
  const napi_value arguments[] = {make_number(env, status), make_text(env, message, message_size)};
  napi_call_function(env, make_undefined(env), make, 2, arguments, &failure);
  return failure;
}

void throw_failure(napi_env env, const fsv_error* error, fsv_status status) {
  const napi_value failure = make_failure(env, status, error->message, error->message_size);
  if (failure != NULL) napi_throw(env, failure);
}

/* setErrorFactory((status, message) => Error) */
static napi_value set_error_factory(napi_env env, napi_callback_info info) {
  napi_value function;
  size_t count = 1;
  instance* self = NULL;
  if (napi_get_cb_info(env, info, &count, &function, NULL, NULL) == napi_ok &&
      napi_get_instance_data(env, (void**)&self) == napi_ok && self->make_error == NULL) {
    napi_create_reference(env, function, 1, &self->make_error);
  }
  return NULL;
}

static void free_instance(napi_env env, void* data, void* hint) {
  (void)env;
  (void)hint;
  free(data);
}

/* A session's bytes, as they come. */
typedef struct exported {
  char* bytes;
  size_t size;
} exported;

static fsv_status append(void* context, const void* data, size_t size_bytes, uint64_t total_bytes) {
  exported* const all = context;
  if (all->bytes == NULL) {
    if (total_bytes > SIZE_MAX) return FSV_ERROR_OUT_OF_MEMORY;
    all->bytes = malloc((size_t)total_bytes);
  }
  if (all->bytes == NULL || size_bytes > total_bytes - all->size) return FSV_ERROR_OUT_OF_MEMORY;
  memcpy(all->bytes + all->size, data, size_bytes);
  all->size += size_bytes;
  return FSV_OK;
}

static fsv_status execute_export(work* self) {
  return fsv_session_export(self->slots[0].pointer, self->slots[1].u32, append, self->slots[2].pointer, &self->error);
}

static napi_value finish_export(napi_env env, work* self) {
  const exported* const all = self->slots[2].pointer;
  napi_value buffer = NULL;
  return napi_create_buffer_copy(env, all->size, all->bytes, NULL, &buffer) == napi_ok ? buffer : NULL;
}

static void dispose_export(work* self) {
  exported* const all = self->slots[2].pointer;
  if (all != NULL) free(all->bytes);
}

/* sessionExportAsync(session, flags) => Promise<Buffer> */
static napi_value session_export(napi_env env, napi_callback_info info) {
  napi_value arguments[2];
  size_t count = 2;
  if (napi_get_cb_info(env, info, &count, arguments, NULL, NULL) != napi_ok) return NULL;
  work* const made = calloc(1, sizeof(*made));
  if (made == NULL) return out_of_memory(env), NULL;
  made->execute = execute_export;
  made->finish = finish_export;
  made->dispose = dispose_export;
  made->slots[2].pointer = arena_take(&made->memory, sizeof(exported));
  if (made->slots[2].pointer != NULL && read_u64(env, arguments[0], "session", &made->slots[0].u64) &&
      read_u64(env, arguments[1], "flags", &made->slots[1].u64)) {
    return start_work(env, made);
  }
  arena_free(env, &made->memory);
  free(made);
  return NULL;
}

static napi_value make_ranges(napi_env env, const int32_t* ids, const fsv_text_range* ranges, size_t count) {
  napi_value rows = NULL;
  napi_create_array_with_length(env, count, &rows);
  for (size_t i = 0; i < count; ++i) {
    const double numbers[] = {ids[i], (double)ranges[i].start, (double)ranges[i].end};
    napi_value row = NULL;
    napi_create_array_with_length(env, 3, &row);
    for (uint32_t j = 0; j < 3; ++j) napi_set_element(env, row, j, make_number(env, numbers[j]));
    napi_set_element(env, rows, (uint32_t)i, row);
  }
  return rows;
}

/* Of a model, a text and flags. */
static napi_value find_ranges(napi_env env, arena* memory, fsv_model* model, const char* text, size_t size,
                              uint32_t flags) {
  size_t count = 0;
  fsv_error error = {0};
  fsv_status status = fsv_tokenize_ranges(model, text, size, flags, NULL, NULL, 0, &count, &error);
  if (status != FSV_OK) return throw_failure(env, &error, status), NULL;
  int32_t* const ids = arena_take(memory, count * sizeof(*ids) + 1);
  fsv_text_range* const ranges = arena_take(memory, count * sizeof(*ranges) + 1);
  if (ids == NULL || ranges == NULL) return out_of_memory(env), NULL;
  status = fsv_tokenize_ranges(model, text, size, flags, ids, ranges, count, &count, &error);
  if (status != FSV_OK) return throw_failure(env, &error, status), NULL;
  return make_ranges(env, ids, ranges, count);
}

/* tokenizeRanges(model, text, flags) => [id, start, end][] */
static napi_value tokenize_ranges(napi_env env, napi_callback_info info) {
  napi_value arguments[3], result = NULL;
  size_t argument_count = 3, size = 0;
  uint64_t model = 0, flags = 0;
  char* text = NULL;
  arena memory = {0};
  if (napi_get_cb_info(env, info, &argument_count, arguments, NULL, NULL) != napi_ok) return NULL;
  if (read_u64(env, arguments[0], "model", &model) && read_text(env, &memory, arguments[1], "text", &text, &size) &&
      read_u64(env, arguments[2], "flags", &flags)) {
    result = find_ranges(env, &memory, (fsv_model*)(uintptr_t)model, text, size, (uint32_t)flags);
  }
  arena_free(env, &memory);
  return result;
}

bool add_exports(napi_env env, napi_value exports) {
  const napi_property_descriptor properties[] = {
      {"setErrorFactory", NULL, set_error_factory, NULL, NULL, NULL, napi_default, NULL},
      {"sessionExportAsync", NULL, session_export, NULL, NULL, NULL, napi_default, NULL},
      {"tokenizeRanges", NULL, tokenize_ranges, NULL, NULL, NULL, napi_default, NULL}};
  return napi_define_properties(env, exports, 3, properties) == napi_ok;
}

NAPI_MODULE_INIT() {
  instance* const self = calloc(1, sizeof(*self));
  if (self == NULL || napi_set_instance_data(env, self, free_instance, NULL) != napi_ok) return NULL;
  return add_functions(env, exports) && add_engines(env, exports) && add_exports(env, exports) ? exports : NULL;
}
