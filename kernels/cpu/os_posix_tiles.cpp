// Linux gives AMX tiles only to a process that asks, once for all its threads.
#ifndef _WIN32
#include "kernels/cpu/cpu_kernels.h"

#ifdef __linux__
#include <sys/syscall.h>
#include <unistd.h>
#endif

namespace fastserve::kernels {

bool request_tiles() {
#if defined(__linux__) && defined(__x86_64__)
  constexpr long kRequestPermission = 0x1023;  // ARCH_REQ_XCOMP_PERM
  constexpr long kTileData = 18;
  return syscall(SYS_arch_prctl, kRequestPermission, kTileData) == 0;
#else
  return false;
#endif
}

}  // namespace fastserve::kernels
#endif
