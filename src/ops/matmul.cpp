// Matrix products: input quantisation, then one static partition of all panels of all weights.
#include "ops/matmul.h"

#include "ops/parallel.h"

namespace fastserve::ops {
namespace {

using kernels::MatmulArgs;
using kernels::QuantizedRows;

int64_t panel_count(const Weight& weight) {
  return (weight.matrix.rows + kernels::kPanelRows - 1) / kernels::kPanelRows;
}

void quantize_input(const Device& device, const Rows& input, const QuantizedRows& quantized) {
  parallel_rows(device, input.count, input.count * input.cols, [&](int64_t begin, int64_t end) {
    const kernels::QuantizeArgs args{input.data, input.stride, &quantized, begin, end};
    device.kernels->quantize_q8(&args);
  });
}

void run_panels(const Device& device, const Rows& input, const QuantizedRows& quantized, const MatmulOutput& output,
                int64_t begin, int64_t end) {
  const Weight& weight = *output.weight;
  MatmulArgs args{};
  args.weights = &weight.matrix;
  args.input_q8 = &quantized;
  args.input = input.data;
  args.input_stride = input.stride;
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
  } else {
    device.kernels->matmul_f32[layout](&args);
  }
}

}  // namespace

bool uses_quantized_input(const Device& device, const Weight& weight) {
  return !device.exact && device.kernels->matmul_q8[static_cast<int>(weight.matrix.layout)] != nullptr;
}

void matmul(const Device& device, const Rows& input, const QuantizeScratch& scratch,
            std::initializer_list<MatmulOutput> outputs) {
  const QuantizedRows quantized{scratch.values, scratch.scales, scratch.sums, input.cols};
  int64_t total_panels = 0;
  bool wants_quantized = false;
  for (const MatmulOutput& output : outputs) {
    total_panels += panel_count(*output.weight);
    wants_quantized = wants_quantized || uses_quantized_input(device, *output.weight);
  }
  if (wants_quantized) quantize_input(device, input, quantized);
  device.executor->run([&](uint32_t part, uint32_t part_count) {
    const Range range = split_range(total_panels, part, part_count);
    int64_t first = 0;  // panel index of this output's first panel
    for (const MatmulOutput& output : outputs) {
      const int64_t count = panel_count(*output.weight);
      const int64_t begin = range.begin > first ? range.begin - first : 0;
      const int64_t end = range.end - first < count ? range.end - first : count;
      if (begin < end) run_panels(device, input, quantized, output, begin, end);
      first += count;
    }
  });
}

}  // namespace fastserve::ops
