// Products of 8-bit weights.
#include "kernels/cuda/tile_kernel.cuh"

namespace fastserve::kernels::cuda {

FSV_INSTANTIATE_PANELS(kQ8)

}  // namespace fastserve::kernels::cuda
