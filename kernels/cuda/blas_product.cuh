// A product of many rows by bf16 weights, by cuBLASLt: panels are laid out as rows, some at a time, and multiplied.
#pragma once
#include "kernels/cuda/blas.h"
#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/panel_product.cuh"

namespace fastserve::kernels::cuda {

#if defined(__CUDACC__)
// Weights that are laid out at a time: enough columns of output to fill a device, not a second copy of a model.
constexpr int64_t blas_weights_bytes = int64_t{64} << 20;
constexpr int64_t blas_workspace_bytes = int64_t{32} << 20;
inline Blas* blas_of(DeviceQueue* queue) { return queue->context->blas; }
inline void* stream_of(DeviceQueue* queue) { return queue->stream; }
#else
inline int64_t blas_weights_bytes = int64_t{64} << 20, blas_workspace_bytes = int64_t{32} << 20;  // tests: smaller
inline Blas* emulated_blas = nullptr;
inline Blas* blas_of(DeviceQueue*) { return simt::enqueue == nullptr ? emulated_blas : nullptr; }
inline void* stream_of(DeviceQueue*) { return nullptr; }
#endif
constexpr int64_t kBlasRowsMin = 128;

constexpr int64_t blas_weights_stride(int64_t cols) { return (cols + 7) / 8 * 8; }
// Whether cuBLASLt may compute so many rows.
inline bool asks_blas(PackedLayout layout, int64_t m, uint32_t flags) {
  return (flags & kDeviceBlas) != 0 && (flags & (kDeviceInvariant | kDeviceExact)) == 0 &&
         layout == PackedLayout::kBF16 && m >= kBlasRowsMin;
}
uint64_t blas_scratch_bytes(const PackedMatrix& weights);

// Computes panels of product.outputs[0] from the first on, and takes those that are done out of it: what is left is for
// our own kernels. `scratch` has blas_scratch_bytes.
DeviceResult run_blas(DeviceQueue* queue, PanelProduct& product, uint8_t* scratch, DeviceMessage* message);

}  // namespace fastserve::kernels::cuda
