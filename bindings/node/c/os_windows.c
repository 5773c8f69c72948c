#ifdef _WIN32
#include <stdlib.h>
#include <windows.h>

#include "os.h"

struct os_thread {
  HANDLE handle;
  void (*run)(void* context);
  void* context;
};

static DWORD WINAPI run_thread(void* data) {
  os_thread* const thread = data;
  thread->run(thread->context);
  return 0;
}

os_thread* os_thread_start(void (*run)(void* context), void* context) {
  os_thread* const thread = malloc(sizeof(*thread));
  if (thread == NULL) return NULL;
  thread->run = run;
  thread->context = context;
  thread->handle = CreateThread(NULL, 0, run_thread, thread, 0, NULL);
  if (thread->handle != NULL) return thread;
  free(thread);
  return NULL;
}

void os_thread_join(os_thread* thread) {
  WaitForSingleObject(thread->handle, INFINITE);
  CloseHandle(thread->handle);
  free(thread);
}

struct os_gate {
  HANDLE event; /* stays signalled until it is reset */
};

os_gate* os_gate_create(void) {
  os_gate* const gate = malloc(sizeof(*gate));
  if (gate == NULL) return NULL;
  gate->event = CreateEventW(NULL, TRUE, TRUE, NULL);
  if (gate->event != NULL) return gate;
  free(gate);
  return NULL;
}

void os_gate_destroy(os_gate* gate) {
  if (gate == NULL) return;
  CloseHandle(gate->event);
  free(gate);
}

void os_gate_shut(os_gate* gate) { ResetEvent(gate->event); }

void os_gate_open(os_gate* gate) { SetEvent(gate->event); }

void os_gate_pass(os_gate* gate) { WaitForSingleObject(gate->event, INFINITE); }
#endif
