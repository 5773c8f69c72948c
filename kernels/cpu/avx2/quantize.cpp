// Activations to int8 for AVX2.
#include "kernels/cpu/avx2/vec16.h"
#include "kernels/cpu/cpu_kernels.h"
#include "kernels/cpu/simd/simd_quantize.h"

namespace fastserve::kernels::avx2 {

void quantize_q8(const QuantizeArgs* args) { quantize_rows(*args); }

}  // namespace fastserve::kernels::avx2
