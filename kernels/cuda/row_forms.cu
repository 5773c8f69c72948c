// Norms, activations, quantising and rounding as ops of their own. Bound: bytes of input and output.
#include "kernels/cuda/row_forms.cuh"

#include "kernels/cuda/entries.cuh"
#include "kernels/cuda/launch.cuh"

namespace fastserve::kernels::cuda {
namespace {

struct PrepareArgs {
  RowSource source;
  RowSink sink;
  int64_t row_begin;
  int64_t columns_of_block;
  int64_t columns;  // padding of the sink included
};

__global__ void __launch_bounds__(kThreads) prepare_kernel(PrepareArgs args) {
  auto* room = reinterpret_cast<float*>(shared_memory());
  const int64_t vector = blockIdx.x, begin = blockIdx.y * args.columns_of_block;
  const int64_t end = begin + args.columns_of_block < args.columns ? begin + args.columns_of_block : args.columns;
  const int64_t target = args.row_begin + vector / args.source.parts;
  const int64_t row = args.source.row_map != nullptr ? args.source.row_map[target] : target;
  prepare_columns(args.source, args.sink, row, vector % args.source.parts, target, begin, end, room);
}

RowSource norm_source(const RmsNormArgs& args) {
  RowSource source;
  source.rows = args.input;
  source.stride = args.input_stride;
  source.cols = args.cols;
  source.parts = args.parts > 0 ? args.parts : 1;
  source.prologue = DevicePrologue::kRmsNorm;
  source.norm_weight = args.weight;
  source.weight_offset = args.weight_offset;
  source.eps = args.eps;
  return source;
}

RowSource gated_source(const GatedArgs& args) {
  RowSource source;
  source.rows = args.gate;
  source.stride = args.gate_stride;
  source.cols = args.cols;
  source.prologue = DevicePrologue::kGated;
  source.activation = args.activation;
  source.up = args.up;
  source.up_stride = args.up_stride;
  return source;
}

RowSink float_sink(float* output, int64_t stride) {
  RowSink sink;
  sink.floats = output;
  sink.stride = stride;
  return sink;
}

RowSink quantized_sink(const QuantizedRows& rows) {
  RowSink sink;
  sink.values = rows.values;
  sink.values_stride = rows.cols;
  sink.scales = rows.scales;
  sink.sums = rows.sums;
  sink.scales_stride = rows.cols / kActivationBlock;
  return sink;
}

}  // namespace

DeviceResult prepare_rows(DeviceQueue* queue, const char* what, const RowSource& source, const RowSink& sink,
                          int64_t row_begin, int64_t row_end, DeviceMessage* message) {
  if (sink.values != nullptr && source.cols % kActivationBlock != 0) {
    return invalid(message, "quantised rows need a multiple of 32 columns");
  }
  PrepareArgs args = {source, sink, row_begin, 0, source.cols};
  if (sink.rounded != nullptr && sink.rounded_stride > args.columns) args.columns = sink.rounded_stride;
  const bool is_norm = source.prologue == DevicePrologue::kRmsNorm || source.prologue == DevicePrologue::kLayerNorm;
  args.columns_of_block = is_norm ? args.columns : 4 * kThreads;
  const Grid grid = {(row_end - row_begin) * source.parts,
                     args.columns > 0 ? divide_up(args.columns, args.columns_of_block) : 0};
  return launch(queue, what, prepare_kernel, grid, kWarps * sizeof(float), message, args);
}

DeviceResult rms_norm(DeviceQueue* queue, const RmsNormArgs* args, DeviceMessage* message) {
  return prepare_rows(queue, "rms_norm", norm_source(*args), float_sink(args->output, args->output_stride),
                      args->row_begin, args->row_end, message);
}

DeviceResult rms_norm_quantize(DeviceQueue* queue, const RmsNormQuantizeArgs* args, DeviceMessage* message) {
  if (args->norm.parts > 1) return invalid(message, "rms_norm_quantize: rows of several vectors");
  RowSink sink = quantized_sink(*args->quantized);
  sink.floats = args->norm.output;
  sink.stride = args->norm.output_stride;
  return prepare_rows(queue, "rms_norm_quantize", norm_source(args->norm), sink, args->norm.row_begin,
                      args->norm.row_end, message);
}

DeviceResult layer_norm(DeviceQueue* queue, const LayerNormArgs* args, DeviceMessage* message) {
  RowSource source;
  source.rows = args->input;
  source.stride = args->input_stride;
  source.cols = args->cols;
  source.prologue = DevicePrologue::kLayerNorm;
  source.norm_weight = args->weight;
  source.norm_bias = args->bias;
  source.eps = args->eps;
  return prepare_rows(queue, "layer_norm", source, float_sink(args->output, args->output_stride), args->row_begin,
                      args->row_end, message);
}

DeviceResult quantize_q8(DeviceQueue* queue, const QuantizeArgs* args, DeviceMessage* message) {
  RowSource source;
  source.rows = args->input;
  source.stride = args->input_stride;
  source.cols = args->output->cols;
  return prepare_rows(queue, "quantize_q8", source, quantized_sink(*args->output), args->row_begin, args->row_end,
                      message);
}

DeviceResult round_bf16(DeviceQueue* queue, const RoundBf16Args* args, DeviceMessage* message) {
  RowSource source;
  source.rows = args->input;
  source.stride = args->input_stride;
  source.cols = args->cols;
  RowSink sink;
  sink.rounded = args->output;
  sink.rounded_stride = args->output_stride;
  return prepare_rows(queue, "round_bf16", source, sink, args->row_begin, args->row_end, message);
}

DeviceResult gated(DeviceQueue* queue, const GatedArgs* args, DeviceMessage* message) {
  return prepare_rows(queue, "gated", gated_source(*args), float_sink(args->output, args->output_stride),
                      args->row_begin, args->row_end, message);
}

DeviceResult gated_quantize(DeviceQueue* queue, const GatedQuantizeArgs* args, DeviceMessage* message) {
  return prepare_rows(queue, "gated_quantize", gated_source(args->gated), quantized_sink(*args->quantized),
                      args->gated.row_begin, args->gated.row_end, message);
}

}  // namespace fastserve::kernels::cuda
