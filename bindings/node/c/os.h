/* What the addon needs of the system: a thread, and a gate at which it waits. */
#ifndef FASTSERVE_ADDON_OS_H
#define FASTSERVE_ADDON_OS_H

#include <stdbool.h>

typedef struct os_thread os_thread;
os_thread* os_thread_start(void (*run)(void* context), void* context); /* NULL: refused */
void os_thread_join(os_thread* thread);                                /* frees it */

typedef struct os_gate os_gate;
os_gate* os_gate_create(void); /* open; NULL: out of memory */
void os_gate_destroy(os_gate* gate);
void os_gate_shut(os_gate* gate);
void os_gate_open(os_gate* gate);
void os_gate_pass(os_gate* gate); /* waits until it is open */

#endif
