/* Loads and unloads the library many times, in several ways, and measures what is left behind: mappings, address
 * space, resident pages, the host's malloc, thread keys. The program itself does not link the library.
 * usage: unload_test <path of libfastserve.so> */
#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <malloc.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fastserve.h"

enum { WARM_UP_ROUNDS = 5, ROUNDS = 50 };

typedef fsv_status (*inspect_function)(const char*, size_t, char*, size_t, size_t*, fsv_error*);
typedef fsv_status (*engine_create_function)(const fsv_engine_config*, fsv_engine**, fsv_error*);
typedef void (*engine_config_init_function)(fsv_engine_config*, uint32_t);
typedef fsv_status (*engine_release_function)(fsv_engine*, fsv_error*);
typedef uint32_t (*version_function)(void);

static const char* library_path;
static int failures = 0;

#define CHECK(condition)                                      \
  do {                                                        \
    if (!(condition)) {                                       \
      printf("line %d: %s is false\n", __LINE__, #condition); \
      ++failures;                                             \
    }                                                         \
  } while (0)

typedef struct footprint {
  size_t mappings, virtual_kib, malloc_bytes, descriptors, threads;
} footprint;

static size_t entries_of(const char* path) {
  size_t count = 0;
  DIR* folder = opendir(path);
  while (folder != NULL && readdir(folder) != NULL) ++count;
  if (folder != NULL) closedir(folder);
  return count;
}

static footprint measure(void) {
  footprint now = {0, 0, 0, 0, 0};
  char line[512];
  FILE* maps = fopen("/proc/self/maps", "r");
  while (maps != NULL && fgets(line, sizeof line, maps) != NULL) ++now.mappings;
  if (maps != NULL) fclose(maps);
  FILE* status = fopen("/proc/self/status", "r");
  while (status != NULL && fgets(line, sizeof line, status) != NULL) {
    if (strncmp(line, "VmSize:", 7) == 0) now.virtual_kib = strtoul(line + 7, NULL, 10);
  }
  if (status != NULL) fclose(status);
  now.malloc_bytes = mallinfo2().uordblks;
  now.descriptors = entries_of("/proc/self/fd");
  now.threads = entries_of("/proc/self/task");
  return now;
}

/* Runs code of the library that allocates, throws inside, and starts and joins threads. */
static void use(void* library) {
  version_function version = (version_function)dlsym(library, "fsv_version");
  CHECK(version != NULL && version() >= 100);
  inspect_function inspect = (inspect_function)dlsym(library, "fsv_model_inspect_json");
  if (inspect != NULL) {
    size_t size = 0;
    fsv_error error;
    CHECK(inspect("no/such/file.gguf", SIZE_MAX, NULL, 0, &size, &error) != FSV_OK);
  }
  engine_config_init_function init = (engine_config_init_function)dlsym(library, "fsv_engine_config_init");
  engine_create_function create = (engine_create_function)dlsym(library, "fsv_engine_create");
  engine_release_function release = (engine_release_function)dlsym(library, "fsv_engine_release");
  if (init != NULL && create != NULL && release != NULL) {
    fsv_engine_config config;
    fsv_engine* engine = NULL;
    init(&config, sizeof(config));
    config.thread_count = 2;
    CHECK(create(&config, &engine, NULL) == FSV_OK);
    if (engine != NULL) CHECK(release(engine, NULL) == FSV_OK);
  }
}

static void* load(void) {
  void* library = dlopen(library_path, RTLD_NOW | RTLD_LOCAL);
  if (library == NULL) printf("dlopen: %s\n", dlerror());
  CHECK(library != NULL);
  return library;
}

static void unload(void* library) {
  CHECK(dlclose(library) == 0);
  CHECK(dlopen(library_path, RTLD_NOW | RTLD_NOLOAD) == NULL); /* it really went */
}

static void in_one_thread(void) {
  void* library = load();
  if (library == NULL) return;
  use(library);
  unload(library);
}

static void* load_and_use(void* out) {
  *(void**)out = load();
  if (*(void**)out != NULL) use(*(void**)out);
  return NULL;
}

/* The thread that loaded the library ends first; another uses it and a third unloads it. */
static void across_threads(void) {
  void* library = NULL;
  pthread_t loader;
  pthread_create(&loader, NULL, load_and_use, &library);
  pthread_join(loader, NULL);
  if (library == NULL) return;
  use(library);
  unload(library);
}

static pthread_barrier_t barrier;
static void* use_then_outlive(void* library) {
  use(library);
  pthread_barrier_wait(&barrier); /* used */
  pthread_barrier_wait(&barrier); /* unloaded */
  return NULL;                    /* thread exit runs the destructors of the keys that are left */
}

/* A host's thread used the library and ends after it was unloaded. */
static void outlived_by_a_thread(void) {
  void* library = load();
  pthread_t user;
  if (library == NULL) return;
  pthread_barrier_init(&barrier, NULL, 2);
  pthread_create(&user, NULL, use_then_outlive, library);
  pthread_barrier_wait(&barrier);
  unload(library);
  pthread_barrier_wait(&barrier);
  pthread_join(user, NULL);
  pthread_barrier_destroy(&barrier);
}

/* More rounds than a process has thread keys, were each to leave one. */
static void leaves_nothing(const char* name, void (*round)(void), int rounds) {
  for (int i = 0; i < WARM_UP_ROUNDS; ++i) round();
  footprint before = measure();
  for (int i = 0; i < rounds; ++i) round();
  footprint after = measure();
  printf("%s, %d rounds: mappings %zu -> %zu, address space %zu -> %zu KiB, malloc %zu -> %zu bytes\n", name, rounds,
         before.mappings, after.mappings, before.virtual_kib, after.virtual_kib, before.malloc_bytes,
         after.malloc_bytes);
  CHECK(after.mappings <= before.mappings + 2);
  CHECK(after.virtual_kib <= before.virtual_kib + 256);
  CHECK(after.malloc_bytes <= before.malloc_bytes + 4096);
  CHECK(after.descriptors == before.descriptors);
  CHECK(after.threads == before.threads);
}

int main(int argc, char** argv) {
  pthread_key_t key;
  if (argc != 2) return 2;
  library_path = argv[1];
  mallopt(M_ARENA_MAX, 1);
  leaves_nothing("one thread", in_one_thread, ROUNDS);
  leaves_nothing("across threads", across_threads, ROUNDS);
  leaves_nothing("outlived by a thread", outlived_by_a_thread, ROUNDS);
  CHECK(pthread_key_create(&key, NULL) == 0 && key < 64);
  return failures == 0 ? 0 : 1;
}
