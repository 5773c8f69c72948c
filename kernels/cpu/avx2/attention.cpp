// Attention over the paged cache for AVX2.
#include "kernels/cpu/avx2/vec16.h"
#include "kernels/cpu/cpu_kernels.h"
#include "kernels/cpu/simd/simd_attention.h"

namespace fastserve::kernels::avx2 {

void attention(const AttentionArgs* args) { attend_all(*args); }

}  // namespace fastserve::kernels::avx2
