// Gated activations and add for AVX2.
#include "kernels/cpu/avx2/vec16.h"
#include "kernels/cpu/cpu_kernels.h"
#include "kernels/cpu/simd/simd_gated.h"

namespace fastserve::kernels::avx2 {

void gated(const GatedArgs* args) { gated_rows(*args); }
void gated_quantize(const GatedQuantizeArgs* args) { gated_quantize_rows(*args, quantize_q8); }
void add(const AddArgs* args) { add_all(*args); }

}  // namespace fastserve::kernels::avx2
