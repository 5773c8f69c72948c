// What happens when the shared library is loaded and unloaded: it leaves nothing behind (docs/decisions/002).
#include "base/heap.h"

#if defined(FASTSERVE_HAVE_MIMALLOC)
extern "C" void fastserve_heap_start();
extern "C" void fastserve_heap_trim();
extern "C" void fastserve_heap_stop();
#endif
#if defined(FASTSERVE_HAVE_STATIC_LIBSTDCXX)
namespace __gnu_cxx {
void __freeres();  // of libstdc++: frees the reserve that lets bad_alloc be thrown when malloc fails
}
#endif

namespace {

#if defined(FASTSERVE_HAVE_MIMALLOC)
[[gnu::constructor(101)]] void on_load() {
  fastserve_heap_start();
  fastserve::set_heap_trim(fastserve_heap_trim);
}
#endif

// Priority 101 runs after the destructors of the library's static objects.
[[gnu::destructor(101)]] void on_unload() {
  if (fastserve::HeapUser::any()) return;
#if defined(FASTSERVE_HAVE_STATIC_LIBSTDCXX)
  __gnu_cxx::__freeres();
#endif
#if defined(FASTSERVE_HAVE_MIMALLOC)
  fastserve_heap_stop();
#endif
}

}  // namespace
