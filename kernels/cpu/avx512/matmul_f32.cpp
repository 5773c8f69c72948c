// Matrix kernels on float activations for AVX-512.
#include "kernels/cpu/avx512/bytes64.h"
#include "kernels/cpu/cpu_kernels.h"
#include "kernels/cpu/simd/simd_matmul_float.h"

namespace fastserve::kernels::avx512 {

MatmulFn matmul_f32(PackedLayout layout) { return matmul_float_of(layout); }

}  // namespace fastserve::kernels::avx512
