// Products of 5-bit weights with a scale for 32 values.
#include "kernels/cuda/tile_kernel.cuh"

namespace fastserve::kernels::cuda {

FSV_INSTANTIATE_PANELS(kQ5)
FSV_INSTANTIATE_PANELS(kQ5Min)

}  // namespace fastserve::kernels::cuda
