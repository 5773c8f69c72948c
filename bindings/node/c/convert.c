/* JavaScript values to C and back, by the tables of generated.c. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "addon.h"

struct arena_block {
  struct arena_block* next;
  max_align_t bytes[];
};

void* arena_take(arena* memory, size_t size) {
  struct arena_block* block = calloc(1, sizeof(*block) + (size > 0 ? size : 1));
  if (block == NULL) return NULL;
  block->next = memory->blocks;
  memory->blocks = block;
  return block->bytes;
}

void arena_free(napi_env env, arena* memory) {
  while (memory->blocks != NULL) {
    struct arena_block* block = memory->blocks;
    memory->blocks = block->next;
    free(block);
  }
  for (; memory->kept_count > 0; --memory->kept_count) napi_delete_reference(env, memory->kept[memory->kept_count - 1]);
}

bool type_error(napi_env env, const char* name, const char* expected) {
  char text[160];
  bool is_pending = false;
  napi_is_exception_pending(env, &is_pending);
  snprintf(text, sizeof(text), "%s must be %s", name, expected);
  if (!is_pending) napi_throw_type_error(env, NULL, text);
  return false;
}

bool out_of_memory(napi_env env) {
  napi_throw_error(env, NULL, "out of memory");
  return false;
}

bool is_missing(napi_env env, napi_value value) {
  napi_valuetype type = napi_undefined;
  return napi_typeof(env, value, &type) != napi_ok || type == napi_undefined || type == napi_null;
}

bool read_i64(napi_env env, napi_value value, const char* name, int64_t* result) {
  napi_valuetype type = napi_undefined;
  double number = 0;
  bool is_lossless = false, flag = false;
  napi_typeof(env, value, &type);
  if (type == napi_boolean && napi_get_value_bool(env, value, &flag) == napi_ok) return *result = flag, true;
  if (type == napi_bigint && napi_get_value_bigint_int64(env, value, result, &is_lossless) == napi_ok && is_lossless) {
    return true;
  }
  if (type != napi_number || napi_get_value_double(env, value, &number) != napi_ok ||
      !(number >= -9007199254740992.0 && number <= 9007199254740992.0) || number != (double)(int64_t)number) {
    return type_error(env, name, "a whole number");
  }
  return *result = (int64_t)number, true;
}

bool read_u64(napi_env env, napi_value value, const char* name, uint64_t* result) {
  napi_valuetype type = napi_undefined;
  bool is_lossless = false;
  int64_t number = 0;
  napi_typeof(env, value, &type);
  if (type == napi_bigint && napi_get_value_bigint_uint64(env, value, result, &is_lossless) == napi_ok && is_lossless) {
    return true;
  }
  if (!read_i64(env, value, name, &number)) return false;
  if (number < 0) return type_error(env, name, "0 or more");
  return *result = (uint64_t)number, true;
}

static bool read_f64(napi_env env, napi_value value, const char* name, double* result) {
  return napi_get_value_double(env, value, result) == napi_ok || type_error(env, name, "a number");
}

bool read_text(napi_env env, arena* memory, napi_value value, const char* name, char** text, size_t* size) {
  if (napi_get_value_string_utf8(env, value, NULL, 0, size) != napi_ok) return type_error(env, name, "a string");
  *text = arena_take(memory, *size + 1);
  if (*text == NULL) return out_of_memory(env);
  return napi_get_value_string_utf8(env, value, *text, *size + 1, size) == napi_ok || type_error(env, name, "a string");
}

/* An Int32Array, a Uint32Array, or an array of numbers. */
bool read_words(napi_env env, arena* memory, napi_value value, const char* name, void** words, size_t* count) {
  bool is_typed = false, is_array = false;
  napi_typedarray_type type;
  void* data = NULL;
  uint32_t length = 0;
  napi_is_typedarray(env, value, &is_typed);
  if (is_typed && napi_get_typedarray_info(env, value, &type, count, &data, NULL, NULL) == napi_ok &&
      (type == napi_int32_array || type == napi_uint32_array)) {
    *words = arena_take(memory, *count * sizeof(int32_t));
    if (*words == NULL) return out_of_memory(env);
    if (*count > 0) memcpy(*words, data, *count * sizeof(int32_t));
    return true;
  }
  napi_is_array(env, value, &is_array);
  if (!is_array || napi_get_array_length(env, value, &length) != napi_ok) {
    return type_error(env, name, "an array of numbers");
  }
  int32_t* made = arena_take(memory, (size_t)length * sizeof(int32_t));
  if (made == NULL) return out_of_memory(env);
  for (uint32_t i = 0; i < length; ++i) {
    napi_value element;
    int64_t number = 0;
    if (napi_get_element(env, value, i, &element) != napi_ok || !read_i64(env, element, name, &number)) return false;
    made[i] = (int32_t)number;
  }
  *words = made;
  *count = length;
  return true;
}

/* Borrowed from the Buffer, which is kept until the call is over. */
bool read_bytes(napi_env env, arena* memory, napi_value value, const char* name, void** bytes, size_t* size) {
  bool is_buffer = false;
  if (napi_is_buffer(env, value, &is_buffer) != napi_ok || !is_buffer ||
      napi_get_buffer_info(env, value, bytes, size) != napi_ok || memory->kept_count == 4) {
    return type_error(env, name, "a Buffer");
  }
  return napi_create_reference(env, value, 1, &memory->kept[memory->kept_count++]) == napi_ok || out_of_memory(env);
}

static bool read_strings(napi_env env, arena* memory, napi_value value, const char* name, void** made, size_t* count) {
  uint32_t length = 0;
  if (napi_get_array_length(env, value, &length) != napi_ok) return type_error(env, name, "an array of strings");
  fsv_string* strings = arena_take(memory, length * sizeof(fsv_string));
  if (strings == NULL) return out_of_memory(env);
  for (uint32_t i = 0; i < length; ++i) {
    napi_value element;
    char* text = NULL;
    if (napi_get_element(env, value, i, &element) != napi_ok ||
        !read_text(env, memory, element, name, &text, &strings[i].size)) {
      return false;
    }
    strings[i].data = text;
  }
  *made = strings;
  *count = length;
  return true;
}

bool read_structs(napi_env env, arena* memory, napi_value value, const char* name, const struct_table* table,
                  void** made, size_t* count) {
  uint32_t length = 0;
  if (napi_get_array_length(env, value, &length) != napi_ok) return type_error(env, name, "an array");
  char* structs = arena_take(memory, length * table->size);
  if (structs == NULL) return out_of_memory(env);
  for (uint32_t i = 0; i < length; ++i) {
    napi_value element;
    if (napi_get_element(env, value, i, &element) != napi_ok ||
        !read_struct(env, memory, element, table, structs + i * table->size)) {
      return false;
    }
  }
  *made = structs;
  *count = length;
  return true;
}

static bool read_pair(napi_env env, arena* memory, napi_value value, const field* item, char* made) {
  void* pointer = NULL;
  char* text = NULL;
  size_t count = 0;
  bool is_read = false;
  switch (item->kind) {
    case FIELD_TEXT:
      is_read = read_text(env, memory, value, item->name, &text, &count);
      break;
    case FIELD_BYTES:
      is_read = read_bytes(env, memory, value, item->name, &pointer, &count);
      break;
    case FIELD_STRINGS:
      is_read = read_strings(env, memory, value, item->name, &pointer, &count);
      break;
    case FIELD_WORDS:
      is_read = read_words(env, memory, value, item->name, &pointer, &count);
      break;
    default:
      is_read = read_structs(env, memory, value, item->name, item->table, &pointer, &count);
  }
  if (item->kind == FIELD_TEXT) pointer = text;
  memcpy(made + item->offset, &pointer, sizeof(pointer));
  memcpy(made + item->count_offset, &count, sizeof(count));
  return is_read;
}

static bool read_scalar(napi_env env, napi_value value, const field* item, char* made) {
  uint64_t u64 = 0;
  int64_t i64 = 0;
  double f64 = 0;
  if (item->kind == FIELD_U64 || item->kind == FIELD_U32) {
    if (!read_u64(env, value, item->name, &u64)) return false;
    if (item->kind == FIELD_U32 && u64 > UINT32_MAX) return type_error(env, item->name, "below 2**32");
    const uint32_t u32 = (uint32_t)u64;
    return memcpy(made + item->offset, item->kind == FIELD_U32 ? (void*)&u32 : &u64, item->kind == FIELD_U32 ? 4 : 8),
           true;
  }
  if (item->kind == FIELD_I32) {
    if (!read_i64(env, value, item->name, &i64)) return false;
    if (i64 != (int32_t)i64) return type_error(env, item->name, "a number of 32 bits");
    const int32_t i32 = (int32_t)i64;
    return memcpy(made + item->offset, &i32, sizeof(i32)), true;
  }
  if (!read_f64(env, value, item->name, &f64)) return false;
  const float f32 = (float)f64;
  return memcpy(made + item->offset, item->kind == FIELD_F32 ? (void*)&f32 : &f64, item->kind == FIELD_F32 ? 4 : 8),
         true;
}

static bool read_field(napi_env env, arena* memory, napi_value value, const field* item, char* made) {
  switch (item->kind) {
    case FIELD_STRING: {
      fsv_string string = {NULL, 0};
      char* text = NULL;
      if (!read_text(env, memory, value, item->name, &text, &string.size)) return false;
      string.data = text;
      return memcpy(made + item->offset, &string, sizeof(string)), true;
    }
    case FIELD_HANDLE: {
      uint64_t handle = 0;
      if (!read_u64(env, value, item->name, &handle)) return false;
      void* const pointer = (void*)(uintptr_t)handle;
      return memcpy(made + item->offset, &pointer, sizeof(pointer)), true;
    }
    case FIELD_STRUCT: {
      void* const inner = arena_take(memory, item->table->size);
      if (inner == NULL) return out_of_memory(env);
      memcpy(made + item->offset, &inner, sizeof(inner));
      return read_struct(env, memory, value, item->table, inner);
    }
    case FIELD_TEXT:
    case FIELD_BYTES:
    case FIELD_STRINGS:
    case FIELD_WORDS:
    case FIELD_STRUCTS:
      return read_pair(env, memory, value, item, made);
    case FIELD_NAME:
      return type_error(env, item->name, "left out");
    default:
      return read_scalar(env, value, item, made);
  }
}

static const field* find_field(const struct_table* table, const char* name) {
  for (size_t i = 0; i < table->field_count; ++i) {
    if (strcmp(table->fields[i].name, name) == 0) return &table->fields[i];
  }
  return NULL;
}

/* Defaults first, then what the object says. A request's sampling begins with its model's own. */
bool read_struct(napi_env env, arena* memory, napi_value value, const struct_table* table, void* made) {
  napi_value names, key, setting;
  uint32_t count = 0;
  if (table->init != NULL) table->init(made);
  if (strcmp(table->name, "fsv_sampling") == 0 && memory->model != NULL) {
    fsv_model_default_sampling(memory->model, made, NULL); /* a stale model is reported by the call itself */
  }
  if (is_missing(env, value)) return true;
  if (napi_get_property_names(env, value, &names) != napi_ok || napi_get_array_length(env, names, &count) != napi_ok) {
    return type_error(env, table->name, "an object");
  }
  for (uint32_t i = 0; i < count; ++i) {
    char name[64];
    size_t size = 0;
    if (napi_get_element(env, names, i, &key) != napi_ok ||
        napi_get_value_string_utf8(env, key, name, sizeof(name), &size) != napi_ok ||
        napi_get_property(env, value, key, &setting) != napi_ok) {
      return type_error(env, table->name, "an object");
    }
    if (is_missing(env, setting)) continue;
    const field* const item = find_field(table, name);
    if (item == NULL) return type_error(env, name, "left out: there is no such setting");
    if (!read_field(env, memory, setting, item, made)) return false;
  }
  return true;
}

napi_value make_undefined(napi_env env) {
  napi_value value = NULL;
  napi_get_undefined(env, &value);
  return value;
}

napi_value make_handle(napi_env env, uint64_t handle) {
  napi_value value = NULL;
  napi_create_bigint_uint64(env, handle, &value);
  return value;
}

napi_value make_number(napi_env env, double number) {
  napi_value value = NULL;
  napi_create_double(env, number, &value);
  return value;
}

napi_value make_text(napi_env env, const char* text, size_t size) {
  napi_value value = NULL;
  napi_create_string_utf8(env, size > 0 ? text : "", size, &value);
  return value;
}

napi_value make_words(napi_env env, const int32_t* words, size_t count) {
  napi_value array = NULL, element;
  napi_create_array_with_length(env, count, &array);
  for (size_t i = 0; i < count; ++i) {
    if (napi_create_int32(env, words[i], &element) == napi_ok) napi_set_element(env, array, (uint32_t)i, element);
  }
  return array;
}

static napi_value make_field(napi_env env, const field* item, const char* made) {
  const char* const at = made + item->offset;
  uint32_t u32 = 0;
  int32_t i32 = 0;
  uint64_t u64 = 0;
  float f32 = 0;
  double f64 = 0;
  switch (item->kind) {
    case FIELD_U32:
      return memcpy(&u32, at, sizeof(u32)), make_number(env, u32);
    case FIELD_I32:
      return memcpy(&i32, at, sizeof(i32)), make_number(env, i32);
    case FIELD_U64:
      return memcpy(&u64, at, sizeof(u64)), make_number(env, (double)u64);
    case FIELD_F32:
      return memcpy(&f32, at, sizeof(f32)), make_number(env, f32);
    case FIELD_F64:
      return memcpy(&f64, at, sizeof(f64)), make_number(env, f64);
    case FIELD_NAME:
      return make_text(env, at, strlen(at));
    default:
      return NULL; /* pointers are for the library alone */
  }
}

napi_value make_struct(napi_env env, const struct_table* table, const void* made) {
  napi_value object = NULL;
  napi_create_object(env, &object);
  for (size_t i = 0; i < table->field_count; ++i) {
    const napi_value value = make_field(env, &table->fields[i], made);
    if (value != NULL) napi_set_named_property(env, object, table->fields[i].name, value);
  }
  return object;
}
