// Appending to the paged cache for AVX2.
#include "kernels/cpu/avx2/vec16.h"
#include "kernels/cpu/cpu_kernels.h"
#include "kernels/cpu/simd/simd_kv_append.h"

namespace fastserve::kernels::avx2 {

void kv_append(const KvAppendArgs* args) { append_all(*args); }

}  // namespace fastserve::kernels::avx2
