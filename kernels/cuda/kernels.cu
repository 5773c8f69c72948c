// The table of what this library computes.
#include "kernels/cuda/entries.cuh"

namespace fastserve::kernels {

const DeviceKernels kDeviceKernels = {
    kDeviceKernelsVersion,
    sizeof(DeviceKernels),
    cuda::get_rows,
    cuda::select_rows,
    cuda::softcap,
    cuda::sample,
    cuda::matmul,
    cuda::matmul_scratch_bytes,
    cuda::experts,
    cuda::experts_scratch_bytes,
    cuda::route,
    cuda::rope_angles,
    cuda::rope_append,
    cuda::attention,
    cuda::attention_scratch_bytes,
    cuda::rms_norm,
    cuda::layer_norm,
    cuda::rms_norm_quantize,
    cuda::quantize_q8,
    cuda::round_bf16,
    cuda::gated,
    cuda::gated_quantize,
    cuda::add,
    cuda::rope,
    cuda::kv_append,
};

}  // namespace fastserve::kernels
