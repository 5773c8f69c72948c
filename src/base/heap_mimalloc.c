/* The private mimalloc: its sources, fetched or named by FASTSERVE_MIMALLOC_SOURCE, as one unit with our settings.
 * It reads no environment variable, prints nothing, overrides nothing and registers no exit handler by itself;
 * unload.cpp starts and stops it. */
#define MI_DEBUG 0
#define MI_SECURE 0
#define MI_STAT 0
#define MI_NO_GETENV 1
/* KiB. The library's large buffers are mappings of its own, so that small arenas do; upstream reserves 1 GiB. */
#define MI_DEFAULT_ARENA_RESERVE (64L * 1024L)
/* The process's start and end are ours to see, not those of a constructor in mimalloc. */
#define MI_PRIM_HAS_PROCESS_ATTACH 1

#define _DEFAULT_SOURCE
#include <stdio.h>
#include <stdlib.h>
#undef fputs
#define fputs(text, stream) ((void)(text), (void)(stream))
#define abort() ((void)0) /* of mi_new alone, which is not used */
/* A heap of a few mebibytes that comes and goes does not want huge pages: each would stay for the least that lives in
 * it. Where the system gives them to all, it is asked not to. */
#ifdef __linux__
#include <linux/mman.h> /* mimalloc includes it too, and it would define the name again */
#include <sys/mman.h>
#ifdef MADV_HUGEPAGE
#undef MADV_HUGEPAGE
#define MADV_HUGEPAGE MADV_NOHUGEPAGE
#endif
#endif

#include <static.c>

void fastserve_heap_start(void);
void fastserve_heap_trim(void);
void fastserve_heap_stop(void);

/* mimalloc takes the thread that loads it for the process's main thread, which never ends, and remembers it by its
 * thread pointer. A host may load the library in a thread that ends, and the next thread may get the same pointer: it
 * would be taken for the main one and find that one's data released. So the loading thread gives the role up at once
 * (no thread pointer equals the address of our own data) and is a thread like every other. */
void fastserve_heap_start(void) {
  _mi_auto_process_init();
  _mi_theap_cached_set((mi_theap_t*)&_mi_theap_empty);
  __mi_theap_default = (mi_theap_t*)&_mi_theap_empty;
  __mi_theap_main = NULL;
  _mi_prim_thread_associate_default_theap(NULL);
  tld_main.thread_id = (mi_threadid_t)&tld_main;
}

/* Gives what is free back to the system: that of the calling thread, of threads that have ended, and of the arenas. */
void fastserve_heap_trim(void) { mi_collect(true); }

/* Gives all memory back to the system and frees the thread keys; the heap cannot be used afterwards. The calling
 * thread's part goes first, by the ordinary way of a thread that ends: the destruction below walks over it. */
void fastserve_heap_stop(void) {
  mi_thread_done();
  mi_option_set(mi_option_destroy_on_exit, 1);
  _mi_auto_process_done();
}
