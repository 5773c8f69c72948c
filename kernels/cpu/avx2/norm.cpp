// rms_norm and layer_norm for AVX2.
#include "kernels/cpu/avx2/vec16.h"
#include "kernels/cpu/cpu_kernels.h"
#include "kernels/cpu/simd/simd_norm.h"

namespace fastserve::kernels::avx2 {

void rms_norm(const RmsNormArgs* args) { rms_norm_rows(*args); }
void rms_norm_quantize(const RmsNormQuantizeArgs* args) { rms_norm_quantize_rows(*args, quantize_q8); }
void layer_norm(const LayerNormArgs* args) { layer_norm_rows(*args); }

}  // namespace fastserve::kernels::avx2
