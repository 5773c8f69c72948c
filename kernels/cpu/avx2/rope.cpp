// Rotary embedding for AVX2.
#include "kernels/cpu/avx2/vec16.h"
#include "kernels/cpu/cpu_kernels.h"
#include "kernels/cpu/simd/simd_rope.h"

namespace fastserve::kernels::avx2 {

void rope(const RopeArgs* args) { rope_rows(*args); }

}  // namespace fastserve::kernels::avx2
