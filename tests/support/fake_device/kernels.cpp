// The fake device's kernels: the library's own ops on this processor, run when the queue is waited for. Descriptors are
// read when the work is queued, as on a device.
#include <algorithm>
#include <array>
#include <cmath>
#include <vector>

#include "backend/executor.h"
#include "ops/attention.h"
#include "ops/elementwise.h"
#include "ops/matmul.h"
#include "sampling/sampler.h"
#include "support/fake_device/fake_device.h"

namespace fastserve::test {
namespace {

using kernels::DeviceMessage;
using kernels::DeviceQueue;
using kernels::DeviceResult;

Device processor(uint32_t flags = 0) {
  static Executor* const executor = create_serial_executor().release();
  const bool exact = (flags & kernels::kDeviceExact) != 0;
  Device device;
  device.kernels = exact ? &kernels::reference_cpu_table() : &kernels::best_cpu_table();
  device.executor = executor;
  device.exact = exact;
  return device;
}

template <typename Args, typename Run>
DeviceResult queue_kernel(DeviceQueue* queue, const char* name, const Args& args, DeviceMessage* message, Run run) {
  ++control().kernels;
  return queue_work(queue, name, message, [args, run] { run(args); });
}

Weight vector_at(const float* data) {
  Weight weight;
  weight.vector = data;
  return weight;
}

// Room for every form of a product's input.
struct InputRoom {
  std::vector<float> floats, scales, tile_scales, tile_sums;
  std::vector<int8_t> values;
  std::vector<int32_t> sums;
  std::vector<uint16_t> rounded;
  explicit InputRoom(int64_t m, int64_t cols) {
    const auto rows = static_cast<size_t>((m + 15) / 16 * 16);
    const auto blocks = static_cast<size_t>((cols + 31) / 32);
    floats.resize(rows * static_cast<size_t>(cols));
    values.resize(rows * blocks * 32);
    scales.resize(rows * blocks);
    tile_scales.resize(rows * blocks);
    tile_sums.resize(rows * blocks);
    sums.resize(rows * blocks);
    rounded.resize(rows * static_cast<size_t>(ops::bf16_stride(cols)));
  }
  ops::InputScratch scratch() {
    return {floats.data(),      values.data(),    scales.data(), sums.data(),
            tile_scales.data(), tile_sums.data(), rounded.data()};
  }
};

struct MatmulWork {
  kernels::DeviceMatmulArgs args;
  std::array<kernels::PackedMatrix, kernels::kDeviceOutputsMax> weights;
};

void run_outputs(const MatmulWork& work, const Device& device, ops::MatmulOutputs outputs) {
  const kernels::DeviceMatmulInput& in = work.args.input;
  InputRoom room(in.m, in.cols);
  const Rows input{const_cast<float*>(in.rows), in.stride, in.m, in.cols};
  const Weight norm_weight = vector_at(in.norm_weight), norm_bias = vector_at(in.norm_bias);
  switch (in.prologue) {
    case kernels::DevicePrologue::kNone:
      return ops::matmul(device, input, room.scratch(), outputs);
    case kernels::DevicePrologue::kRmsNorm:
      return ops::matmul_normed(device, input, {&norm_weight, in.eps, in.weight_offset}, room.scratch(), outputs);
    case kernels::DevicePrologue::kLayerNorm:
      return ops::matmul_normed(device, input, {&norm_weight, in.eps, 0, &norm_bias}, room.scratch(), outputs);
    case kernels::DevicePrologue::kGated: {
      const Rows up{const_cast<float*>(in.up), in.up_stride, in.m, in.cols};
      return ops::matmul_gated(device, input, in.up != nullptr ? &up : nullptr, in.activation, room.scratch(), outputs);
    }
  }
}

void run_matmul(const MatmulWork& work) {
  const kernels::DeviceMatmulArgs& args = work.args;
  std::array<Weight, kernels::kDeviceOutputsMax> weights, biases;
  std::array<ops::MatmulOutput, kernels::kDeviceOutputsMax> out;
  for (size_t i = 0; i < static_cast<size_t>(args.output_count); ++i) {
    const kernels::DeviceMatmulOutput& from = args.outputs[i];
    weights[i].matrix = work.weights[i];
    biases[i] = vector_at(from.bias);
    out[i] = {&weights[i],   from.output,      from.output_stride, &biases[i],
              from.epilogue, from.panel_begin, from.panel_end};
  }
  const Device device = processor(args.flags);
  switch (args.output_count) {
    case 1:
      run_outputs(work, device, {out[0]});
      break;
    case 2:
      run_outputs(work, device, {out[0], out[1]});
      break;
    case 3:
      run_outputs(work, device, {out[0], out[1], out[2]});
      break;
    default:
      run_outputs(work, device, {out[0], out[1], out[2], out[3]});
  }
  if (args.gates_outputs == 0) return;
  const Rows gate{out[0].data, out[0].stride, args.input.m, work.weights[0].rows};
  const Rows up{out[1].data, out[1].stride, args.input.m, work.weights[1].rows};
  ops::gated(device, gate, &up, args.output_activation, gate);
}

DeviceResult matmul(DeviceQueue* queue, const kernels::DeviceMatmulArgs* args, DeviceMessage* message) {
  MatmulWork work{*args, {}};
  for (size_t i = 0; i < static_cast<size_t>(args->output_count); ++i) work.weights[i] = *args->outputs[i].weights;
  if ((args->flags & kernels::kDeviceBlas) != 0) ++control().blas_products;
  if (args->scratch.size_bytes < 64 * static_cast<uint64_t>(args->input.m)) {
    return refuse(DeviceResult::kInvalid, message, "matmul was given too little scratch");
  }
  return queue_kernel(queue, "matmul", work, message, run_matmul);
}

// Only asked for, so that the engine has something to plan.
uint64_t matmul_scratch_bytes(const kernels::DeviceMatmulArgs* args) {
  return 64 * static_cast<uint64_t>(args->input.m);
}

struct RopeAppendWork {
  kernels::DeviceRopeAppendArgs args;
  kernels::KvLayer layer;
};

DeviceResult rope_append(DeviceQueue* queue, const kernels::DeviceRopeAppendArgs* args, DeviceMessage* message) {
  return queue_kernel(queue, "rope_append", RopeAppendWork{*args, *args->append.layer}, message,
                      [](const RopeAppendWork& work) {
                        const kernels::DeviceRopeAppendArgs& a = work.args;
                        const int64_t rows = a.append.row_end;
                        const int64_t k_cols = int64_t{work.layer.kv_head_count} * work.layer.head_dim;
                        const int64_t v_cols = int64_t{work.layer.kv_head_count} * work.layer.value_dim;
                        const Rows q{a.q, a.q_stride, rows, int64_t{a.head_count} * work.layer.head_dim};
                        const Rows k{const_cast<float*>(a.append.k), a.append.k_stride, rows, k_cols};
                        const Rows v{const_cast<float*>(a.append.v), a.append.v_stride, rows, v_cols};
                        const Weight q_norm = vector_at(a.q_norm_weight), k_norm = vector_at(a.k_norm_weight);
                        ops::RopeAppendSpec spec{a.head_count, a.kind,  {a.cosines, a.sines, a.rope_dims / 2},
                                                 &q_norm,      &k_norm, a.norm_eps};
                        const ops::KvViews views{a.append.sequences, a.append.sequence_count};
                        ops::rope_append(processor(), spec, work.layer, views, q, k, v);
                      });
}

struct AttentionWork {
  kernels::DeviceAttentionArgs args;
  kernels::KvLayer layer;
};

void run_attention(const AttentionWork& work) {
  const kernels::AttentionArgs& a = work.args.attention;
  const int64_t rows = a.row_end - a.row_begin;
  const Rows q{const_cast<float*>(a.q), a.q_stride, rows, int64_t{a.head_count} * work.layer.head_dim};
  const Rows output{a.output, a.output_stride, rows, int64_t{a.head_count} * work.layer.value_dim};
  ops::AttentionSpec spec{a.head_count, a.scale, a.softcap, a.window, a.bidirectional != 0, a.sinks};
  for (int32_t s = 0; s < a.sequence_count; ++s) {  // the bounds that a device is launched by must hold
    const kernels::KvView& view = a.sequences[s];
    if (view.row_count == 0) continue;
    if (view.position_begin + view.row_count > work.args.key_count_max) std::abort();
    if (view.row_count > work.args.sequence_rows_max) std::abort();
  }
  ops::attention(processor(work.args.flags), work.layer, {a.sequences, a.sequence_count}, spec, q, output);
}

DeviceResult attention(DeviceQueue* queue, const kernels::DeviceAttentionArgs* args, DeviceMessage* message) {
  return queue_kernel(queue, "attention", AttentionWork{*args, *args->attention.layer}, message, run_attention);
}

struct GetRowsWork {
  kernels::GetRowsArgs args;
  kernels::PackedMatrix weights;
};

DeviceResult get_rows(DeviceQueue* queue, const kernels::GetRowsArgs* args, DeviceMessage* message) {
  return queue_kernel(queue, "get_rows", GetRowsWork{*args, *args->weights}, message, [](const GetRowsWork& work) {
    kernels::GetRowsArgs a = work.args;
    a.weights = &work.weights;
    kernels::best_cpu_table().get_rows(&a);
  });
}

DeviceResult select_rows(DeviceQueue* queue, const kernels::DeviceSelectRowsArgs* args, DeviceMessage* message) {
  return queue_kernel(queue, "select_rows", *args, message, [](const kernels::DeviceSelectRowsArgs& a) {
    const Rows input{const_cast<float*>(a.input), a.input_stride, a.count, a.cols};
    ops::select_rows(processor(), input, a.row_ids, {a.output, a.output_stride, a.count, a.cols});
  });
}

DeviceResult softcap(DeviceQueue* queue, const kernels::DeviceSoftcapArgs* args, DeviceMessage* message) {
  return queue_kernel(queue, "softcap", *args, message, [](const kernels::DeviceSoftcapArgs& a) {
    ops::softcap(processor(), {a.values, a.stride, a.rows, a.cols}, a.cap);
  });
}

// The CPU's sampler itself. Its errors have one cause for each code.
int32_t sample_row(const kernels::DeviceSampleArgs& args, int32_t row) {
  const kernels::DeviceSampleRow& from = args.parameters[row];
  SamplingParameters parameters;
  parameters.temperature = from.temperature;
  parameters.top_p = from.top_p;
  parameters.min_p = from.min_p;
  parameters.top_k = from.top_k;
  parameters.seed = from.seed;
  parameters.stream = from.stream;
  float* const logits = args.logits + row * args.stride;
  const auto count = static_cast<size_t>(args.vocabulary);
  SamplerScratch scratch;
  if (!scratch.reserve(args.vocabulary).ok()) std::abort();
  const Result<SampleResult> drawn =
      Sampler(parameters)
          .sample(std::span<const float>(logits, count), {args.banned + from.banned_begin, from.banned_count},
                  from.draw_index, false, scratch);
  std::fill_n(logits, count, NAN);  // a device may change them: nobody reads them any more
  if (drawn.ok()) return drawn->token_id;
  return drawn.status().code() == StatusCode::kCorrupt ? kernels::kDeviceSampleNotFinite : kernels::kDeviceSampleNone;
}

DeviceResult sample(DeviceQueue* queue, const kernels::DeviceSampleArgs* args, DeviceMessage* message) {
  return queue_kernel(queue, "sample", *args, message, [](const kernels::DeviceSampleArgs& a) {
    control().draws += a.rows;
    for (int32_t row = 0; row < a.rows; ++row) a.token_ids[row] = sample_row(a, row);
  });
}

// Kernels whose arguments hold no descriptors.
template <auto kKernel, typename Args>
DeviceResult plain(DeviceQueue* queue, const Args* args, DeviceMessage* message) {
  return queue_kernel(queue, "a kernel", *args, message, [](const Args& a) { (processor().kernels->*kKernel)(&a); });
}

}  // namespace

const kernels::DeviceKernels& fake_kernels() {
  static const kernels::DeviceKernels made = [] {
    kernels::DeviceKernels table{};
    table.version = kernels::kDeviceKernelsVersion;
    table.struct_size = sizeof(table);
    table.get_rows = get_rows;
    table.select_rows = select_rows;
    table.softcap = softcap;
    table.sample = sample;
    table.matmul = matmul;
    table.matmul_scratch_bytes = matmul_scratch_bytes;
    table.rope_append = rope_append;
    table.attention = attention;
    table.rope_angles = plain<&kernels::KernelTable::rope_angles, kernels::RopeAnglesArgs>;
    table.rms_norm = plain<&kernels::KernelTable::rms_norm, kernels::RmsNormArgs>;
    table.layer_norm = plain<&kernels::KernelTable::layer_norm, kernels::LayerNormArgs>;
    table.gated = plain<&kernels::KernelTable::gated, kernels::GatedArgs>;
    table.add = plain<&kernels::KernelTable::add, kernels::AddArgs>;
    table.rope = plain<&kernels::KernelTable::rope, kernels::RopeArgs>;
    return table;
  }();
  return made;
}

}  // namespace fastserve::test
