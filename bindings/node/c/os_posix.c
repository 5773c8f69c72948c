#ifndef _WIN32
#include <pthread.h>
#include <stdlib.h>

#include "os.h"

struct os_thread {
  pthread_t id;
  void (*run)(void* context);
  void* context;
};

static void* run_thread(void* data) {
  os_thread* const thread = data;
  thread->run(thread->context);
  return NULL;
}

os_thread* os_thread_start(void (*run)(void* context), void* context) {
  os_thread* const thread = malloc(sizeof(*thread));
  if (thread == NULL) return NULL;
  thread->run = run;
  thread->context = context;
  if (pthread_create(&thread->id, NULL, run_thread, thread) == 0) return thread;
  free(thread);
  return NULL;
}

void os_thread_join(os_thread* thread) {
  pthread_join(thread->id, NULL);
  free(thread);
}

struct os_gate {
  pthread_mutex_t mutex;
  pthread_cond_t changed;
  bool is_open;
};

os_gate* os_gate_create(void) {
  os_gate* const gate = malloc(sizeof(*gate));
  if (gate == NULL) return NULL;
  pthread_mutex_init(&gate->mutex, NULL);
  pthread_cond_init(&gate->changed, NULL);
  gate->is_open = true;
  return gate;
}

void os_gate_destroy(os_gate* gate) {
  if (gate == NULL) return;
  pthread_cond_destroy(&gate->changed);
  pthread_mutex_destroy(&gate->mutex);
  free(gate);
}

static void set_open(os_gate* gate, bool is_open) {
  pthread_mutex_lock(&gate->mutex);
  gate->is_open = is_open;
  pthread_cond_broadcast(&gate->changed);
  pthread_mutex_unlock(&gate->mutex);
}

void os_gate_shut(os_gate* gate) { set_open(gate, false); }

void os_gate_open(os_gate* gate) { set_open(gate, true); }

void os_gate_pass(os_gate* gate) {
  pthread_mutex_lock(&gate->mutex);
  while (!gate->is_open) pthread_cond_wait(&gate->changed, &gate->mutex);
  pthread_mutex_unlock(&gate->mutex);
}
#endif
