// Matrix products: the input is prepared once, then one static partition of all panels of all weights.
#include "ops/matmul.h"

#include <algorithm>

#include "ops/elementwise.h"
#include "ops/norm.h"
#include "ops/parallel.h"

namespace fastserve::ops {
namespace {

using kernels::MatmulArgs;
using kernels::QuantizedRows;

int64_t panel_end(const MatmulOutput& output) {
  const int64_t all = (output.weight->matrix.rows + kernels::kPanelRows - 1) / kernels::kPanelRows;
  return std::min(all, output.panel_end);
}
int64_t panel_count(const MatmulOutput& output) { return panel_end(output) - output.panel_begin; }

// So few rows meet no tile: their scales need not be written twice.
QuantizedRows quantized_rows(const InputScratch& scratch, const Rows& input) {
  QuantizedRows rows{scratch.values, scratch.scales, scratch.sums, input.cols};
  if (input.count < kernels::kTileRowsMin) return rows;
  rows.tile_scales = scratch.tile_scales;
  rows.tile_sums = scratch.tile_sums;
  return rows;
}

struct InputForms {
  bool quantized = false, rounded = false, floats = false;
};

InputForms wanted_forms(const Device& device, MatmulOutputs outputs) {
  InputForms forms;
  for (const MatmulOutput& output : outputs) {
    (uses_quantized_input(device, *output.weight) ? forms.quantized
     : uses_rounded_input(device, *output.weight) ? forms.rounded
                                                  : forms.floats) = true;
  }
  return forms;
}

void run_panels(const Device& device, const Rows& input, const InputScratch& scratch, const MatmulOutput& output,
                int64_t begin, int64_t end) {
  const Weight& weight = *output.weight;
  const QuantizedRows quantized = quantized_rows(scratch, input);
  MatmulArgs args{};
  args.weights = &weight.matrix;
  args.input_q8 = &quantized;
  args.input = input.data;
  args.input_stride = input.stride;
  args.input_bf16 = scratch.rounded;
  args.input_bf16_stride = bf16_stride(input.cols);
  args.m = input.count;
  args.output = output.data;
  args.output_stride = output.stride;
  args.bias = output.bias != nullptr ? output.bias->vector : nullptr;
  args.epilogue = output.epilogue;
  args.panel_begin = begin;
  args.panel_end = end;
  const auto layout = static_cast<int>(weight.matrix.layout);
  if (uses_quantized_input(device, weight)) {
    device.kernels->matmul_q8[layout](&args);
  } else if (uses_rounded_input(device, weight)) {
    device.kernels->matmul_bf16(&args);
  } else {
    device.kernels->matmul_f32[layout](&args);
  }
}

constexpr int64_t kBlockPanels = kernels::kLogitBlock / kernels::kPanelRows;

// Panels and their maxima, so few at a time that the columns are still near.
void run_scanned(const Device& device, const Rows& input, const InputScratch& scratch, const MatmulOutput& output,
                 int64_t begin, int64_t end) {
  constexpr int64_t kStep = 16 * kBlockPanels;
  for (int64_t panel = begin; panel < end; panel += kStep) {
    const int64_t stop = std::min(panel + kStep, end);
    run_panels(device, input, scratch, output, panel, stop);
    const kernels::BlockMaxArgs args{output.data,          output.stride,
                                     input.count,          output.weight->matrix.rows,
                                     panel / kBlockPanels, (stop + kBlockPanels - 1) / kBlockPanels,
                                     output.block_max,     output.block_max_stride};
    device.kernels->block_max(&args);
  }
}

void run_logits(const Device& device, const Rows& input, const InputScratch& scratch, const MatmulOutput& output) {
  const int64_t first = output.panel_begin / kBlockPanels, last = panel_end(output);
  const int64_t blocks = (last + kBlockPanels - 1) / kBlockPanels - first;
  device.executor->run([&](uint32_t part, uint32_t part_count) {
    const Range range = split_range(blocks, part, part_count);
    run_scanned(device, input, scratch, output, (first + range.begin) * kBlockPanels,
                std::min((first + range.end) * kBlockPanels, last));
  });
}

// `input` and its forms in `scratch` are ready.
void run_matmuls(const Device& device, const Rows& input, const InputScratch& scratch, MatmulOutputs outputs) {
  if (outputs.size() == 1 && outputs.begin()->block_max != nullptr) {
    return run_logits(device, input, scratch, *outputs.begin());
  }
  int64_t total_panels = 0;
  for (const MatmulOutput& output : outputs) total_panels += panel_count(output);
  device.executor->run([&](uint32_t part, uint32_t part_count) {
    const Range range = split_range(total_panels, part, part_count);
    int64_t first = 0;  // index of this output's first panel among all
    for (const MatmulOutput& output : outputs) {
      const int64_t count = panel_count(output);
      const int64_t begin = range.begin > first ? range.begin - first : 0;
      const int64_t end = range.end - first < count ? range.end - first : count;
      if (begin < end) {
        run_panels(device, input, scratch, output, output.panel_begin + begin, output.panel_begin + end);
      }
      first += count;
    }
  });
}

void round_rows(const Device& device, const Rows& input, const InputScratch& scratch) {
  parallel_rows(device, input.count, input.count * input.cols, [&](int64_t begin, int64_t end) {
    const kernels::RoundBf16Args args{input.data, input.stride, scratch.rounded, bf16_stride(input.cols), input.cols,
                                      begin,      end};
    device.kernels->round_bf16(&args);
  });
}

// What a device's product is told of its input and of its weights; it prepares the input itself.
kernels::DeviceMatmulArgs device_args(const Device& device, const Rows& input, MatmulOutputs outputs) {
  kernels::DeviceMatmulArgs args{};
  args.input.rows = input.data;
  args.input.stride = input.stride;
  args.input.cols = input.cols;
  args.input.m = input.count;
  args.flags = device.product_flags | (device.exact ? kernels::kDeviceExact : 0);
  for (const MatmulOutput& output : outputs) {
    args.outputs[args.output_count++] = {&output.weight->matrix, output.data,
                                         output.stride,          output.bias != nullptr ? output.bias->vector : nullptr,
                                         output.epilogue,        output.panel_begin,
                                         panel_end(output)};
  }
  return args;
}

void set_norm(const NormSpec& norm, kernels::DeviceMatmulInput& input) {
  input.prologue = norm.bias != nullptr ? kernels::DevicePrologue::kLayerNorm : kernels::DevicePrologue::kRmsNorm;
  input.norm_weight = norm.weight->vector;
  input.norm_bias = norm.bias != nullptr ? norm.bias->vector : nullptr;
  input.weight_offset = norm.weight_offset;
  input.eps = norm.eps;
}

void launch_matmul(const Device& device, kernels::DeviceMatmulArgs& args) {
  DeviceStream& stream = *device.stream;
  if (args.input.m == 0) return;
  const auto scratch_bytes = stream.kernels().matmul_scratch_bytes;
  if (scratch_bytes != nullptr) args.scratch = stream.scratch(scratch_bytes(&args));
  stream.launch(stream.kernels().matmul, "matmul", args);
}

}  // namespace

bool uses_quantized_input(const Device& device, const Weight& weight) {
  return !device.exact && device.kernels->matmul_q8[static_cast<int>(weight.matrix.layout)] != nullptr;
}

bool uses_rounded_input(const Device& device, const Weight& weight) {
  return !device.exact && device.kernels->matmul_bf16 != nullptr &&
         weight.matrix.layout == kernels::PackedLayout::kBF16;
}

void matmul(const Device& device, const Rows& input, const InputScratch& scratch, MatmulOutputs outputs) {
  if (device.stream != nullptr) {
    kernels::DeviceMatmulArgs args = device_args(device, input, outputs);
    launch_matmul(device, args);
    return;
  }
  const InputForms forms = wanted_forms(device, outputs);
  if (forms.rounded) round_rows(device, input, scratch);
  if (forms.quantized) {
    const QuantizedRows quantized = quantized_rows(scratch, input);
    parallel_rows(device, input.count, input.count * input.cols, [&](int64_t begin, int64_t end) {
      const kernels::QuantizeArgs args{input.data, input.stride, &quantized, begin, end};
      device.kernels->quantize_q8(&args);
    });
  }
  run_matmuls(device, input, scratch, outputs);
}

void matmul_normed(const Device& device, const Rows& input, const NormSpec& norm, const InputScratch& scratch,
                   MatmulOutputs outputs) {
  if (device.stream != nullptr) {
    kernels::DeviceMatmulArgs args = device_args(device, input, outputs);
    set_norm(norm, args.input);
    launch_matmul(device, args);
    return;
  }
  const InputForms forms = wanted_forms(device, outputs);
  const Rows normed{scratch.floats, input.cols, input.count, input.cols};
  if (norm.bias != nullptr) {
    layer_norm(device, input, *norm.weight, *norm.bias, norm.eps, normed);
    matmul(device, normed, scratch, outputs);
    return;
  }
  if (!forms.quantized) {
    rms_norm(device, input, *norm.weight, norm.eps, norm.weight_offset, normed);
  } else {
    const QuantizedRows quantized = quantized_rows(scratch, input);
    const bool needs_floats = forms.floats || forms.rounded;
    parallel_rows(device, input.count, input.count * input.cols, [&](int64_t begin, int64_t end) {
      const kernels::RmsNormArgs args{input.data,
                                      input.stride,
                                      norm.weight->vector,
                                      norm.weight_offset,
                                      norm.eps,
                                      needs_floats ? normed.data : nullptr,
                                      normed.stride,
                                      input.cols,
                                      0,
                                      begin,
                                      end};
      const kernels::RmsNormQuantizeArgs fused{args, &quantized};
      device.kernels->rms_norm_quantize(&fused);
    });
  }
  if (forms.rounded) round_rows(device, normed, scratch);
  run_matmuls(device, normed, scratch, outputs);
}

void matmul_normed_gating(const Device& device, const Rows& input, const NormSpec& norm, const MatmulOutput& gate,
                          const MatmulOutput& up, kernels::Activation activation) {
  kernels::DeviceMatmulArgs args = device_args(device, input, {gate, up});
  set_norm(norm, args.input);
  args.gates_outputs = 1;
  args.output_activation = activation;
  launch_matmul(device, args);
}

void matmul_gated(const Device& device, const Rows& gate, const Rows* up, kernels::Activation activation,
                  const InputScratch& scratch, MatmulOutputs outputs) {
  if (device.stream != nullptr) {
    kernels::DeviceMatmulArgs args = device_args(device, gate, outputs);
    args.input.prologue = kernels::DevicePrologue::kGated;
    args.input.activation = activation;
    args.input.up = up != nullptr ? up->data : nullptr;
    args.input.up_stride = up != nullptr ? up->stride : 0;
    launch_matmul(device, args);
    return;
  }
  const InputForms forms = wanted_forms(device, outputs);
  const Rows product{scratch.floats, gate.cols, gate.count, gate.cols};
  if (forms.floats || forms.rounded) {
    gated(device, gate, up, activation, product);
    matmul(device, product, scratch, outputs);
    return;
  }
  const QuantizedRows quantized = quantized_rows(scratch, gate);
  parallel_rows(device, gate.count, gate.count * gate.cols * 2, [&](int64_t begin, int64_t end) {
    const kernels::GatedArgs args{gate.data,
                                  gate.stride,
                                  up != nullptr ? up->data : nullptr,
                                  up != nullptr ? up->stride : 0,
                                  activation,
                                  nullptr,
                                  0,
                                  gate.cols,
                                  begin,
                                  end};
    const kernels::GatedQuantizeArgs fused{args, &quantized};
    device.kernels->gated_quantize(&fused);
  });
  run_matmuls(device, product, scratch, outputs);
}

}  // namespace fastserve::ops
