// Appending to the paged cache for AVX-512.
#include "kernels/cpu/avx512/vec16.h"
#include "kernels/cpu/cpu_kernels.h"
#include "kernels/cpu/simd/simd_kv_append.h"

namespace fastserve::kernels::avx512 {

void kv_append(const KvAppendArgs* args) { append_all(*args); }

}  // namespace fastserve::kernels::avx512
