/* A host forks while its engine and its own threads are inside the library. The child has none of those threads: it may
 * not use what the parent created, but it must end, by exit() or by _exit(), and the parent must not notice. */
#define _GNU_SOURCE
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fastserve.h"

enum { ROUNDS = 40, THREADS = 2, CHILD_SECONDS = 20 };

static volatile int stop = 0;

/* Keeps the heap and the library's locks busy, so that forks happen in the middle of things. */
static void* keep_calling(void* engine) {
  while (!stop) {
    fsv_error error;
    size_t size = 0;
    fsv_metrics metrics;
    fsv_metrics_init(&metrics, sizeof(metrics));
    fsv_model_inspect_json("no/such/file.gguf", SIZE_MAX, NULL, 0, &size, &error);
    if (fsv_metrics_snapshot(engine, &metrics, &error) != FSV_OK) return engine;
  }
  return NULL;
}

int main(void) {
  setvbuf(stdout, NULL, _IONBF, 0); /* children must not print what the parent has buffered */
  fsv_engine* engine = NULL;
  fsv_engine_config config;
  fsv_engine_config_init(&config, sizeof(config));
  config.thread_count = 2;
  if (fsv_engine_create(&config, &engine, NULL) != FSV_OK) return 2;
  pthread_t threads[THREADS];
  int failures = 0;
  for (int i = 0; i < THREADS; ++i) {
    if (pthread_create(&threads[i], NULL, keep_calling, engine) != 0) return 2;
  }
  for (int i = 0; i < ROUNDS; ++i) {
    int status = 0;
    const pid_t child = fork();
    if (child == 0) {
      alarm(CHILD_SECONDS); /* a child that hangs is killed, and counts */
      if (i % 2 == 0) exit(0);
      _exit(0);
    }
    if (child < 0 || waitpid(child, &status, 0) != child) return 2;
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) {
      printf("round %d: the child ended with status %#x\n", i, (unsigned)status);
      ++failures;
    }
  }
  stop = 1;
  for (int i = 0; i < THREADS; ++i) {
    void* result = NULL;
    pthread_join(threads[i], &result);
    failures += result != NULL;
  }
  if (fsv_engine_release(engine, NULL) != FSV_OK) ++failures;
  return failures == 0 ? 0 : 1;
}
