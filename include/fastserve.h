/*
 * fastserve: an embeddable inference library. This header is the whole public ABI (C99, also C++11).
 *
 * Order of the file: version and errors, devices and machine, engine, models and tickets, text, sessions,
 * requests, events, memory and metrics. docs/ARCHITECTURE.md shows how the parts fit.
 *
 * Conventions, true of every function unless its own comment says otherwise
 *   Status     Fallible calls return fsv_status; FSV_OK is 0. The last parameter `error` is optional (NULL)
 *              and caller-owned: on failure it receives the status and a UTF-8 message that names what and
 *              where; on success it is left alone. Numbers are frozen: they are never reused or renumbered.
 *   No kill    No call aborts, exits, raises a signal, throws, or writes to stdout or stderr. Out of memory,
 *              a bad file and a wrong call are statuses, and everything else goes on.
 *   Threads    Every function may be called from any thread at any time, concurrently with every other.
 *   Blocking   No function blocks on computation or on files, except where its comment says "Blocks".
 *   Handles    fsv_engine*, fsv_model*, fsv_session* are reference-counted and opaque: the value is a generation-tagged
 *              token that the library never dereferences, so a NULL, stale, foreign or doubly released handle
 *              is FSV_ERROR_INVALID_ARGUMENT or FSV_ERROR_STALE, never a crash. They may be released in any
 *              order. Requests and tickets are generation-tagged numbers; 0 is never valid.
 *   Structs    Configuration and info structs begin with struct_size and grow only at the end. Their fsv_*_init
 *              functions take the caller's sizeof and fill that much and nothing beyond: struct_size, every default,
 *              zeros in fields of a newer header. So a program runs with libraries older and newer than its header;
 *              one that sets a field which the library lacks gets UNSUPPORTED.
 *   Strings    UTF-8, as (pointer, size in bytes). A size of SIZE_MAX means NUL-terminated. Strings passed in
 *              are copied before the call returns. A NULL pointer with size 0 is the empty string.
 *   Buffers    Calls that fill a caller's array take a capacity and store the full count needed in *count; with
 *              too little capacity they return FSV_ERROR_BUFFER_TOO_SMALL and what was written is unspecified.
 *              A NULL array with capacity 0 asks for the count alone and returns FSV_OK.
 *   Since      Every declaration exists since 0.1 unless marked.
 */
#ifndef FASTSERVE_H
#define FASTSERVE_H

#include <stddef.h>
#include <stdint.h>

#define FSV_VERSION_MAJOR 0
#define FSV_VERSION_MINOR 1
#define FSV_VERSION_PATCH 0
/* Version of the binary interface, the SONAME suffix: it changes only when old programs would break. */
#define FSV_ABI_VERSION 0

#if defined(_WIN32)
#if defined(FASTSERVE_BUILDING)
#define FSV_API __declspec(dllexport)
#else
#define FSV_API __declspec(dllimport)
#endif
#elif defined(__GNUC__)
#define FSV_API __attribute__((visibility("default")))
#else
#define FSV_API
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* ---------------------------------------------------------------------------------------------------------
 * Version and errors
 * ------------------------------------------------------------------------------------------------------- */

typedef int32_t fsv_status;

enum {
  FSV_OK = 0,
  FSV_ERROR_INVALID_ARGUMENT = 1,  /* a parameter is NULL, out of range, malformed or of another kind */
  FSV_ERROR_OUT_OF_MEMORY = 2,     /* the machine or the host's allocator refused */
  FSV_ERROR_BUDGET_TOO_SMALL = 3,  /* the engine's memory budget cannot hold this; message has the bytes needed */
  FSV_ERROR_NOT_FOUND = 4,         /* no such file, tensor, key or device */
  FSV_ERROR_IO = 5,                /* opening, reading or writing failed; message has the system's reason */
  FSV_ERROR_CORRUPT = 6,           /* a file contradicts its own format */
  FSV_ERROR_UNSUPPORTED = 7,       /* well-formed, but of a kind that this build cannot run; named in message */
  FSV_ERROR_STALE = 8,             /* the handle, request or ticket was released or has ended */
  FSV_ERROR_WRONG_STATE = 9,       /* not possible at this point of the object's life */
  FSV_ERROR_WRONG_MODE = 10,       /* not possible in this engine mode (pumped or threaded) */
  FSV_ERROR_QUEUE_FULL = 11,       /* a bounded queue is full: poll events or try later */
  FSV_ERROR_CANCELLED = 12,        /* ended by a cancel */
  FSV_ERROR_TIMEOUT = 13,          /* the time given ran out */
  FSV_ERROR_BUFFER_TOO_SMALL = 14, /* *count has what is needed */
  FSV_ERROR_SHUTDOWN = 15,         /* the engine is shutting down or has shut down */
  FSV_ERROR_CONTEXT_TOO_LONG = 16, /* the prompt does not fit the context; message has both sizes */
  FSV_ERROR_DEVICE = 17,           /* the device failed or was lost */
  FSV_ERROR_INTERNAL = 18,         /* a defect of the library; please report the message */
  FSV_ERROR_TEMPLATE = 19          /* the chat template failed; message has line and reason */
};

/* Why a request ended. Frozen numbers. */
typedef int32_t fsv_finish_reason;
enum {
  FSV_FINISH_NONE = 0,      /* still running */
  FSV_FINISH_STOP = 1,      /* an end-of-sequence or stop token, or a stop string */
  FSV_FINISH_LENGTH = 2,    /* max_tokens reached, or the context is full */
  FSV_FINISH_CANCELLED = 3, /* fsv_request_cancel */
  FSV_FINISH_ERROR = 4,     /* the event's status and message say why */
  FSV_FINISH_SHUTDOWN = 5   /* the engine shut down first */
};

#define FSV_ERROR_MESSAGE_CAPACITY 500

/* Caller-owned failure report; needs no initialisation. `message` is NUL-terminated, cut at whole code points. */
typedef struct fsv_error {
  fsv_status status;
  uint32_t message_size; /* bytes, without the NUL */
  char message[FSV_ERROR_MESSAGE_CAPACITY];
} fsv_error;

/* The library's version as major*10000 + minor*100 + patch, and as a static string such as "0.1.0". */
FSV_API uint32_t fsv_version(void);
FSV_API const char* fsv_version_string(void);
FSV_API uint32_t fsv_abi_version(void);

/* Static names such as "FSV_ERROR_STALE" and "stop"; unknown numbers give "unknown". Never NULL. */
FSV_API const char* fsv_status_name(fsv_status status);
FSV_API const char* fsv_finish_reason_name(fsv_finish_reason reason);

/* ---------------------------------------------------------------------------------------------------------
 * Devices and machine
 * ------------------------------------------------------------------------------------------------------- */

enum { FSV_DEVICE_CPU = 0, FSV_DEVICE_CUDA = 1 };

typedef struct fsv_device_info {
  uint32_t struct_size;
  uint32_t kind;  /* FSV_DEVICE_* */
  uint32_t index; /* among devices of its kind */
  uint32_t reserved;
  char name[128];        /* NUL-terminated */
  uint64_t memory_bytes; /* in all */
  uint64_t memory_available_bytes;
} fsv_device_info;

FSV_API void fsv_device_info_init(fsv_device_info* info, uint32_t struct_size);
/* Number of devices of a kind (FSV_DEVICE_*) on this machine. 0 is not an error. CUDA devices are found by
 * libfastserve_cuda, which is looked for beside this library and nowhere else; without it, or without a driver, there
 * are none. Asking for them loads it, and the driver. */
FSV_API fsv_status fsv_device_count(uint32_t kind, uint32_t* count, fsv_error* error);
FSV_API fsv_status fsv_device_get_info(uint32_t kind, uint32_t index, fsv_device_info* info, fsv_error* error);

/* What the library found out about this machine; cheap, measures nothing. */
typedef struct fsv_machine_info {
  uint32_t struct_size;
  uint32_t logical_cpu_count;             /* of the machine */
  uint32_t usable_cpu_count;              /* by affinity mask and cgroup quota; the default thread count */
  uint32_t l1d_bytes, l2_bytes, l3_bytes; /* per core, per core, shared; 0 unknown */
  uint64_t memory_bytes;                  /* physical */
  char cpu_name[128];
  char cpu_features[256]; /* space-separated, e.g. "avx2 fma f16c avx512f avx512_vnni avx512_bf16" */
  char kernels[64];       /* the kernel set chosen by CPUID, e.g. "avx512_vnni" */
} fsv_machine_info;

FSV_API void fsv_machine_info_init(fsv_machine_info* info, uint32_t struct_size);
FSV_API fsv_status fsv_machine_probe(fsv_machine_info* info, fsv_error* error);

/* Ceilings of this machine, measured now. Blocks for about `duration_ms` (clamped to 50..10000) on
 * `thread_count` threads (0: default) and allocates about 256 MiB meanwhile. */
typedef struct fsv_machine_ceilings {
  uint32_t struct_size;
  uint32_t thread_count;
  double read_bytes_per_second; /* memory read bandwidth */
  double int8_ops_per_second;   /* multiply and add counted as two */
  double bf16_ops_per_second;   /* 0 where there is no bf16 instruction */
  double f32_ops_per_second;
} fsv_machine_ceilings;

FSV_API void fsv_machine_ceilings_init(fsv_machine_ceilings* ceilings, uint32_t struct_size);
FSV_API fsv_status fsv_machine_measure(uint32_t thread_count, uint32_t duration_ms, fsv_machine_ceilings* ceilings,
                                       fsv_error* error);

/* ---------------------------------------------------------------------------------------------------------
 * Engine
 * ------------------------------------------------------------------------------------------------------- */

typedef struct fsv_engine fsv_engine;   /* opaque, reference-counted */
typedef struct fsv_model fsv_model;     /* opaque, reference-counted */
typedef struct fsv_session fsv_session; /* opaque, reference-counted */
typedef uint64_t fsv_request;           /* generation-tagged; 0 never valid */
typedef uint64_t fsv_ticket;            /* a load under way; generation-tagged; 0 never valid */

enum { FSV_LOG_OFF = 0, FSV_LOG_ERROR = 1, FSV_LOG_WARNING = 2, FSV_LOG_INFO = 3, FSV_LOG_DEBUG = 4 };
/* Receives one line without its newline. May run on any library thread; must not call the library. */
typedef void (*fsv_log_function)(void* user, int32_t level, const char* message, size_t message_size);

enum {
  FSV_MODE_THREADED = 0, /* the engine owns one engine thread and thread_count - 1 workers */
  FSV_MODE_PUMPED = 1    /* no library threads: the host calls fsv_engine_step */
};
/* Q8: 8 bit with one scale a token and head. */
enum { FSV_KV_F16 = 0, FSV_KV_F32 = 1, FSV_KV_BF16 = 2, FSV_KV_Q8 = 3 };
/* FAST: the best SIMD kernels, activations quantised to 8 bit (blocks of 32) where weights are quantised and, where the
 * processor multiplies bf16, rounded to bf16 where weights are bf16. Creating an engine asks Linux for AMX tiles on
 * processors that have them, for the whole process; where that is refused, other kernels serve.
 * REFERENCE: scalar kernels, f32 activations on dequantised weights: slow, the oracle of every test. */
enum { FSV_KERNELS_FAST = 0, FSV_KERNELS_REFERENCE = 1 };
/* Who computes next where more requests want to than can.
 * FCFS: higher priorities first, then by arrival; what has begun is never interrupted.
 * MLFQ: FastServe's skip-join multi-level feedback queue as published: requests that took little so far first, whatever
 * their priorities and deadlines.
 * ADAPTIVE (default): higher priorities interrupt lower ones from the next step on; within a priority deadlines that
 * come near, then tenants that got less, then, where what requests take is widely spread, those that took little so
 * far, then by arrival. The oldest request always advances. Without contention it is FCFS. An interrupted request keeps
 * its keys and values. Only where memory for them is short may it lose them, at most three times; they are computed
 * again and its text is the same, token for token. */
enum { FSV_SCHEDULER_FCFS = 0, FSV_SCHEDULER_MLFQ = 1, FSV_SCHEDULER_ADAPTIVE = 2 };

/* Services that a host lends an engine instead of the system's. Each struct is filled by its init function, then by the
 * host, and copied by the call that takes it; `context` comes back in every call. Hooks run on any thread of the
 * library (in pumped mode on the thread inside fsv_engine_step) and on threads that call the library, several at once
 * unless stated. They must not call the library, throw, or unwind. A hook that fails costs the one operation that
 * needed it. */

/* Files: packs, encrypted archives, downloads. For loads that name it, or for every load of an engine. */
typedef struct fsv_io {
  uint32_t struct_size;
  uint32_t reserved;
  void* context;
  /* Opens a file for reading: stores a value that names it in *file, and its size. `name` (UTF-8, also NUL-terminated)
   * is the load's path; for a split model the path of each part; for a folder, whose path ends in '/', its files such
   * as "<path>config.json". A file that is not there is FSV_ERROR_NOT_FOUND: some are optional. */
  fsv_status (*open)(void* context, const char* name, size_t name_size, void** file, uint64_t* size_bytes);
  /* Reads exactly `size_bytes` bytes at `offset`, never beyond the size that open stored; anything but FSV_OK fails the
   * load with that status. Threads read the same file at once. */
  fsv_status (*read_at)(void* context, void* file, uint64_t offset, void* buffer, size_t size_bytes);
  void (*close)(void* context, void* file); /* NULL: nothing to do */
  /* NULL, or called once after the last use: after a load that fsv_model_load accepted has ended, however it did; of an
   * engine's io with the engine. Not called where the call that took it failed. */
  void (*release)(void* context);
} fsv_io;

enum { FSV_MEMORY_WEIGHTS = 0, FSV_MEMORY_KV = 1, FSV_MEMORY_ACTIVATIONS = 2, FSV_MEMORY_OTHER = 3 };
/* Memory of blocks and buffers: weights, KV, activations. Small objects stay in the library's own heap. The budget
 * holds with either. It must outlive the engine and its models. */
typedef struct fsv_allocator {
  uint32_t struct_size;
  uint32_t reserved;
  void* context;
  /* `alignment` is a power of two, at most 4096; `use` is FSV_MEMORY_*. NULL: out of memory. Need not be zeroed. */
  void* (*allocate)(void* context, size_t size_bytes, size_t alignment, uint32_t use);
  void (*deallocate)(void* context, void* address, size_t size_bytes, size_t alignment, uint32_t use);
} fsv_allocator;

/* Time: of grants, events and metrics. Waits with a timeout use the system's. */
typedef struct fsv_clock {
  uint32_t struct_size;
  uint32_t reserved;
  void* context;
  uint64_t (*now_ns)(void* context); /* monotonic nanoseconds since any beginning */
} fsv_clock;

typedef void (*fsv_task)(void* task_context, uint32_t part);
/* Threads for computation; an engine with one starts no workers of its own. `run` calls task(task_context, part) once
 * for each part in 0..part_count - 1, at once as far as it can, on any threads, and returns when all have returned.
 * Parts left out (all of them, where it returns an error) run on the calling thread. One run at a time. */
typedef struct fsv_executor {
  uint32_t struct_size;
  uint32_t width; /* parts that can run at once: 1 to 1024 */
  void* context;
  fsv_status (*run)(void* context, uint32_t part_count, fsv_task task, void* task_context);
} fsv_executor;

FSV_API void fsv_io_init(fsv_io* io, uint32_t struct_size);
FSV_API void fsv_allocator_init(fsv_allocator* allocator, uint32_t struct_size);
FSV_API void fsv_clock_init(fsv_clock* clock, uint32_t struct_size);
FSV_API void fsv_executor_init(fsv_executor* executor, uint32_t struct_size);

enum { FSV_CUBLAS_AUTO = 0, FSV_CUBLAS_OFF = 1 };

/* Of the library's threads. LOW and LOWEST yield to the host's when there are too few CPUs; none raises anything. */
enum { FSV_THREADS_NORMAL = 0, FSV_THREADS_LOW = 1, FSV_THREADS_LOWEST = 2 };

typedef struct fsv_engine_config {
  uint32_t struct_size;
  uint32_t mode;        /* FSV_MODE_* */
  uint32_t device_kind; /* FSV_DEVICE_* */
  uint32_t device_index;
  uint32_t thread_count;         /* computing threads, the engine thread included; 0: usable_cpu_count */
  uint32_t kernels;              /* FSV_KERNELS_* */
  uint32_t kv_dtype;             /* FSV_KV_* */
  uint32_t scheduler;            /* FSV_SCHEDULER_*; default ADAPTIVE */
  uint32_t context_tokens;       /* longest sequence; 0: the model's own, at most 8192 */
  uint32_t max_sequences;        /* computed in one step, at most; 0: 64 */
  uint32_t max_batch_tokens;     /* rows of one step, at most; 0: 512 */
  uint32_t prefill_chunk_tokens; /* of one sequence in one step, at most; 0: max_batch_tokens */
  uint32_t max_queued_requests;  /* waiting and running; 0: 1024 */
  uint32_t max_pending_events;   /* of one request before it pauses; 0: 256 */
  uint64_t memory_budget_bytes;  /* weights, KV and activations together; 0: no limit but the machine's */
  uint64_t kv_bytes;             /* KV pool of each model; 0: by context and max_sequences, within the budget */
  fsv_log_function log;          /* NULL: with a log_level lines wait for fsv_engine_read_log */
  void* log_user;
  int32_t log_level;        /* FSV_LOG_* */
  uint32_t thread_priority; /* FSV_THREADS_* */
  const uint32_t* cpus;     /* numbers of the CPUs that the library's threads may run on; NULL: the process's */
  size_t cpu_count;         /* thread_count 0 is then this many, where it is fewer */
  const fsv_io* io;         /* each NULL: the system's; see there */
  const fsv_allocator* allocator;
  const fsv_clock* clock;
  const fsv_executor* executor; /* thread_count is then its width */
  uint32_t prefix_cache;        /* 1: keys and values of texts that are over stay until memory is needed, and requests
                                   that begin with the same tokens (in blocks of 16) share them, whoever asked; no token
                                   differs. Of layers that see a window a text keeps what its end sees. 0 (default): none */
  uint32_t memory_events;       /* 1: MEMORY events say what was given up for want of memory; 0 (default): none */
  /* The one folder that the library may write into; NULL or empty (default): none, and it writes nothing anywhere.
   * Calls that write name plain files: without folders, devices and what only some systems accept, not "*.part", at
   * most 200 bytes. A file appears under its name when it is complete, in place of an older one; until then it is
   * called
   * "<name>.part" and goes away if anything fails. What a process that was killed left of it goes with the next write
   * of that name. A relative folder is one of the working directory at that time. */
  const char* write_folder;
  size_t write_folder_size;
  /* The latency D that 95 of 100 steps are to stay within; 0 (default): none. A step gives each of its streams a token,
   * so D is also the time between two tokens. The batch grows while steps keep to D and shrinks when they do not, with
   * their cost as measured; it is never smaller than what saves time, so a D that this model cannot keep on this
   * machine is missed (batch_objective in fsv_metrics tells). While prompts queue up one step in 40 takes up to 4 D:
   * bursts are absorbed within the 5 of 100. */
  uint64_t step_target_us;
  /* Called where memory is short, before anything is given up (FSV_PRESSURE_SHORT), and after something was, or came
   * back: what MEMORY events say, at once and without a poll. By the engine's thread, inside fsv_engine_step in pumped
   * mode; the work waits for its return. It may call fsv_memory_set_budget and fsv_memory_get_stats, nothing else of
   * the library: a host that raises the budget when it is told SHORT keeps what would have gone. NULL: none. */
  void (*on_memory)(void* context, uint32_t pressure, uint64_t used_bytes, uint64_t budget_bytes);
  void* on_memory_context;
  /* Of a CUDA device, else not looked at. The host's own CUcontext, of device_index, and a CUstream of it in which
   * steps are computed; NULL (default): the device's primary context, low-priority streams of the engine's. A stream
   * wants FSV_MODE_PUMPED, and no other thread may fill it inside fsv_engine_step, which waits for what was in it
   * before. Both stay the host's and must outlive the engine and its models; one that cannot be used is
   * INVALID_ARGUMENT. */
  void* cuda_context;
  void* cuda_stream;
  /* Where libcublasLt lies; NULL or empty (default): where the system's loader looks. It computes prompts with bf16
   * weights; where it is not found, or refuses, the library's own kernels do, and the log says so. */
  const char* cublas_folder;
  size_t cublas_folder_size;
  uint32_t cublas; /* FSV_CUBLAS_*; see cublas_folder */
  uint32_t reserved;
} fsv_engine_config;

FSV_API void fsv_engine_config_init(fsv_engine_config* config, uint32_t struct_size);
/* Creates an engine with one reference, its threads started. config NULL: all defaults.
 * Its threads belong to this process: after fork() the child may end, by exit() or _exit(), but not use or release what
 * its parent created. A host that ends without releasing its engines ends all the same. */
FSV_API fsv_status fsv_engine_create(const fsv_engine_config* config, fsv_engine** engine, fsv_error* error);
FSV_API fsv_status fsv_engine_retain(fsv_engine* engine, fsv_error* error);
/* Drops a reference. With the last one the engine shuts down: its requests and loads end, its threads are
 * joined. Blocks for at most one layer's work. Models may be released later. */
FSV_API fsv_status fsv_engine_release(fsv_engine* engine, fsv_error* error);
/* Ends the engine in order: refuses new work, lets running requests finish until `timeout_us` is over, then
 * cancels them (FSV_FINISH_SHUTDOWN). Blocks. Events stay pollable until the engine is released.
 * Returns FSV_OK also where requests had to be cancelled; a second call returns FSV_OK at once. */
FSV_API fsv_status fsv_engine_shutdown(fsv_engine* engine, uint64_t timeout_us, fsv_error* error);
/* Pumped mode only (else FSV_ERROR_WRONG_MODE): works on the calling thread for about `max_us` microseconds. Work is
 * cut into pieces (layers of few enough rows, parts of the output matrix, panels of a load) that are sized by what
 * earlier ones took, and a piece begins where at least half of it is expected to fit: a grant is passed by about half a
 * piece, more where the system takes the processor away. Reading a model's header and building its tokenizer are one
 * piece each. 0: one piece of full size. *more is 1 when work is left. One caller at a time: a second gets WRONG_STATE.
 */
FSV_API fsv_status fsv_engine_step(fsv_engine* engine, uint64_t max_us, uint32_t* more, fsv_error* error);
/* Stops and resumes computation between layers; submits and polls still work. Idempotent. */
FSV_API fsv_status fsv_engine_pause(fsv_engine* engine, fsv_error* error);
FSV_API fsv_status fsv_engine_resume(fsv_engine* engine, fsv_error* error);
/* Changes step_target_us of the engine's config, from the next step on; 0: none. */
FSV_API fsv_status fsv_engine_set_step_target(fsv_engine* engine, uint64_t step_target_us, fsv_error* error);
/* The log, pulled: for hosts whose code must not run on the library's threads, such as those of collectors that stop
 * threads by signals. Of an engine whose config has a log_level and no `log` (else WRONG_STATE) the last
 * 256 lines wait, each of at most 500 bytes. Takes the oldest: its FSV_LOG_* level and its text, without a NUL; one
 * that `buffer` is too small for stays. Blocks until there is one (FSV_OK) or `timeout_us` is over (FSV_ERROR_TIMEOUT);
 * FSV_ERROR_SHUTDOWN once the engine is released and no line is left. */
FSV_API fsv_status fsv_engine_read_log(fsv_engine* engine, uint64_t timeout_us, int32_t* level, char* buffer,
                                       size_t capacity, size_t* size, fsv_error* error);

/* ---------------------------------------------------------------------------------------------------------
 * Models
 * ------------------------------------------------------------------------------------------------------- */

typedef struct fsv_model_info {
  uint32_t struct_size;
  uint32_t runnable;     /* 0: `refusal` says why this build cannot run it */
  char architecture[64]; /* "llama" */
  char name[128];        /* general.name, or empty */
  char weight_type[32];  /* the type that holds most weight bytes, "Q4_1" */
  char tokenizer[64];    /* "gpt2/smollm" */
  char refusal[256];
  uint64_t file_bytes;
  uint64_t weight_bytes; /* tensor data in the file */
  uint64_t parameter_count;
  uint32_t tensor_count;
  uint32_t vocabulary_size;
  uint32_t context_tokens; /* trained for */
  uint32_t layer_count;
  uint32_t embedding_size;
  uint32_t head_count;
  uint32_t kv_head_count;
  uint32_t has_chat_template;
  int32_t bos_token_id; /* -1: none; here and below: known once the tokenizer could be read */
  int32_t eos_token_id;
  uint32_t adds_bos; /* FSV_TOKENIZE_ADD_BOS puts bos_token_id before a text */
  uint32_t adds_eos; /* ... and eos_token_id behind it */
} fsv_model_info;

FSV_API void fsv_model_info_init(fsv_model_info* info, uint32_t struct_size);
/* Reads a file's header and says what it holds; loads no weights, needs no engine. Blocks on the file. */
FSV_API fsv_status fsv_model_inspect(const char* path, size_t path_size, fsv_model_info* info, fsv_error* error);
/* As above, everything as one JSON object: metadata (long arrays cut to their length), and tensors with name,
 * type, shape, offset. `buffer` receives UTF-8 without a NUL. Blocks on the file. */
FSV_API fsv_status fsv_model_inspect_json(const char* path, size_t path_size, char* buffer, size_t capacity,
                                          size_t* size, fsv_error* error);
/* Which kernels of this processor (FSV_KERNELS_FAST) serve which tensors, as one JSON object: `kernels`, the best set,
 * and `plan`, an array with for each kind of tensor: `tensors` (name, numbers as *), `count`, `type`, `shape`, `layout`
 * once loaded ("vector" for those of one dimension; null: not supported), and of matrices `activations` (the type that
 * they are rounded to), `kernel` (the set that multiplies many rows, with AMX nine and more) and `kernel_of_few_rows`.
 * Without load_dtype. Blocks on the file. */
FSV_API fsv_status fsv_model_plan_json(const char* path, size_t path_size, char* buffer, size_t capacity, size_t* size,
                                       fsv_error* error);

enum {
  /* The tokenizer and the chat template alone: no weights are read and no KV is taken, and any architecture will do.
   * Text functions work; requests are refused with WRONG_STATE. */
  FSV_LOAD_TEXT_ONLY = 1,
  /* Ends with a touch of all memory for activations and the computation of one token, so that the first request finds
   * every page in place. */
  FSV_LOAD_WARM_UP = 2,
  /* `buffer` is copied before fsv_model_load returns; else it is borrowed. */
  FSV_LOAD_COPY_BUFFER = 4,
  /* The model's memory is never taken for others, see fsv_model_evict. */
  FSV_LOAD_PINNED = 8,
  /* `io` or `buffer` stay in use until the model is gone (their release says when), to load it again after an eviction.
   * Without this flag a model that came from them is pinned. */
  FSV_LOAD_KEEP_SOURCE = 16
};
/* Types that float matrices can be given while they are read. */
enum {
  FSV_DTYPE_STORED = 0, /* as in the file */
  FSV_DTYPE_F32 = 1,
  FSV_DTYPE_F16 = 2,
  FSV_DTYPE_BF16 = 3,
  FSV_DTYPE_Q8_0 = 4, /* GGUF's types of blocks of 32, rounded as its reference implementation does */
  FSV_DTYPE_Q4_0 = 5,
  FSV_DTYPE_Q4_1 = 6,
  FSV_DTYPE_Q5_0 = 7,
  FSV_DTYPE_Q5_1 = 8
};

typedef struct fsv_load_config {
  uint32_t struct_size;
  uint32_t flags;   /* FSV_LOAD_* */
  const char* path; /* of a GGUF file, any part of a split one, or a Hugging Face folder with safetensors */
  size_t path_size;
  uint64_t user_data; /* comes back in the ticket's events */
  /* FSV_DTYPE_*: matrices in F32, F16 or BF16 take this type; fsv_model_get_info shows what came of it. What is
   * quantised in the file stays as it is: nothing is quantised twice. So do vectors (norms, biases: they are computed
   * in f32), expert routers, position tables, and matrices whose rows are no multiple of the type's block. With a type
   * below 8 bits the embedding and output matrices become Q8_0. A number that is not above is UNSUPPORTED. */
  uint32_t load_dtype;
  int32_t priority; /* queued loads with a higher one begin first; equal ones in the order of their calls */
  const fsv_io* io; /* not NULL: `path` names what this opens */
  /* Instead of a path: a GGUF file in memory. Borrowed until buffer_release is called (once, by any thread, when the
   * load that fsv_model_load accepted has ended, however it did; NULL: until LOAD_FINISHED is polled or the engine is
   * released) and not to be changed until then. */
  const void* buffer;
  size_t buffer_size;
  void (*buffer_release)(void* buffer_context);
  void* buffer_context;
} fsv_load_config;

FSV_API void fsv_load_config_init(fsv_load_config* config, uint32_t struct_size);

/* Bytes that a model takes in an engine, as fsv_memory_get_stats counts them. */
typedef struct fsv_memory_estimate {
  uint32_t struct_size;
  uint32_t reserved;
  uint64_t weight_bytes;
  uint64_t kv_bytes; /* the whole pool; its pages become resident as sequences fill it */
  uint64_t activation_bytes;
  uint64_t other_bytes; /* tokenizer, chat template, and what drawing tokens takes in each thread */
  uint64_t total_bytes; /* sum of the above: once loaded */
  uint64_t peak_bytes;  /* at most, while it loads: headers and read buffers too */
} fsv_memory_estimate;

FSV_API void fsv_memory_estimate_init(fsv_memory_estimate* estimate, uint32_t struct_size);
/* What fsv_model_load(config) would take in an engine of `engine_config` (NULL: defaults), before there is one. Reads
 * the headers and builds the tokenizer, to see what it takes; reads no weights. Blocks on the file. A budget that it
 * does not fit is BUDGET_TOO_SMALL. A borrowed buffer or io is used during the call alone; its release is not called.
 */
FSV_API fsv_status fsv_model_estimate(const fsv_load_config* config, const fsv_engine_config* engine_config,
                                      fsv_memory_estimate* estimate, fsv_error* error);
/* Begins a load and returns at once. Progress and the end arrive as events and by fsv_ticket_get_info. The same
 * file (device, inode, size and time of change) loaded twice in an engine is read once and shared, where flags and
 * load_dtype are the same too. */
FSV_API fsv_status fsv_model_load(fsv_engine* engine, const fsv_load_config* config, fsv_ticket* ticket,
                                  fsv_error* error);

enum { FSV_TICKET_QUEUED = 0, FSV_TICKET_LOADING = 1, FSV_TICKET_READY = 2, FSV_TICKET_FAILED = 3 };

typedef struct fsv_ticket_info {
  uint32_t struct_size;
  uint32_t state;    /* FSV_TICKET_* */
  fsv_status status; /* of a failed load */
  uint32_t reserved;
  uint64_t bytes_done;  /* of weights read and packed */
  uint64_t bytes_total; /* 0 until the header is read */
} fsv_ticket_info;

FSV_API void fsv_ticket_info_init(fsv_ticket_info* info, uint32_t struct_size);
/* `error` receives the load's own message where its state is FAILED (the call itself returns FSV_OK). */
FSV_API fsv_status fsv_ticket_get_info(fsv_engine* engine, fsv_ticket ticket, fsv_ticket_info* info, fsv_error* error);
/* Waits until the load ended or `timeout_us` is over. Blocks; in pumped mode FSV_ERROR_WRONG_MODE. */
FSV_API fsv_status fsv_ticket_wait(fsv_engine* engine, fsv_ticket ticket, uint64_t timeout_us, fsv_error* error);
/* Takes the loaded model, with a reference that the caller owns; ends the ticket (STALE from then on). Before the
 * load ended: WRONG_STATE. After a failed load: its status and message; this ends the ticket too. */
FSV_API fsv_status fsv_ticket_take_model(fsv_engine* engine, fsv_ticket ticket, fsv_model** model, fsv_error* error);
/* Changes the priority of a load that is still queued; of one that has begun or ended: WRONG_STATE. */
FSV_API fsv_status fsv_ticket_set_priority(fsv_engine* engine, fsv_ticket ticket, int32_t priority, fsv_error* error);
/* Cancels a load under way (nothing of it stays) or drops a finished one; ends the ticket. The work stops within a
 * piece of about a mebibyte; a borrowed buffer and io stay in use until then: their release says when. */
FSV_API fsv_status fsv_ticket_cancel(fsv_engine* engine, fsv_ticket ticket, fsv_error* error);

FSV_API fsv_status fsv_model_retain(fsv_model* model, fsv_error* error);
/* Drops a reference. With the last one no new request can name the model; running ones finish, sessions go on; with
 * the last of them its memory is returned: in pumped mode a few mebibytes at a time, by the steps that follow. */
FSV_API fsv_status fsv_model_release(fsv_model* model, fsv_error* error);
FSV_API fsv_status fsv_model_get_info(fsv_model* model, fsv_model_info* info, fsv_error* error);
/* Gives the memory of a model that no request uses back now: weights, activations, KV (idle sessions keep their texts).
 * Handles, sessions and text functions work on. Its next request loads it again, from where it
 * came from, and begins when it is there: transparently, but for the time. Under a budget the engine does the same
 * by itself, where a load, a request of another model or a lowered budget needs the memory: to the models that no
 * request uses, the one used longest ago first. Where requests of models that do not fit together wait for each other,
 * those that came first are served first. If it cannot be loaded again (the file has changed or is gone: CORRUPT,
 * NOT_FOUND; no room: BUDGET_TOO_SMALL), the requests that wait for it end with that reason. With live requests, or
 * while it is being loaded: WRONG_STATE; of a pinned model: UNSUPPORTED. Evicted already: OK. */
FSV_API fsv_status fsv_model_evict(fsv_engine* engine, fsv_model* model, fsv_error* error);

/* ---------------------------------------------------------------------------------------------------------
 * Text
 * ------------------------------------------------------------------------------------------------------- */

enum {
  FSV_TOKENIZE_ADD_BOS = 1,      /* add BOS and EOS as the model's metadata asks */
  FSV_TOKENIZE_PARSE_SPECIAL = 2 /* recognise special tokens such as <|im_start|>; else they are plain text */
};
enum {
  FSV_DETOKENIZE_SKIP_SPECIAL = 1 /* leave out control tokens; else they are rendered by name */
};
enum { /* attributes of a token, combined */
       FSV_TOKEN_CONTROL = 1,
       FSV_TOKEN_BYTE = 2,
       FSV_TOKEN_USER_DEFINED = 4,
       FSV_TOKEN_UNKNOWN = 8,
       FSV_TOKEN_END_OF_GENERATION = 16
};

/* Text to token ids. Invalid UTF-8 is an INVALID_ARGUMENT that names the byte offset. */
FSV_API fsv_status fsv_tokenize(fsv_model* model, const char* text, size_t text_size, uint32_t flags, int32_t* ids,
                                size_t capacity, size_t* count, fsv_error* error);
typedef struct fsv_text_range {
  uint64_t start; /* bytes of the text, start included, end not */
  uint64_t end;
} fsv_text_range;

/* fsv_tokenize, and for each id the bytes of `text` that it stands for: `ranges` has room for `capacity` of them too.
 * Ranges are in order of their starts. One is empty where a token stands for nothing in the text (BOS and EOS, a space
 * that the tokenizer puts before it), may cut a code point (byte tokens), and covers all that a normaliser made one of
 * (a letter and its accent). White space that belongs to a token is within its range. */
FSV_API fsv_status fsv_tokenize_ranges(fsv_model* model, const char* text, size_t text_size, uint32_t flags,
                                       int32_t* ids, fsv_text_range* ranges, size_t capacity, size_t* count,
                                       fsv_error* error);
/* Token ids to bytes (UTF-8, except where the ids themselves cut a code point). No NUL is added. */
FSV_API fsv_status fsv_detokenize(fsv_model* model, const int32_t* ids, size_t id_count, uint32_t flags, char* buffer,
                                  size_t capacity, size_t* size, fsv_error* error);
/* The bytes of one token and its FSV_TOKEN_* attributes (attributes may be NULL). */
FSV_API fsv_status fsv_token_get(fsv_model* model, int32_t id, char* buffer, size_t capacity, size_t* size,
                                 uint32_t* attributes, fsv_error* error);

typedef struct fsv_chat_message {
  const char* role; /* "system", "user", "assistant" */
  size_t role_size;
  const char* content;
  size_t content_size;
} fsv_chat_message;

enum { FSV_CHAT_ADD_GENERATION_PROMPT = 1 }; /* end with the opening of an assistant's turn */

/* Renders a conversation with the model's template, as text and as token ids. In the ids only the template's own
 * words are control tokens: "<|im_start|>" inside a message stays text. */
FSV_API fsv_status fsv_chat_render(fsv_model* model, const fsv_chat_message* messages, size_t message_count,
                                   uint32_t flags, char* buffer, size_t capacity, size_t* size, fsv_error* error);
FSV_API fsv_status fsv_chat_tokenize(fsv_model* model, const fsv_chat_message* messages, size_t message_count,
                                     uint32_t flags, int32_t* ids, size_t capacity, size_t* count, fsv_error* error);

/* ---------------------------------------------------------------------------------------------------------
 * Sessions
 *
 * A session is a text that is kept between requests: its tokens, and in the model's KV pool what was computed of
 * them, so that the next turn computes only what is new. Requests name it (fsv_generate_config.session): the prompt
 * and all that is generated, end and stop tokens included, become the session's text when the request finishes, also
 * when it was cancelled. A request that fails (FSV_FINISH_ERROR) leaves the session as it was before.
 *
 * The answers are those of a fresh request with the same whole text: to the token, and to the bit on one machine.
 *
 * One request at a time: from the submit until it has finished the session is busy, and a further submit, fork,
 * truncate, undo or save is FSV_ERROR_WRONG_STATE. Calls that only read see it as it was before the request.
 *
 * An idle session never keeps others waiting: where a request needs KV blocks, idle sessions lose theirs, the one that
 * was used longest ago first. Nothing is lost but time: its next request computes them again.
 *
 * A session is a use of its model and of its engine's memory: both stay until it is released. Released while a
 * request runs, it ends with that request, which finishes as usual. After the engine's shutdown it can still be read.
 * ------------------------------------------------------------------------------------------------------- */

/* Makes an empty session, with a reference that the caller owns. */
FSV_API fsv_status fsv_session_create(fsv_engine* engine, fsv_model* model, fsv_session** session, fsv_error* error);
FSV_API fsv_status fsv_session_retain(fsv_session* session, fsv_error* error);
FSV_API fsv_status fsv_session_release(fsv_session* session, fsv_error* error);

/* Makes a session of the first `token_count` tokens of another (SIZE_MAX or more than it has: all). What is computed
 * of them is shared, not copied: only what either adds later takes memory of its own. Where layers with a sliding
 * window have dropped what an earlier point needs, the fork computes it again with its first request. */
FSV_API fsv_status fsv_session_fork(fsv_session* source, size_t token_count, fsv_session** session, fsv_error* error);
/* Cuts the text to its first `token_count` tokens; more than it has is INVALID_ARGUMENT. */
FSV_API fsv_status fsv_session_truncate(fsv_session* session, size_t token_count, fsv_error* error);
/* Takes the last turn back: the text is what it was before that request. The last 256 turns can be taken back, one
 * after the other; without one: FSV_ERROR_WRONG_STATE. */
FSV_API fsv_status fsv_session_undo(fsv_session* session, fsv_error* error);

/* Sessions can be kept elsewhere: in a file, in a game's save, encrypted, on a server. What is saved is the text, the
 * turns that can be taken back, and the keys and values that are in the pool, so that the next turn computes only what
 * is new. The bytes are the same for the same session and begin with no secret: who can read them, can read the text.
 *
 * They belong to the model whose session it was: to the same weights and hyperparameters (rope, windows, caps and all),
 * loaded with the same load_dtype, in any engine, process or version of the library. Keys and values serve engines with
 * the same kv_dtype; in others, and where requests that run leave no room in the pool, they are left out and the next
 * request computes them again. So answers may differ in the last bits of a logit from those of this machine where
 * another processor had computed them; FSV_SESSION_TEXT_ONLY leaves them out from the beginning. */
enum { FSV_SESSION_TEXT_ONLY = 1 };

/* Receives the next piece of `total_bytes` bytes in all, on the calling thread; anything but FSV_OK ends the call with
 * that status. It must not throw or unwind. */
typedef fsv_status (*fsv_write_function)(void* context, const void* data, size_t size_bytes, uint64_t total_bytes);

/* Writes a session to `write`, piece by piece; `flags`: FSV_SESSION_*. Blocks; meanwhile the session is busy, requests
 * of others go on, and its part of the pool is not theirs. After a failure the session is as it was. */
FSV_API fsv_status fsv_session_export(fsv_session* session, uint32_t flags, fsv_write_function write, void* context,
                                      fsv_error* error);
/* The same into the file `name` of the engine's write_folder, which is replaced when all is written and safe on the
 * disk. Without a write_folder, or while another call writes that file: WRONG_STATE; a name that it refuses:
 * INVALID_ARGUMENT; a full disk: IO, and the older file is as it was. */
FSV_API fsv_status fsv_session_save(fsv_session* session, const char* name, size_t name_size, uint32_t flags,
                                    fsv_error* error);
/* Makes a session of what fsv_session_export wrote, with a reference that the caller owns. Blocks; `data` is borrowed
 * for the call. Damage of any kind is CORRUPT (a checksum covers every byte), another model's session
 * INVALID_ARGUMENT, one longer than the engine's context CONTEXT_TOO_LONG, a format of the future UNSUPPORTED. */
FSV_API fsv_status fsv_session_import(fsv_engine* engine, fsv_model* model, const void* data, size_t size_bytes,
                                      fsv_session** session, fsv_error* error);
/* The same from a file, of any folder: `path` is opened by the engine's `io`, where it has one. */
FSV_API fsv_status fsv_session_load(fsv_engine* engine, fsv_model* model, const char* path, size_t path_size,
                                    fsv_session** session, fsv_error* error);

typedef struct fsv_session_info {
  uint32_t struct_size;
  uint32_t busy;               /* 1: a request was submitted and has not finished, or it is being saved */
  uint64_t token_count;        /* of the text */
  uint64_t cached_token_count; /* of them, in the KV pool now; 0 while busy */
  uint64_t kv_bytes;           /* of the pool, blocks shared with other sessions included; 0 while busy */
  uint64_t turn_count;         /* that can be taken back */
} fsv_session_info;

FSV_API void fsv_session_info_init(fsv_session_info* info, uint32_t struct_size);
FSV_API fsv_status fsv_session_get_info(fsv_session* session, fsv_session_info* info, fsv_error* error);
/* The token ids of the whole text. */
FSV_API fsv_status fsv_session_get_tokens(fsv_session* session, int32_t* ids, size_t capacity, size_t* count,
                                          fsv_error* error);

/* ---------------------------------------------------------------------------------------------------------
 * Requests
 * ------------------------------------------------------------------------------------------------------- */

typedef struct fsv_string {
  const char* data;
  size_t size; /* bytes; SIZE_MAX: NUL-terminated */
} fsv_string;

/* One step between logits and draw; each works on what the one before left. */
enum {
  FSV_STAGE_LOGIT_BIAS = 0,
  FSV_STAGE_PENALTIES = 1, /* repetition, presence, frequency */
  FSV_STAGE_DRY = 2,
  FSV_STAGE_TOP_N_SIGMA = 3,
  FSV_STAGE_TOP_K = 4,
  FSV_STAGE_TYPICAL = 5,
  FSV_STAGE_TOP_P = 6,
  FSV_STAGE_MIN_P = 7,
  FSV_STAGE_XTC = 8,
  FSV_STAGE_TEMPERATURE = 9
};

typedef struct fsv_logit_bias {
  int32_t token_id;
  float bias; /* added to the logit; -inf: never drawn */
} fsv_logit_bias;

/* How the next token is chosen. By default the stages run in the order of their numbers: the cuts see the model's own
 * probabilities, the temperature comes last. Temperature 0 is greedy (the largest logit, the lowest id among equals).
 * Everything but seed, temperature, top_p and the like is off by default. */
typedef struct fsv_sampling {
  uint32_t struct_size;
  int32_t top_k;         /* keep the k most likely; <= 0: all */
  float temperature;     /* default 1 */
  float top_p;           /* keep the smallest set with this probability; >= 1: all */
  float min_p;           /* drop tokens below min_p times the most likely one's probability; 0: none */
  float typical_p;       /* locally typical sampling (arXiv 2202.00666); >= 1: off */
  uint64_t seed;         /* same seed, prompt and settings: same tokens, whatever runs beside it */
  float top_n_sigma;     /* keep logits within n standard deviations of the largest (arXiv 2411.07641); 0: off */
  float xtc_probability; /* with this probability drop all but the least likely of the tokens ... */
  float xtc_threshold;   /* ... at or above this probability; default 0.1 */
  float dynamic_temperature_range;    /* temperature +- this, by the entropy of the distribution; 0: static */
  float dynamic_temperature_exponent; /* default 1 */
  int32_t penalty_window;             /* last tokens of prompt and output that count; < 0: all; default 64 */
  float repetition_penalty;           /* positive logits are divided by it, others multiplied; default 1 */
  float presence_penalty;             /* subtracted once for a token that occurs */
  float frequency_penalty;            /* subtracted for each occurrence */
  float dry_multiplier;               /* DRY: penalty multiplier * base^(length - allowed) for repeated runs; 0: off */
  float dry_base;                     /* default 1.75 */
  int32_t dry_allowed_length;         /* default 2 */
  int32_t dry_window;                 /* last tokens looked at; < 0: all (default) */
  int32_t mirostat;                   /* 1 or 2 (arXiv 2007.14966), replaces the cuts; 0: off */
  float mirostat_tau;                 /* wanted surprise in bits; default 5 */
  float mirostat_eta;                 /* learning rate; default 0.1 */
  const fsv_string* dry_breakers;     /* runs do not reach across tokens that hold one; NULL: newline : " * */
  size_t dry_breaker_count;           /* at most 64 */
  const fsv_logit_bias* logit_bias;
  size_t logit_bias_count; /* at most 4096 */
  const uint32_t* stages;  /* FSV_STAGE_* in the order wanted, each at most once; NULL: the default order */
  size_t stage_count;
  uint32_t stream; /* streams of one seed are independent: choice i of a request draws from stream + i */
  uint32_t reserved;
} fsv_sampling;

FSV_API void fsv_sampling_init(fsv_sampling* sampling, uint32_t struct_size);
/* How the model's makers want it sampled: fsv_sampling_init's values, changed by what a GGUF file says in its
 * general.sampling.* keys, or a folder in its generation_config.json (there with the order of stages that transformers
 * has: the temperature before the cuts; "do_sample": false is temperature 0). Values that are out of range or not known
 * are passed over. A request without settings of its own uses this; to change some, change this copy and pass it.
 * `stages` may point into the model: valid until that is released. struct_size must be set, as by fsv_sampling_init. */
FSV_API fsv_status fsv_model_default_sampling(fsv_model* model, fsv_sampling* sampling, fsv_error* error);

/* What a prompt is to a session's text. */
enum {
  FSV_SESSION_APPEND = 0, /* it follows; FSV_TOKENIZE_ADD_BOS counts for an empty session only; no prompt: go on */
  FSV_SESSION_REPLACE = 1 /* it is the whole text; the longest prefix that both share is not computed again */
};

/* OFF: until no beam that runs, were it to end now, could beat the worst of the ended texts. ON: as soon as there are
 * beam_count ended texts. NEVER: until no beam could, whatever its length. */
enum { FSV_EARLY_STOPPING_OFF = 0, FSV_EARLY_STOPPING_ON = 1, FSV_EARLY_STOPPING_NEVER = 2 };

/* Search for the likeliest text instead of drawing one, as transformers' generate() does it: `beam_count` texts run at
 * once and share keys and values; a text that ends is scored by the sum of its tokens' log-probabilities divided by
 * length^length_penalty (generated tokens, the ending one included). */
typedef struct fsv_beam_search {
  uint32_t struct_size;
  uint32_t beam_count;     /* default 4; 1 to FSV_CHOICES_MAX and the engine's max_sequences */
  float length_penalty;    /* default 1; above 0 favours longer texts, below 0 shorter ones */
  uint32_t early_stopping; /* FSV_EARLY_STOPPING_* */
} fsv_beam_search;

FSV_API void fsv_beam_search_init(fsv_beam_search* beam_search, uint32_t struct_size);

/* FINISH: the request ends with FSV_FINISH_LENGTH.
 * SLIDE: of the tokens after the first `context_keep_tokens` the oldest `context_drop_tokens` are forgotten, and the
 * answer goes on as that of a fresh prompt of what is left: same keys, values and logits, penalties that count what is
 * left, while random draws, max_tokens and stop rules go on as before. The tokens that stay behind the kept ones are
 * computed again (as prefill, once for each slide). The context is never exceeded. A session's text is then what is
 * left. */
enum { FSV_CONTEXT_FINISH = 0, FSV_CONTEXT_SLIDE = 1 };
/* Of a chat: the system messages at its beginning; else the beginning-of-sequence token, where the prompt has it. */
#define FSV_CONTEXT_KEEP_AUTO UINT32_MAX

/* AUTO: where the text repeats what it said before (or the prompt did), next tokens are guessed from there and up to
 * seven of them computed in one step; a guess counts only where the same token is drawn, so that tokens, text and
 * log-probabilities are the same, bit for bit, and only come faster. Guessing pauses while it does not pay, and where
 * many requests run. */
enum { FSV_SPECULATION_AUTO = 0, FSV_SPECULATION_OFF = 1 };

typedef struct fsv_generate_config {
  uint32_t struct_size;
  uint32_t flags;   /* FSV_TOKENIZE_*, for `text`; default FSV_TOKENIZE_ADD_BOS */
  const char* text; /* the prompt as text, or ... */
  size_t text_size;
  const int32_t* token_ids; /* ... as ids, taken as they are; exactly one of the two */
  size_t token_count;
  uint32_t max_tokens;            /* default 256; 0: with a session, only compute the prompt; else INVALID_ARGUMENT */
  uint32_t min_tokens;            /* end-of-generation tokens cannot be drawn before */
  uint32_t ignore_eos;            /* 1: end-of-generation tokens are drawn but do not end the request */
  uint32_t logprob_count;         /* alternatives reported with each token, at most 20 */
  uint32_t report_logprobs;       /* 1: each token's own log-probability (natural log, of the raw logits) */
  uint32_t choice_count;          /* answers wanted; default 1, at most FSV_CHOICES_MAX and the engine's max_sequences;
                                     with a session 1 */
  const fsv_string* stop_strings; /* end when the text holds one; it and what follows are not emitted */
  size_t stop_string_count;       /* at most 16 of at most 256 bytes */
  const int32_t* stop_token_ids;
  size_t stop_token_count;            /* at most 64 */
  const fsv_sampling* sampling;       /* taken as a whole; NULL: fsv_model_default_sampling */
  uint64_t user_data;                 /* comes back in every event */
  fsv_session* session;               /* of the same engine and model; NULL: none */
  uint32_t session_mode;              /* FSV_SESSION_* */
  int32_t priority;                   /* its class: higher ones first, see FSV_SCHEDULER_*; default 0 */
  uint32_t context_full;              /* FSV_CONTEXT_*: what happens when prompt and answer fill the context */
  uint32_t context_keep_tokens;       /* SLIDE: first tokens that stay; default FSV_CONTEXT_KEEP_AUTO */
  uint32_t context_drop_tokens;       /* SLIDE: tokens after them that go each time; 0 (default): half of the others */
  uint32_t speculation;               /* FSV_SPECULATION_* */
  const fsv_beam_search* beam_search; /* NULL: none */
  uint64_t tenant;                    /* whose request it is: tenants of one priority get equal shares; default 0 */
  uint64_t first_token_deadline_us;   /* wanted from submit to first token; 0: no matter. ADAPTIVE heeds it */
  uint64_t token_deadline_us; /* wanted between two tokens; 0: no matter. ADAPTIVE reads others' prompts in parts that
                                 leave time for it. A deadline that is missed ends nothing */
  uint64_t queue_timeout_us;  /* 0: none. A request of which nothing was computed by then ends with FSV_FINISH_ERROR and
                                 FSV_ERROR_TIMEOUT; the message says what was in its way */
} fsv_generate_config;

#define FSV_CHOICES_MAX 64

FSV_API void fsv_generate_config_init(fsv_generate_config* config, uint32_t struct_size);
/* Queues a generation. With a session `model` may be NULL. Refusals: CONTEXT_TOO_LONG, QUEUE_FULL, SHUTDOWN, an empty
 * prompt or an id outside the vocabulary INVALID_ARGUMENT, more KV than the pool has BUDGET_TOO_SMALL. Events: TOKENS
 * ..., then one FINISHED.
 *
 * With choice_count n > 1 the prompt is computed once and its keys and values are shared; then n answers go their own
 * ways, each with a random stream, penalties and stop rules of its own. Choice i gives the same tokens as a request of
 * its own with sampling.stream + i, whatever runs beside it. Every event names its choice. When an answer ends, a
 * CHOICE_FINISHED event has its reason and counts; FINISHED follows the last of them (LENGTH if one ended so, else
 * STOP; generated_token_count is the sum). A cancel and an error end all answers of the request. The n sequences
 * are admitted together and count against max_sequences.
 *
 * With beam_search the choice_count best texts come at the end, best first, each with its score; a cancel brings none.
 * Of `sampling` what looks at the text counts (bias, penalties, DRY), applied to log-probabilities; reported
 * log-probabilities are those of the search. Not with stop_strings, logprob_count, SLIDE or a session. */
FSV_API fsv_status fsv_submit_generate(fsv_engine* engine, fsv_model* model, const fsv_generate_config* config,
                                       fsv_request* request, fsv_error* error);

/* A conversation to answer: messages, or messages_json. Strings are UTF-8; JSON of the forms that chat templates know.
 */
typedef struct fsv_chat {
  uint32_t struct_size;
  uint32_t flags;                   /* FSV_CHAT_*; default FSV_CHAT_ADD_GENERATION_PROMPT */
  const fsv_chat_message* messages; /* these, or ... */
  size_t message_count;
  fsv_string messages_json;  /* ... an array of objects with role, content, tool_calls, name ... */
  fsv_string tools_json;     /* an array of tool definitions, handed to the template; empty: none */
  fsv_string variables_json; /* an object of further variables, such as enable_thinking; empty: none */
  fsv_string template_text;  /* a Jinja template of the host's own, used instead of the model's; empty: the model's */
} fsv_chat;

FSV_API void fsv_chat_init(fsv_chat* chat, uint32_t struct_size);
/* Renders a conversation with the model's template and queues a generation of the answer. Of `config` the prompt
 * (text, token_ids, flags) must be empty. With a session the conversation replaces its text (FSV_SESSION_REPLACE): of
 * messages that were there before nothing is computed again. Text inside messages never becomes a control token,
 * whoever wrote the template. A template that cannot be parsed or fails is FSV_ERROR_TEMPLATE with line and reason. */
FSV_API fsv_status fsv_submit_chat(fsv_engine* engine, fsv_model* model, const fsv_chat* chat,
                                   const fsv_generate_config* config, fsv_request* request, fsv_error* error);

enum {
  FSV_SCORE_FULL_LOGITS = 256 /* in flags: SCORE events bring whole rows of logits too (large: poll often) */
};

typedef struct fsv_score_config {
  uint32_t struct_size;
  uint32_t flags; /* as in fsv_generate_config */
  const char* text;
  size_t text_size;
  const int32_t* token_ids;
  size_t token_count; /* at least 2 tokens in all */
  uint64_t user_data;
} fsv_score_config;

FSV_API void fsv_score_config_init(fsv_score_config* config, uint32_t struct_size);
/* Queues the scoring of a prompt: one SCORE event with log p(token[i] | token[0..i-1]) for every i >= 1 (the first
 * value is 0), in one or several parts in order, then FINISHED. */
FSV_API fsv_status fsv_submit_score(fsv_engine* engine, fsv_model* model, const fsv_score_config* config,
                                    fsv_request* request, fsv_error* error);

/* Asks a request to end; seen between layers. Its FINISHED event follows. Ended or unknown: FSV_ERROR_STALE. */
FSV_API fsv_status fsv_request_cancel(fsv_engine* engine, fsv_request request, fsv_error* error);

/* Changes the priority of a live request, from the next step on. Ended or unknown: FSV_ERROR_STALE. */
FSV_API fsv_status fsv_request_set_priority(fsv_engine* engine, fsv_request request, int32_t priority,
                                            fsv_error* error);

/* QUEUED: not begun, or interrupted and without its keys and values for now. */
enum { FSV_REQUEST_QUEUED = 0, FSV_REQUEST_RUNNING = 1, FSV_REQUEST_PAUSED = 2, FSV_REQUEST_FINISHED = 3 };

typedef struct fsv_request_info {
  uint32_t struct_size;
  uint32_t state; /* FSV_REQUEST_*; PAUSED: its events are not being polled */
  uint32_t prompt_token_count;
  uint32_t prefilled_token_count; /* of the prompt, so far */
  uint32_t generated_token_count;
  fsv_finish_reason finish_reason;
  uint64_t kv_bytes; /* of the pool that it holds now, blocks shared with others included */
} fsv_request_info;

FSV_API void fsv_request_info_init(fsv_request_info* info, uint32_t struct_size);
/* STALE once the FINISHED event was polled and replaced by a later poll. */
FSV_API fsv_status fsv_request_get_info(fsv_engine* engine, fsv_request request, fsv_request_info* info,
                                        fsv_error* error);

/* ---------------------------------------------------------------------------------------------------------
 * Events
 * ------------------------------------------------------------------------------------------------------- */

enum {
  FSV_EVENT_TOKENS = 1,          /* new tokens and the text that they complete */
  FSV_EVENT_SCORE = 2,           /* token_ids and logprobs of a part of a scored prompt */
  FSV_EVENT_FINISHED = 3,        /* the last event of a request: finish_reason, status, message, counts, times */
  FSV_EVENT_LOAD_PROGRESS = 4,   /* bytes_done of bytes_total; at most one pending for each ticket */
  FSV_EVENT_LOAD_FINISHED = 5,   /* status FSV_OK: take the model; else message says why */
  FSV_EVENT_CHOICE_FINISHED = 6, /* one of several choices has ended: finish_reason, its generated_token_count */
  FSV_EVENT_MEMORY = 7           /* with fsv_engine_config.memory_events: something was given up for want of memory:
                                    pressure; bytes_done are used now, of a budget of bytes_total. At most one pending */
};
/* What went since the last MEMORY event, or came back; combined. */
enum {
  FSV_PRESSURE_PREFIXES = 1,  /* of the prefix cache */
  FSV_PRESSURE_SESSIONS = 2,  /* keys and values of idle sessions */
  FSV_PRESSURE_MODELS = 4,    /* models, see fsv_model_evict */
  FSV_PRESSURE_REQUESTS = 8,  /* keys and values of requests that run */
  FSV_PRESSURE_RELOADED = 16, /* a model came back */
  FSV_PRESSURE_SHORT = 32     /* more is used than the budget allows, or a load finds too little: something is to go */
};

typedef struct fsv_logprob {
  int32_t token_id;
  float logprob;
} fsv_logprob;

/* Pointers in an event stay valid until the next fsv_poll on the same engine. */
typedef struct fsv_event {
  uint32_t type; /* FSV_EVENT_* */
  fsv_status status;
  uint64_t request; /* or the ticket, in LOAD events */
  uint64_t user_data;
  const char* text; /* whole code points; may be empty while a code point is incomplete */
  size_t text_size;
  const int32_t* token_ids;
  const float* logprobs; /* one for each token, or NULL */
  size_t token_count;
  const fsv_logprob* top_logprobs; /* token_count x top_logprob_count, most likely first, or NULL */
  size_t top_logprob_count;
  const char* message; /* of a failure */
  size_t message_size;
  fsv_finish_reason finish_reason;
  uint32_t prompt_token_count;
  uint32_t generated_token_count;
  uint32_t cached_token_count;      /* of the prompt, that came with the session's KV */
  uint64_t bytes_done, bytes_total; /* of a load */
  uint64_t queue_us;                /* submit to first computed row */
  uint64_t first_token_us;          /* submit to first token; 0 if none */
  uint64_t total_us;                /* submit to end */
  const float* logits;              /* of a full score: raw logits, logit_row_count x vocabulary_size */
  size_t logit_row_count;           /* token_count, less one where the event holds the prompt's first token */
  uint32_t choice;                  /* of TOKENS and CHOICE_FINISHED: which of choice_count answers */
  uint32_t pressure;                /* of MEMORY: FSV_PRESSURE_* */
  double cumulative_logprob;        /* of an answer that has ended: sum of its tokens' log-probabilities, if reported */
  double score;                     /* of a text that a beam search found */
} fsv_event;

/* Takes pending events, oldest first for each request, round-robin among requests. `event_size` is the caller's
 * sizeof(fsv_event). *count 0 is not an error. Frees the payloads of the previous poll: one consumer at a time
 * (a concurrent second poll waits for the first to return). Nothing is ever dropped: a request whose events are
 * not polled pauses, others go on. */
FSV_API fsv_status fsv_poll(fsv_engine* engine, fsv_event* events, size_t event_size, size_t capacity, size_t* count,
                            fsv_error* error);
/* Blocks until an event is pending (FSV_OK) or `timeout_us` is over (FSV_ERROR_TIMEOUT). Pumped: WRONG_MODE.
 * After shutdown and with no event left: FSV_ERROR_SHUTDOWN. */
FSV_API fsv_status fsv_wait(fsv_engine* engine, uint64_t timeout_us, fsv_error* error);
/* An OS handle that is readable (signalled) while events are pending: an eventfd or pipe read end for poll/epoll/
 * libuv/tokio, a Windows event HANDLE. Owned by the engine: do not read, close or keep it beyond the engine. */
FSV_API fsv_status fsv_wait_handle(fsv_engine* engine, intptr_t* handle, fsv_error* error);

/* ---------------------------------------------------------------------------------------------------------
 * Memory and metrics
 * ------------------------------------------------------------------------------------------------------- */

/* Changes the budget of a living engine, its loads and requests; 0: none. Returns at once. Where more is used than it
 * allows, memory goes within a few milliseconds, between the layers of a step, whose requests may have to leave it; in
 * pumped mode within the calls of fsv_engine_step that follow, also while the engine is paused. So goes, as far as it
 * must: KV that nobody holds, the prefix cache, keys and values of idle sessions and then models that no
 * request uses (the one used longest ago first, see fsv_model_evict), keys and values of running requests (lower
 * priorities first, then later ones). None of their texts changes, to the bit; they wait, and compute again what they
 * lost. used_bytes of fsv_memory_get_stats says when it is done. KV pools are cut by pieces of up to 16 MiB, which go
 * back to the system; where a budget is raised again they grow with what requests need, up to what they had been
 * planned for.
 *
 * Weights and activations of pinned models and of those with requests stay, and room for the longest request that
 * lives: a smaller budget is BUDGET_TOO_SMALL, with the bytes needed (floor_bytes), and the old one holds on. Requests
 * with several answers and scores keep what they hold too. A load under way ends with BUDGET_TOO_SMALL where no room is
 * left for it. */
FSV_API fsv_status fsv_memory_set_budget(fsv_engine* engine, uint64_t budget_bytes, fsv_error* error);

enum {
  FSV_TRIM_PREFIXES = 1, /* the prefix cache too */
  FSV_TRIM_SESSIONS = 2, /* keys and values of idle sessions too: their next requests compute them again */
  FSV_TRIM_MODELS = 4    /* models that no request uses too, as by fsv_model_evict */
};
/* Gives KV memory that nobody holds back to the system now, and what else `flags` (FSV_TRIM_*) name, whatever the
 * budget: for a host that goes to the background. Returns at once and takes effect as fsv_memory_set_budget does. Pools
 * grow again with what requests need. */
FSV_API fsv_status fsv_memory_trim(fsv_engine* engine, uint32_t flags, fsv_error* error);

typedef struct fsv_memory_stats {
  uint32_t struct_size;
  uint32_t model_count;
  uint64_t budget_bytes; /* 0: none */
  uint64_t used_bytes;   /* sum of the next four */
  uint64_t weight_bytes;
  uint64_t kv_bytes; /* reserved for KV pools */
  uint64_t activation_bytes;
  uint64_t other_bytes;
  uint64_t peak_bytes;          /* highest used_bytes so far */
  uint64_t kv_block_bytes_used; /* of kv_bytes, holding sequences */
  uint64_t kv_block_count;
  uint64_t kv_block_free_count;
  uint64_t session_kv_bytes; /* of kv_block_bytes_used, held by idle sessions; a block that several share counts for
                                each */
  uint32_t session_count;
  uint32_t reserved;
  uint64_t prefix_block_count; /* blocks of tokens in the prefix cache: given up as soon as memory is needed */
  uint64_t prefix_bytes;       /* of kv_block_bytes_used, those blocks, also where requests and sessions share them */
  uint64_t peak_weight_bytes;  /* each one's highest so far, also at different times */
  uint64_t peak_kv_bytes;
  uint64_t peak_activation_bytes;
  uint64_t peak_other_bytes;
  uint64_t floor_bytes; /* the smallest budget that fsv_memory_set_budget takes now */
} fsv_memory_stats;

FSV_API void fsv_memory_stats_init(fsv_memory_stats* stats, uint32_t struct_size);
FSV_API fsv_status fsv_memory_get_stats(fsv_engine* engine, fsv_memory_stats* stats, fsv_error* error);

enum { FSV_MODEL_HERE = 0, FSV_MODEL_EVICTED = 1, FSV_MODEL_LOADING = 2 };
/* What one model takes; of a request see fsv_request_info.kv_bytes, of a session fsv_session_info.kv_bytes. */
typedef struct fsv_model_memory {
  uint32_t struct_size;
  uint32_t request_count; /* that have not ended */
  uint64_t total_bytes;   /* sum of the next four */
  uint64_t weight_bytes;
  uint64_t kv_bytes;
  uint64_t activation_bytes;
  uint64_t other_bytes;
  uint64_t kv_block_bytes_used;
  uint64_t kv_block_count;
  uint64_t kv_block_free_count;
  uint64_t prefix_bytes;
  uint32_t state; /* FSV_MODEL_*; LOADING: it comes back after an eviction */
  uint32_t reserved;
} fsv_model_memory;

FSV_API void fsv_model_memory_init(fsv_model_memory* memory, uint32_t struct_size);
FSV_API fsv_status fsv_memory_get_model(fsv_engine* engine, fsv_model* model, fsv_model_memory* memory,
                                        fsv_error* error);

typedef struct fsv_metrics {
  uint32_t struct_size;
  uint32_t queued_requests;    /* now */
  uint32_t running_requests;   /* now */
  uint32_t paused_requests;    /* now */
  uint64_t submitted_requests; /* since creation, as all below */
  uint64_t finished_requests;
  uint64_t cancelled_requests;
  uint64_t failed_requests;
  uint64_t prefill_tokens;
  uint64_t decode_tokens;
  uint64_t steps;
  uint64_t step_us_total;      /* time spent in steps */
  uint64_t scheduler_us_total; /* of it, planning */
  uint64_t max_step_us;
  uint64_t batch_rows_total; /* rows computed; over steps: the mean batch */
  uint64_t reused_tokens;    /* of prompts: came with sessions, so not in prefill_tokens */
  uint64_t drafted_tokens;   /* guessed, see FSV_SPECULATION_* */
  uint64_t drafts_accepted;  /* of them, those that came true; in decode_tokens too */
  uint64_t dropped_requests; /* interrupted ones that lost their keys and values; each time counts */
  uint64_t prefix_lookups;   /* in the prefix cache, at admission */
  uint64_t prefix_hits;
  uint64_t prefix_hit_tokens;
  uint64_t prefix_evictions;  /* blocks of tokens */
  uint64_t recomputed_tokens; /* that this cost, in prefill_tokens too */
  /* Batching, of the model that computed last, over its last 128 steps; zeros before the first. */
  uint64_t step_target_us;       /* D, as set now; 0: none */
  uint64_t step_us_p95;          /* L: 95 of 100 steps were not longer */
  uint64_t batch_tokens_max;     /* that the last step might have had */
  double tokens_per_second;      /* T, rows computed */
  double tokens_per_second_full; /* Tmax: of the same mix in batches of max_batch_tokens, by the cost model */
  double batch_objective;        /* J = (D - L) / D / 2 + T / Tmax / 2; 0 without D */
  uint64_t evicted_models;       /* each time counts */
  uint64_t reloaded_models;
} fsv_metrics;

FSV_API void fsv_metrics_init(fsv_metrics* metrics, uint32_t struct_size);
FSV_API fsv_status fsv_metrics_snapshot(fsv_engine* engine, fsv_metrics* metrics, fsv_error* error);

#ifdef __cplusplus
}
#endif

#endif /* FASTSERVE_H */
