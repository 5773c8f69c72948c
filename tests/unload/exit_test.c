/* A host ends without releasing its engine, while threads of its own still call the library: it must end quietly. Each
 * round is a process of its own, since what is tested is how processes end. */
#define _GNU_SOURCE
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fastserve.h"

enum { ROUNDS = 20, THREADS = 3 };

/* Allocates inside the library, again and again, until the process is gone. */
static void* keep_calling(void* unused) {
  (void)unused;
  for (;;) {
    fsv_error error;
    size_t size = 0;
    fsv_model_inspect_json("no/such/file.gguf", SIZE_MAX, NULL, 0, &size, &error);
  }
  return NULL;
}

static int host(void) {
  fsv_engine* engine = NULL;
  fsv_engine_config config;
  fsv_engine_config_init(&config, sizeof(config));
  config.thread_count = 2;
  if (fsv_engine_create(&config, &engine, NULL) != FSV_OK) return 1;
  for (int i = 0; i < THREADS; ++i) {
    pthread_t thread;
    if (pthread_create(&thread, NULL, keep_calling, NULL) != 0) return 2;
    pthread_detach(thread);
  }
  usleep(5000);
  return 0;
}

int main(void) {
  setvbuf(stdout, NULL, _IONBF, 0); /* children must not print what the parent has buffered */
  int failures = 0;
  for (int i = 0; i < ROUNDS; ++i) {
    int status = 0;
    const pid_t child = fork();
    if (child == 0) exit(host()); /* exit, not _exit: handlers and destructors run */
    if (child < 0 || waitpid(child, &status, 0) != child) return 2;
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) {
      printf("round %d: ended with status %#x\n", i, (unsigned)status);
      ++failures;
    }
  }
  return failures == 0 ? 0 : 1;
}
