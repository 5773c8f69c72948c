#include "kernels/cuda/blas_product.cuh"

namespace fastserve::kernels::cuda {
namespace {

constexpr int kUnpackCols = kThreads / kPanelRows * 8;  // of a block

int64_t chunk_panels(int64_t cols) {
  const int64_t panels = blas_weights_bytes / (blas_weights_stride(cols) * 2 * kPanelRows);
  return panels > 0 ? panels : 1;
}

struct Unpacking {
  const uint8_t* panels;
  int64_t panel_bytes;
  uint16_t* rows;
  int64_t stride;
  int32_t cols;
};

// A thread has eight columns of a row: four words of two columns, sixteen bytes of output. Bound: memory, a reading and
// a writing of the weights.
__global__ void __launch_bounds__(kThreads) unpack_bf16_kernel(Unpacking u) {
  const int row = static_cast<int>(threadIdx.x) % kPanelRows;
  const int64_t column = static_cast<int64_t>(blockIdx.x) * kUnpackCols + threadIdx.x / kPanelRows * 8;
  if (column >= u.stride) return;
  const auto* words = reinterpret_cast<const uint32_t*>(u.panels + static_cast<int64_t>(blockIdx.y) * u.panel_bytes);
  const int64_t pairs = (static_cast<int64_t>(u.cols) + 1) / 2;
  uint32_t values[4];
  FSV_UNROLL for (int i = 0; i < 4; ++i) {
    const int64_t pair = column / 2 + i;
    values[i] = pair < pairs ? words[pair * kPanelRows + row] : 0;
  }
  uint16_t* target = u.rows + (static_cast<int64_t>(blockIdx.y) * kPanelRows + row) * u.stride + column;
  *reinterpret_cast<uint4*>(target) = make_uint4(values[0], values[1], values[2], values[3]);
}

}  // namespace

uint64_t blas_scratch_bytes(const PackedMatrix& weights) {
  const int64_t all = divide_up(weights.rows, kPanelRows), most = chunk_panels(weights.cols);
  const int64_t rows = (all < most ? all : most) * kPanelRows;
  return align_up(static_cast<uint64_t>(rows * blas_weights_stride(weights.cols) * 2), 256) +
         static_cast<uint64_t>(blas_workspace_bytes);
}

DeviceResult run_blas(DeviceQueue* queue, PanelProduct& product, uint8_t* scratch, DeviceMessage* message) {
  Blas* const blas = blas_of(queue);
  PanelOutput& output = product.outputs[0];
  const bool is_aligned = output.stride % 4 == 0 && reinterpret_cast<uintptr_t>(output.output) % 16 == 0;
  if (blas == nullptr || !is_aligned) return DeviceResult::kOk;  // plans are made for multiples of 16 bytes
  const int64_t stride = blas_weights_stride(product.cols);
  while (output.panel_count > 0) {
    int64_t count = chunk_panels(product.cols);
    count = count < kGridMax ? count : kGridMax;
    count = count < output.panel_count ? count : output.panel_count;
    const int64_t first_row = output.first_panel * kPanelRows, rows_left = output.rows - first_row;
    auto* weights = reinterpret_cast<uint16_t*>(scratch + blas_workspace_bytes);
    const Unpacking unpacking = {output.data + output.first_panel * output.panel_bytes, output.panel_bytes, weights,
                                 stride, product.cols};
    BlasProduct p = {};
    p.weights = weights;
    p.weights_stride = stride;
    p.rows = reinterpret_cast<const uint16_t*>(product.rows.data);
    p.rows_stride = product.rows.stride_bytes / 2;
    p.output = output.output + first_row;
    p.output_stride = output.stride;
    p.bias = output.bias != nullptr ? output.bias + first_row : nullptr;
    p.adds = output.adds != 0;
    p.m = product.rows.m;
    p.n = count * kPanelRows < rows_left ? count * kPanelRows : rows_left;
    p.k = product.cols;
    p.workspace = scratch;
    p.workspace_bytes = static_cast<size_t>(blas_workspace_bytes);
#if defined(__CUDACC__)
    const UseContext use(*queue->context);
    if (use.result() != cudaSuccess) return check_cuda(use.result(), "cuBLASLt", message);
#endif
    if (!blas->accepts(p)) return DeviceResult::kOk;
    FSV_DEVICE_TRY(launch(queue, "unpacking of bf16 weights", unpack_bf16_kernel,
                          Grid{divide_up(stride, kUnpackCols), count}, 0, message, unpacking));
    if (!blas->multiply(p, stream_of(queue))) return DeviceResult::kOk;
    output.first_panel += count;
    output.panel_count -= count;
  }
  return DeviceResult::kOk;
}

}  // namespace fastserve::kernels::cuda
