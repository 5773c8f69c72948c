// Products of weights with a scale for 16 values.
#include "kernels/cuda/tile_kernel.cuh"

namespace fastserve::kernels::cuda {

FSV_INSTANTIATE_PANELS(kQ6K)
FSV_INSTANTIATE_PANELS(kQ3K)
FSV_INSTANTIATE_PANELS(kQ2K)

}  // namespace fastserve::kernels::cuda
