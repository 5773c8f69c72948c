/* The Node-API addon: every function of fastserve.h with its arguments as JavaScript values (generated.c says which),
 * called at once or on a thread of libuv's pool. What follows is shared by its parts. */
#ifndef FASTSERVE_ADDON_H
#define FASTSERVE_ADDON_H

#define NAPI_VERSION 8
#include <fastserve.h>
#include <node_api.h>
#include <stdbool.h>

/* Fields of structs: what a JavaScript property becomes. Pairs are a pointer and, behind it, a size_t count. */
typedef enum field_kind {
  FIELD_U32,
  FIELD_I32,
  FIELD_U64, /* a number or a bigint */
  FIELD_F32,
  FIELD_F64,
  FIELD_NAME,    /* char array: a string, read only */
  FIELD_STRING,  /* fsv_string */
  FIELD_TEXT,    /* pair */
  FIELD_BYTES,   /* pair; a Buffer or Uint8Array, which is kept while the call runs */
  FIELD_STRINGS, /* pair of fsv_string */
  FIELD_WORDS,   /* pair of int32_t or uint32_t */
  FIELD_STRUCTS, /* pair of `table` */
  FIELD_STRUCT,  /* pointer to one of `table` */
  FIELD_HANDLE
} field_kind;

typedef struct struct_table struct_table;
typedef struct field {
  const char* name; /* as in JavaScript */
  const struct_table* table;
  size_t offset;
  size_t count_offset; /* of pairs */
  field_kind kind;
} field;

struct struct_table {
  const char* name;
  size_t size;
  void (*init)(void* made); /* NULL: zeros */
  const field* fields;
  size_t field_count;
};

/* Parameters of functions. INs are taken from JavaScript, OUTs returned. */
typedef enum parameter_kind {
  PARAMETER_REST,   /* belongs to the one before */
  PARAMETER_HANDLE, /* bigint */
  PARAMETER_U32,
  PARAMETER_I32,
  PARAMETER_U64,
  PARAMETER_TEXT, /* + size */
  PARAMETER_IDS,  /* + count */
  PARAMETER_BYTES,
  PARAMETER_STRUCT,  /* of `table`; undefined: NULL */
  PARAMETER_STRUCTS, /* + count */
  PARAMETER_OUT_HANDLE,
  PARAMETER_OUT_U32,
  PARAMETER_OUT_TAG,
  PARAMETER_OUT_STRUCT,
  PARAMETER_OUT_TEXT, /* + capacity, size */
  PARAMETER_OUT_IDS,  /* + capacity, count */
  PARAMETER_OUT_NAME  /* a static string that the function returned */
} parameter_kind;

typedef struct parameter {
  const char* name;
  const struct_table* table;
  parameter_kind kind;
} parameter;

#define PARAMETERS_MAX 8

typedef union slot {
  void* pointer;
  uint64_t u64;
  size_t size;
  uint32_t u32;
} slot;

typedef struct function {
  const char* name;       /* "modelLoad" */
  const char* async_name; /* "modelLoadAsync" */
  fsv_status (*call)(slot* slots, fsv_error* error);
  parameter parameters[PARAMETERS_MAX];
  uint32_t parameter_count;
} function;

extern const function functions[];
extern const size_t function_count;
extern const struct_table table_fsv_engine_config;

/* Memory of one call, freed with it. */
typedef struct arena {
  struct arena_block* blocks;
  napi_ref kept[4]; /* buffers that the call reads */
  uint32_t kept_count;
  fsv_model* model; /* the call's model, whose sampling a request's settings change */
} arena;

void* arena_take(arena* memory, size_t size); /* zeroed; NULL: out of memory */
void arena_free(napi_env env, arena* memory);

/* From JavaScript. On failure false, with an exception pending. */
bool read_u64(napi_env env, napi_value value, const char* name, uint64_t* result);
bool read_i64(napi_env env, napi_value value, const char* name, int64_t* result);
bool read_text(napi_env env, arena* memory, napi_value value, const char* name, char** text, size_t* size);
bool read_words(napi_env env, arena* memory, napi_value value, const char* name, void** words, size_t* count);
bool read_bytes(napi_env env, arena* memory, napi_value value, const char* name, void** bytes, size_t* size);
bool read_struct(napi_env env, arena* memory, napi_value value, const struct_table* table, void* made);
bool read_structs(napi_env env, arena* memory, napi_value value, const char* name, const struct_table* table,
                  void** made, size_t* count);
bool is_missing(napi_env env, napi_value value); /* undefined or null */
bool type_error(napi_env env, const char* name, const char* expected);
bool out_of_memory(napi_env env);

/* To JavaScript; NULL where an exception is pending. */
napi_value make_handle(napi_env env, uint64_t handle);
napi_value make_number(napi_env env, double number);
napi_value make_text(napi_env env, const char* text, size_t size);
napi_value make_words(napi_env env, const int32_t* words, size_t count);
napi_value make_struct(napi_env env, const struct_table* table, const void* made);
napi_value make_undefined(napi_env env);

/* Of one environment: the main thread's, or a worker's. */
typedef struct instance {
  napi_ref make_error; /* (status, message) => Error, of the JavaScript part */
} instance;

napi_value make_failure(napi_env env, fsv_status status, const char* message, size_t message_size);
void throw_failure(napi_env env, const fsv_error* error, fsv_status status);

/* Runs `call` on a thread of libuv's pool; the promise is made of `finish`'s value, or rejected. */
typedef struct work {
  arena memory;
  fsv_error error;
  fsv_status status;
  fsv_status (*execute)(struct work* self);
  napi_value (*finish)(napi_env env, struct work* self);
  void (*dispose)(struct work* self); /* NULL: nothing to do */
  const function* target;
  slot slots[PARAMETERS_MAX];
  napi_deferred deferred;
  napi_async_work handle;
} work;

napi_value start_work(napi_env env, work* made); /* takes `made`, of calloc */

bool add_functions(napi_env env, napi_value exports);
bool add_engines(napi_env env, napi_value exports);
bool add_exports(napi_env env, napi_value exports);

#endif
