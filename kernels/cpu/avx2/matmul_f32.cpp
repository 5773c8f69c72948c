// Matrix kernels on float activations for AVX2.
#include "kernels/cpu/avx2/bytes64.h"
#include "kernels/cpu/cpu_kernels.h"
#include "kernels/cpu/simd/simd_matmul_float.h"

namespace fastserve::kernels::avx2 {

MatmulFn matmul_f32(PackedLayout layout) { return matmul_float_of(layout); }

}  // namespace fastserve::kernels::avx2
