// Products of 4-bit weights with a scale for 32 values.
#include "kernels/cuda/tile_kernel.cuh"

namespace fastserve::kernels::cuda {

FSV_INSTANTIATE_PANELS(kQ4)
FSV_INSTANTIATE_PANELS(kQ4Min)
FSV_INSTANTIATE_PANELS(kQ4Table)

}  // namespace fastserve::kernels::cuda
