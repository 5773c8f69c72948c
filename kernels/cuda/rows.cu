// Embedding rows, rows of a head, sums and soft caps: bound by the bytes they touch.
#include "kernels/cuda/entries.cuh"
#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/panel_values.cuh"

namespace fastserve::kernels::cuda {
namespace {

struct LookUp {
  const uint8_t* data;
  int64_t panel_bytes, cols;
  const int32_t* row_ids;
  float* output;
  int64_t output_stride;
  float scale;
};

template <PackedLayout layout>
__global__ void __launch_bounds__(kThreads) get_rows_kernel(LookUp look) {
  const int64_t id = look.row_ids[blockIdx.x];
  const int64_t k = static_cast<int64_t>(blockIdx.y) * kThreads + threadIdx.x;
  if (k >= look.cols) return;
  const uint8_t* panel = look.data + id / kPanelRows * look.panel_bytes;
  look.output[blockIdx.x * look.output_stride + k] =
      __fmul_rn(panel_value<layout>(panel, k, static_cast<int>(id % kPanelRows)), look.scale);
}

__global__ void __launch_bounds__(kThreads) select_rows_kernel(DeviceSelectRowsArgs args) {
  const int32_t id = args.row_ids[blockIdx.x];
  const int64_t c = static_cast<int64_t>(blockIdx.y) * kThreads + threadIdx.x;
  if (c >= args.cols) return;
  args.output[blockIdx.x * args.output_stride + c] = id < 0 ? 0.0f : args.input[id * args.input_stride + c];
}

__global__ void __launch_bounds__(kThreads) softcap_kernel(DeviceSoftcapArgs args) {
  const int64_t c = static_cast<int64_t>(blockIdx.y) * kThreads + threadIdx.x;
  if (c >= args.cols) return;
  float& value = args.values[blockIdx.x * args.stride + c];
  value = args.cap * tanhf(value / args.cap);
}

__global__ void __launch_bounds__(kThreads) add_kernel(AddArgs args) {
  const int64_t i = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x;
  if (i < args.count) args.out[i] = args.a[i] + args.b[i];
}

Grid grid_of(int64_t rows, int64_t cols) { return {rows, divide_up(cols, kThreads)}; }

}  // namespace

DeviceResult get_rows(DeviceQueue* queue, const GetRowsArgs* args, DeviceMessage* message) {
  const PackedMatrix& w = *args->weights;
  const LookUp look = {w.data, w.panel_bytes, w.cols, args->row_ids, args->output, args->output_stride, args->scale};
  return with_layout(
      w.layout,
      [&](auto tag) {
        return launch(queue, "get_rows", get_rows_kernel<decltype(tag)::layout>, grid_of(args->count, w.cols), 0,
                      message, look);
      },
      DeviceResult::kInvalid);
}

DeviceResult select_rows(DeviceQueue* queue, const DeviceSelectRowsArgs* args, DeviceMessage* message) {
  return launch(queue, "select_rows", select_rows_kernel, grid_of(args->count, args->cols), 0, message, *args);
}

DeviceResult softcap(DeviceQueue* queue, const DeviceSoftcapArgs* args, DeviceMessage* message) {
  return launch(queue, "softcap", softcap_kernel, grid_of(args->rows, args->cols), 0, message, *args);
}

DeviceResult add(DeviceQueue* queue, const AddArgs* args, DeviceMessage* message) {
  return launch(queue, "add", add_kernel, {divide_up(args->count, kThreads)}, 0, message, *args);
}

}  // namespace fastserve::kernels::cuda
