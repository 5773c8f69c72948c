// Windows gives AMX tiles to every process where the processor's state says so (XCR0, see cpu_features.cpp).
#ifdef _WIN32
#include "kernels/cpu/cpu_kernels.h"

namespace fastserve::kernels {

bool request_tiles() { return true; }

}  // namespace fastserve::kernels
#endif
