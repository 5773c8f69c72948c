// Maxima of blocks of logits for AVX2.
#include "kernels/cpu/avx2/vec16.h"
#include "kernels/cpu/cpu_kernels.h"
#include "kernels/cpu/simd/simd_block_max.h"

namespace fastserve::kernels::avx2 {

void block_max(const BlockMaxArgs* args) { block_max_all(*args); }

}  // namespace fastserve::kernels::avx2
