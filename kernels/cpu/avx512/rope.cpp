// Rotary embedding for AVX-512.
#include "kernels/cpu/avx512/vec16.h"
#include "kernels/cpu/cpu_kernels.h"
#include "kernels/cpu/simd/simd_rope.h"

namespace fastserve::kernels::avx512 {

void rope(const RopeArgs* args) { rope_rows(*args); }

}  // namespace fastserve::kernels::avx512
