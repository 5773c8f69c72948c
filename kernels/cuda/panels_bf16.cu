// Products of bf16 weights.
#include "kernels/cuda/tile_kernel.cuh"

namespace fastserve::kernels::cuda {

FSV_INSTANTIATE_PANELS(kBF16)

}  // namespace fastserve::kernels::cuda
