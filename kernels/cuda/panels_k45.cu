// Products of 4- and 5-bit weights in groups of 256.
#include "kernels/cuda/tile_kernel.cuh"

namespace fastserve::kernels::cuda {

FSV_INSTANTIATE_PANELS(kQ4K)
FSV_INSTANTIATE_PANELS(kQ5K)

}  // namespace fastserve::kernels::cuda
