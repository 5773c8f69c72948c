// The entry of matrix products: which form of the input each weight wants, what is made of it beforehand, and which
// kernels run. Scratch holds the forms that are not made inside a product.
#include "kernels/cuda/blas_product.cuh"
#include "kernels/cuda/entries.cuh"
#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/panel_product.cuh"
#include "kernels/cuda/panel_values.cuh"

namespace fastserve::kernels::cuda {
namespace {

// Where the forms of the input lie in the scratch; offsets of what is not wanted are those of what follows.
struct ScratchPlan {
  uint64_t floats = 0, values = 0, scales = 0, rounded = 0, up = 0, blas = 0, end = 0;
  bool has_floats = false, has_values = false, has_rounded = false;
};

ScratchPlan plan_scratch(const DeviceMatmulArgs& args) {
  constexpr uint64_t kAlignment = 256;
  ScratchPlan plan;
  uint64_t blas_bytes = 0;
  for (int o = 0; o < args.output_count; ++o) {
    const Form form = form_of(args.outputs[o].weights->layout, args.flags);
    plan.has_floats |= form == Form::kFloats && args.input.prologue != DevicePrologue::kNone;
    plan.has_values |= form == Form::kBytes;
    plan.has_rounded |= form == Form::kRounded;
    const PackedMatrix& weights = *args.outputs[o].weights;
    if (!asks_blas(weights.layout, args.input.m, args.flags)) continue;
    const uint64_t wanted = blas_scratch_bytes(weights);
    blas_bytes = wanted > blas_bytes ? wanted : blas_bytes;
  }
  const auto m = static_cast<uint64_t>(args.input.m), cols = static_cast<uint64_t>(args.input.cols);
  plan.values = align_up(plan.floats + (plan.has_floats ? m * align_up(cols, 4) * 4 : 0), kAlignment);
  plan.scales = align_up(plan.values + (plan.has_values ? m * cols : 0), kAlignment);
  plan.rounded = align_up(plan.scales + (plan.has_values ? m * (cols / kActivationBlock) * 4 : 0), kAlignment);
  const auto stride = static_cast<uint64_t>(rounded_stride(args.input.cols));
  plan.up = align_up(plan.rounded + (plan.has_rounded ? m * stride * 2 : 0), kAlignment);
  const auto rows = static_cast<uint64_t>(args.outputs[0].weights->rows);
  plan.blas = align_up(plan.up + (args.gates_outputs != 0 ? m * align_up(rows, 4) * 4 : 0), kAlignment);
  plan.end = align_up(plan.blas + blas_bytes, kAlignment);
  return plan;
}

RowSource source_of(const DeviceMatmulInput& input) {
  RowSource source;
  source.rows = input.rows;
  source.stride = input.stride;
  source.cols = input.cols;
  source.prologue = input.prologue;
  source.activation = input.activation;
  source.up = input.up;
  source.up_stride = input.up_stride;
  source.norm_weight = input.norm_weight;
  source.norm_bias = input.prologue == DevicePrologue::kLayerNorm ? input.norm_bias : nullptr;
  source.weight_offset = input.prologue == DevicePrologue::kRmsNorm ? input.weight_offset : 0.0f;
  source.eps = input.eps;
  return source;
}

PanelOutput output_of(const DeviceMatmulOutput& output) {
  const PackedMatrix& w = *output.weights;
  const int64_t all = divide_up(w.rows, kPanelRows);
  const int64_t end = output.panel_end < all ? output.panel_end : all;
  return {w.data,
          w.panel_bytes,
          w.rows,
          output.panel_begin,
          end > output.panel_begin ? end - output.panel_begin : 0,
          output.output,
          output.output_stride,
          output.bias,
          output.epilogue == Epilogue::kAdd ? 1 : 0};
}

const char* check(const DeviceMatmulArgs& args) {
  if (args.output_count < 1 || args.output_count > kDeviceOutputsMax) return "matmul: one to four outputs";
  if (args.gates_outputs != 0) {
    if (args.output_count != 2) return "matmul: gate and up are two outputs";
    const PackedMatrix &gate = *args.outputs[0].weights, &up = *args.outputs[1].weights;
    if (gate.rows != up.rows) return "matmul: gate and up of different sizes";
    if (args.outputs[0].epilogue != Epilogue::kStore) return "matmul: a gated output is stored, not added";
    if (args.outputs[0].panel_begin != args.outputs[1].panel_begin ||
        args.outputs[0].panel_end != args.outputs[1].panel_end) {
      return "matmul: gate and up of different panels";
    }
  }
  for (int o = 0; o < args.output_count; ++o) {
    const PackedMatrix& w = *args.outputs[o].weights;
    if (w.layout <= PackedLayout::kNone || w.layout >= PackedLayout::kCount) return "matmul: a layout without kernel";
    if (w.cols != args.input.cols) return "matmul: input and weight differ in columns";
    if (!is_float_layout(w.layout) && w.cols % kActivationBlock != 0) return "matmul: columns are no multiple of 32";
  }
  return nullptr;
}

// A few rows are made inside the product, by every block of it; where blocks are many or rows are wide, once before.
bool fuses(const DeviceMatmulArgs& args) {
  constexpr int64_t kFusedPanelsMax = 2048;
  if (args.input.m > kFewRows) return false;
  int64_t panels = 0;
  for (int o = 0; o < args.output_count; ++o) {
    const PackedLayout layout = args.outputs[o].weights->layout;
    if (form_of(layout, args.flags) == Form::kFloats) return false;
    if (fused_bytes(layout, args.input.cols, args.input.m) > kFusedBytesMax) return false;
    panels += divide_up(args.outputs[o].weights->rows, kPanelRows);
  }
  return panels <= kFusedPanelsMax;
}

template <PackedLayout layout>
DeviceResult run_layout(DeviceQueue* queue, const PanelProduct& product, uint32_t flags, DeviceMessage* message) {
  const bool is_many = product.tiles == nullptr && product.rows.m > kPanelRowsMax && (flags & kDeviceInvariant) == 0;
  return is_many ? launch_tiles<layout>(queue, product, message) : launch_panels<layout>(queue, product, message);
}

}  // namespace

DeviceResult run_product(DeviceQueue* queue, PackedLayout layout, const PanelProduct& product, uint32_t flags,
                         DeviceMessage* message) {
  if (form_of(layout, flags) == Form::kFloats) return launch_float_panels(queue, layout, product, message);
  return with_layout(
      layout,
      [&](auto tag) {
        constexpr PackedLayout kLayout = decltype(tag)::layout;
        if constexpr (kLayout == PackedLayout::kF32 || kLayout == PackedLayout::kF16) {
          return launch_float_panels(queue, kLayout, product, message);
        } else {
          return run_layout<kLayout>(queue, product, flags, message);
        }
      },
      DeviceResult::kInvalid);
}

namespace {

struct Inputs {
  ScratchPlan plan;
  uint8_t* scratch;
  bool fused;
};

void set_input(const DeviceMatmulArgs& args, const Inputs& inputs, Form form, PanelProduct& product) {
  const DeviceMatmulInput& input = args.input;
  const ScratchPlan& plan = inputs.plan;
  product.activation = args.output_activation;
  product.cols = static_cast<int32_t>(input.cols);
  product.rows.m = static_cast<int32_t>(input.m);
  product.float_rows = plan.has_floats ? reinterpret_cast<const float*>(inputs.scratch + plan.floats) : input.rows;
  product.float_stride = plan.has_floats ? static_cast<int64_t>(align_up(input.cols, 4)) : input.stride;
  product.fuses = inputs.fused ? 1 : 0;
  product.source = source_of(input);
  if (form == Form::kBytes) {
    product.rows.data = inputs.scratch + plan.values;
    product.rows.stride_bytes = input.cols;
    product.rows.scales = reinterpret_cast<const float*>(inputs.scratch + plan.scales);
    product.rows.scales_stride = input.cols / kActivationBlock;
  } else if (form == Form::kRounded) {
    product.rows.data = inputs.scratch + plan.rounded;
    product.rows.stride_bytes = 2 * rounded_stride(input.cols);
  }
}

DeviceResult prepare_input(DeviceQueue* queue, const DeviceMatmulArgs& args, const Inputs& inputs,
                           DeviceMessage* message) {
  const ScratchPlan& plan = inputs.plan;
  if (inputs.fused || !(plan.has_floats || plan.has_values || plan.has_rounded)) return DeviceResult::kOk;
  RowSink sink;
  if (plan.has_floats) {
    sink.floats = reinterpret_cast<float*>(inputs.scratch + plan.floats);
    sink.stride = static_cast<int64_t>(align_up(args.input.cols, 4));
  }
  if (plan.has_values) {
    sink.values = reinterpret_cast<int8_t*>(inputs.scratch + plan.values);
    sink.values_stride = args.input.cols;
    sink.scales = reinterpret_cast<float*>(inputs.scratch + plan.scales);
    sink.scales_stride = args.input.cols / kActivationBlock;
  }
  if (plan.has_rounded) {
    sink.rounded = reinterpret_cast<uint16_t*>(inputs.scratch + plan.rounded);
    sink.rounded_stride = rounded_stride(args.input.cols);
  }
  return prepare_rows(queue, "input of a matmul", source_of(args.input), sink, 0, args.input.m, message);
}

// One output, by a library as far as that goes.
DeviceResult run_alone(DeviceQueue* queue, const DeviceMatmulArgs& args, const Inputs& inputs, PackedLayout layout,
                       PanelProduct& product, DeviceMessage* message) {
  if (asks_blas(layout, args.input.m, args.flags)) {
    FSV_DEVICE_TRY(run_blas(queue, product, inputs.scratch + inputs.plan.blas, message));
    if (product.outputs[0].panel_count == 0) return DeviceResult::kOk;
  }
  return run_product(queue, layout, product, args.flags, message);
}

// Gate and up that no kernel computes together: one after the other, then gated in place.
DeviceResult run_gated_apart(DeviceQueue* queue, const DeviceMatmulArgs& args, const Inputs& inputs,
                             DeviceMessage* message) {
  const auto stride = static_cast<int64_t>(align_up(static_cast<uint64_t>(args.outputs[0].weights->rows), 4));
  auto* up = reinterpret_cast<float*>(inputs.scratch + inputs.plan.up);
  int64_t begin = 0, cols = 0;
  for (int o = 0; o < 2; ++o) {
    const PackedLayout layout = args.outputs[o].weights->layout;
    PanelProduct product = {};
    set_input(args, inputs, form_of(layout, args.flags), product);
    product.output_count = 1;
    product.outputs[0] = output_of(args.outputs[o]);
    if (o == 1) {
      product.outputs[0].output = up;
      product.outputs[0].stride = stride;
    }
    begin = product.outputs[0].first_panel * kPanelRows;
    cols = product.outputs[0].panel_count * kPanelRows;
    if (begin + cols > product.outputs[0].rows) cols = product.outputs[0].rows - begin;
    FSV_DEVICE_TRY(run_alone(queue, args, inputs, layout, product, message));
  }
  RowSource source;
  source.rows = args.outputs[0].output + begin;
  source.stride = args.outputs[0].output_stride;
  source.cols = cols;
  source.prologue = DevicePrologue::kGated;
  source.activation = args.output_activation;
  source.up = up + begin;
  source.up_stride = stride;
  RowSink sink;
  sink.floats = args.outputs[0].output + begin;
  sink.stride = args.outputs[0].output_stride;
  return prepare_rows(queue, "gate and up", source, sink, 0, args.input.m, message);
}

}  // namespace

uint64_t matmul_scratch_bytes(const DeviceMatmulArgs* args) { return plan_scratch(*args).end; }

DeviceResult matmul(DeviceQueue* queue, const DeviceMatmulArgs* args, DeviceMessage* message) {
  const char* wrong = check(*args);
  if (wrong != nullptr) return invalid(message, wrong);
  const Inputs inputs = {plan_scratch(*args), static_cast<uint8_t*>(args->scratch.data), fuses(*args)};
  if (args->scratch.size_bytes < inputs.plan.end) return invalid(message, "matmul: the scratch is too small");
  if (args->input.m == 0) return DeviceResult::kOk;
  FSV_DEVICE_TRY(prepare_input(queue, *args, inputs, message));
  const PackedLayout first = args->outputs[0].weights->layout;
  if (args->gates_outputs != 0 &&
      (form_of(first, args->flags) == Form::kFloats || args->outputs[1].weights->layout != first ||
       asks_blas(first, args->input.m, args->flags))) {
    return run_gated_apart(queue, *args, inputs, message);
  }
  // Outputs of one layout that follow one another share a launch.
  for (int o = 0; o < args->output_count;) {
    const PackedLayout layout = args->outputs[o].weights->layout;
    PanelProduct product = {};
    set_input(*args, inputs, form_of(layout, args->flags), product);
    product.gates = args->gates_outputs;
    if (asks_blas(layout, args->input.m, args->flags)) {
      product.output_count = 1;
      product.outputs[0] = output_of(args->outputs[o++]);
      FSV_DEVICE_TRY(run_alone(queue, *args, inputs, layout, product, message));
      continue;
    }
    while (o < args->output_count && args->outputs[o].weights->layout == layout) {
      product.outputs[product.output_count++] = output_of(args->outputs[o++]);
    }
    FSV_DEVICE_TRY(run_product(queue, layout, product, args->flags, message));
  }
  return DeviceResult::kOk;
}

}  // namespace fastserve::kernels::cuda
