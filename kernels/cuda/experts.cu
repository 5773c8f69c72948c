// Routed experts: rows are chosen for, put in the order of experts, and go through them in tiles of up to eight rows,
// so that an expert's weights are read once for eight rows and only where a row chose it. Sums are in the order of
// experts, as a CPU's. Bound: bytes of the chosen experts.
#include "kernels/cuda/entries.cuh"
#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/panel_product.cuh"

namespace fastserve::kernels::cuda {
namespace {

constexpr int32_t kExpertsMax = 4096;
constexpr int32_t kExpertsUsedMax = 64;

// One warp for a row.
__global__ void __launch_bounds__(kThreads) route_kernel(DeviceRouteArgs args) {
  if (warp_index() != 0) return;
  auto* probabilities = reinterpret_cast<float*>(shared_memory());
  const float* logits = args.logits + blockIdx.x * args.stride;
  float largest = -INFINITY;
  for (int e = lane_index(); e < args.expert_count; e += kWarp) largest = fmaxf(largest, logits[e]);
  largest = warp_max(largest);
  float sum = 0.0f;
  for (int e = lane_index(); e < args.expert_count; e += kWarp) {
    probabilities[e] = expf(logits[e] - largest);
    sum += probabilities[e];
  }
  sum = warp_sum(sum);
  __syncwarp();
  int32_t* chosen = args.chosen + static_cast<int64_t>(blockIdx.x) * args.experts_used;
  float* weights = args.weights + static_cast<int64_t>(blockIdx.x) * args.experts_used;
  float kept = 0.0f;
  for (int rank = 0; rank < args.experts_used; ++rank) {
    float best = -2.0f;
    int expert = args.expert_count;
    for (int e = lane_index(); e < args.expert_count; e += kWarp) {
      if (probabilities[e] > best) {
        best = probabilities[e];
        expert = e;
      }
    }
    for (int step = kWarp / 2; step > 0; step /= 2) {
      const float other = __shfl_xor_sync(kAllLanes, best, step);
      const int other_expert = __shfl_xor_sync(kAllLanes, expert, step);
      if (other > best || (other == best && other_expert < expert)) {
        best = other;
        expert = other_expert;
      }
    }
    if (expert >= args.expert_count) expert = rank;  // NaN everywhere: some expert, and NaN weights
    kept += best / sum;
    if (lane_index() == 0) {
      chosen[rank] = expert;
      weights[rank] = best / sum;
      probabilities[expert] = -1.0f;  // below every probability
    }
    __syncwarp();
  }
  if (args.renormalize == 0 || lane_index() != 0) return;
  for (int rank = 0; rank < args.experts_used; ++rank) weights[rank] /= kept;
}

struct SortArgs {
  const int32_t* chosen;
  int32_t pairs, experts_used, expert_count, tile_count;
  int32_t* row_map;   // [pairs] row of a place
  int32_t* places;    // [pairs] place of (row, rank)
  ExpertTile* tiles;  // [tile_count]
};

// Pairs of row and rank in the order of experts, then rows. One block.
__global__ void __launch_bounds__(kThreads) sort_kernel(SortArgs args) {
  auto* counts = reinterpret_cast<int32_t*>(shared_memory());  // then the first place of each expert
  int32_t* tiles = counts + args.expert_count;                 // the first tile of each
  const auto thread = static_cast<int32_t>(threadIdx.x);
  for (int32_t e = thread; e < args.expert_count; e += kThreads) {
    int32_t count = 0;
    for (int32_t i = 0; i < args.pairs; ++i) count += args.chosen[i] == e ? 1 : 0;
    counts[e] = count;
  }
  __syncthreads();
  if (thread == 0) {
    int32_t place = 0, tile = 0;
    for (int32_t e = 0; e < args.expert_count; ++e) {
      const int32_t count = counts[e];
      counts[e] = place;
      tiles[e] = tile;
      place += count;
      tile += (count + kFewRows - 1) / kFewRows;
    }
    for (; tile < args.tile_count; ++tile) args.tiles[tile] = {0, 0, 0, 0};
  }
  __syncthreads();
  for (int32_t e = thread; e < args.expert_count; e += kThreads) {
    int32_t place = counts[e];
    for (int32_t i = 0; i < args.pairs; ++i) {
      if (args.chosen[i] != e) continue;
      args.row_map[place] = i / args.experts_used;
      args.places[i] = place++;
    }
    const int32_t count = place - counts[e];
    for (int32_t first = 0; first < count; first += kFewRows) {
      const int32_t left = count - first;
      args.tiles[tiles[e] + first / kFewRows] = {e, counts[e] + first, left < kFewRows ? left : kFewRows, 0};
    }
  }
}

struct ScatterArgs {
  const int32_t* chosen;
  const int32_t* places;
  const float* weights;
  const float* outputs;  // [pairs][cols]
  float* hidden;
  int64_t hidden_stride;
  int64_t cols;
  int32_t experts_used;
};

__global__ void __launch_bounds__(kThreads) scatter_kernel(ScatterArgs args) {
  auto* order = reinterpret_cast<int32_t*>(shared_memory());  // ranks by expert
  const int64_t first = static_cast<int64_t>(blockIdx.x) * args.experts_used;
  if (threadIdx.x == 0) {
    for (int32_t rank = 0; rank < args.experts_used; ++rank) {
      int32_t at = rank;
      for (; at > 0 && args.chosen[first + order[at - 1]] > args.chosen[first + rank]; --at) order[at] = order[at - 1];
      order[at] = rank;
    }
  }
  __syncthreads();
  const int64_t c = static_cast<int64_t>(blockIdx.y) * kThreads + threadIdx.x;
  if (c >= args.cols) return;
  float value = args.hidden[blockIdx.x * args.hidden_stride + c];
  for (int32_t i = 0; i < args.experts_used; ++i) {
    const int64_t pair = first + order[i];
    value = __fadd_rn(value, __fmul_rn(args.weights[pair], args.outputs[args.places[pair] * args.cols + c]));
  }
  args.hidden[blockIdx.x * args.hidden_stride + c] = value;
}

// Rows in the form that a product reads, somewhere in the scratch.
struct FormPlace {
  Form form;
  int64_t cols;
  uint64_t begin, scales, end;
};
FormPlace place_form(uint64_t begin, Form form, int64_t rows, int64_t cols) {
  FormPlace place = {form, cols, begin, begin, begin};
  const auto count = static_cast<uint64_t>(rows);
  if (form == Form::kBytes) {
    place.scales = align_up(begin + count * static_cast<uint64_t>(cols), 256);
    place.end = place.scales + count * static_cast<uint64_t>(cols / kActivationBlock) * 4;
  } else {
    const auto stride = static_cast<uint64_t>(form == Form::kRounded ? 2 * rounded_stride(cols) : 4 * cols);
    place.end = begin + count * stride;
  }
  place.end = align_up(place.end, 256);
  return place;
}
RowSink sink_of(const FormPlace& place, uint8_t* scratch) {
  RowSink sink;
  if (place.form == Form::kBytes) {
    sink.values = reinterpret_cast<int8_t*>(scratch + place.begin);
    sink.values_stride = place.cols;
    sink.scales = reinterpret_cast<float*>(scratch + place.scales);
    sink.scales_stride = place.cols / kActivationBlock;
  } else if (place.form == Form::kRounded) {
    sink.rounded = reinterpret_cast<uint16_t*>(scratch + place.begin);
    sink.rounded_stride = rounded_stride(place.cols);
  } else {
    sink.floats = reinterpret_cast<float*>(scratch + place.begin);
    sink.stride = place.cols;
  }
  return sink;
}

struct ExpertPlan {
  int32_t pairs, tile_count;
  uint64_t row_map, places, tiles;
  FormPlace input;        // [pairs][hidden], for gate and up
  uint64_t gate, up;      // [pairs][intermediate]
  FormPlace middle;       // [pairs][intermediate], for down
  uint64_t outputs, end;  // [pairs][hidden]
};

ExpertPlan plan_experts(const DeviceExpertsArgs& args) {
  ExpertPlan plan = {};
  plan.pairs = static_cast<int32_t>(args.rows * args.experts_used);
  const int32_t tiles = plan.pairs / kFewRows + args.expert_count;
  plan.tile_count = tiles < plan.pairs ? tiles : plan.pairs;
  const auto pairs = static_cast<uint64_t>(plan.pairs);
  plan.places = align_up(pairs * 4, 256);
  plan.tiles = align_up(plan.places + pairs * 4, 256);
  const uint64_t input = align_up(plan.tiles + static_cast<uint64_t>(plan.tile_count) * sizeof(ExpertTile), 256);
  plan.input = place_form(input, form_of(args.gate->layout, args.flags), plan.pairs, args.gate->cols);
  const uint64_t middle_bytes = align_up(pairs * static_cast<uint64_t>(args.gate->rows) * 4, 256);
  plan.gate = plan.input.end;
  plan.up = plan.gate + middle_bytes;
  plan.middle = place_form(plan.up + middle_bytes, form_of(args.down->layout, args.flags), plan.pairs, args.down->cols);
  plan.outputs = plan.middle.end;
  plan.end = align_up(plan.outputs + pairs * static_cast<uint64_t>(args.down->rows) * 4, 256);
  return plan;
}

const char* check(const DeviceExpertsArgs& args) {
  if (args.expert_count < 1 || args.expert_count > kExpertsMax) return "experts: 1 to 4096 of them";
  if (args.experts_used < 1 || args.experts_used > kExpertsUsedMax || args.experts_used > args.expert_count) {
    return "experts: a row uses 1 to 64, and no more than there are";
  }
  if (args.gate->layout != args.up->layout || args.gate->rows != args.up->rows || args.gate->cols != args.up->cols) {
    return "experts: gate and up differ in layout or size";
  }
  if (args.down->cols != args.gate->rows) return "experts: gate and down differ in size";
  for (const PackedMatrix* w : {args.gate, args.down}) {
    if (w->layout <= PackedLayout::kNone || w->layout >= PackedLayout::kCount)
      return "experts: a layout without kernel";
    if (layout_shape(w->layout).group_blocks != 0 && w->cols % kActivationBlock != 0) {
      return "experts: columns are no multiple of 32";
    }
  }
  return nullptr;
}

PanelOutput whole_output(const PackedMatrix& w, float* output) {
  return {w.data, w.panel_bytes, w.rows, 0, divide_up(w.rows, kPanelRows), output, w.rows, nullptr, 0};
}

PanelProduct product_over(const DeviceExpertsArgs& args, const ExpertPlan& plan, const FormPlace& input) {
  auto* scratch = static_cast<uint8_t*>(args.scratch.data);
  const RowSink sink = sink_of(input, scratch);
  PanelProduct product = {};
  product.activation = args.activation;
  product.cols = static_cast<int32_t>(input.cols);
  product.rows.m = plan.pairs;
  product.float_rows = sink.floats;
  product.float_stride = sink.stride;
  if (input.form == Form::kBytes) {
    product.rows.data = reinterpret_cast<const uint8_t*>(sink.values);
    product.rows.stride_bytes = sink.values_stride;
    product.rows.scales = sink.scales;
    product.rows.scales_stride = sink.scales_stride;
  } else if (input.form == Form::kRounded) {
    product.rows.data = reinterpret_cast<const uint8_t*>(sink.rounded);
    product.rows.stride_bytes = 2 * sink.rounded_stride;
  }
  product.tiles = reinterpret_cast<const ExpertTile*>(scratch + plan.tiles);
  product.tile_count = plan.tile_count;
  product.output_count = 1;
  return product;
}

DeviceResult run_middle(DeviceQueue* queue, const DeviceExpertsArgs& args, const ExpertPlan& plan,
                        DeviceMessage* message) {
  auto* scratch = static_cast<uint8_t*>(args.scratch.data);
  auto* gate = reinterpret_cast<float*>(scratch + plan.gate);
  auto* up = reinterpret_cast<float*>(scratch + plan.up);
  PanelProduct product = product_over(args, plan, plan.input);
  RowSource source;
  source.rows = gate;
  source.stride = source.cols = args.gate->rows;
  product.outputs[0] = whole_output(*args.gate, gate);
  product.outputs[1] = whole_output(*args.up, up);
  product.output_count = 2;
  if (plan.input.form == Form::kFloats) {  // no kernel of floats gates: both, then gated on the way into the next form
    source.prologue = DevicePrologue::kGated;
    source.activation = args.activation;
    source.up = up;
    source.up_stride = args.gate->rows;
  } else {
    product.gates = 1;
  }
  FSV_DEVICE_TRY(run_product(queue, args.gate->layout, product, args.flags, message));
  return prepare_rows(queue, "experts: gate and up", source, sink_of(plan.middle, scratch), 0, plan.pairs, message);
}

}  // namespace

DeviceResult route(DeviceQueue* queue, const DeviceRouteArgs* args, DeviceMessage* message) {
  if (args->expert_count < 1 || args->expert_count > kExpertsMax) return invalid(message, "route: 1 to 4096 experts");
  if (args->experts_used > args->expert_count) return invalid(message, "route: a row uses more experts than there are");
  return launch(queue, "route", route_kernel, {args->rows}, static_cast<size_t>(args->expert_count) * sizeof(float),
                message, *args);
}

uint64_t experts_scratch_bytes(const DeviceExpertsArgs* args) { return plan_experts(*args).end; }

DeviceResult experts(DeviceQueue* queue, const DeviceExpertsArgs* args, DeviceMessage* message) {
  const char* wrong = check(*args);
  if (wrong != nullptr) return invalid(message, wrong);
  const ExpertPlan plan = plan_experts(*args);
  if (args->scratch.size_bytes < plan.end) return invalid(message, "experts: the scratch is too small");
  if (args->rows == 0) return DeviceResult::kOk;
  auto* scratch = static_cast<uint8_t*>(args->scratch.data);
  const SortArgs sort = {args->chosen,
                         plan.pairs,
                         args->experts_used,
                         args->expert_count,
                         plan.tile_count,
                         reinterpret_cast<int32_t*>(scratch + plan.row_map),
                         reinterpret_cast<int32_t*>(scratch + plan.places),
                         reinterpret_cast<ExpertTile*>(scratch + plan.tiles)};
  FSV_DEVICE_TRY(launch(queue, "experts: order of rows", sort_kernel, {1},
                        2 * static_cast<size_t>(args->expert_count) * sizeof(int32_t), message, sort));
  RowSource source;
  source.rows = args->normed;
  source.stride = args->normed_stride;
  source.cols = args->gate->cols;
  source.row_map = sort.row_map;
  FSV_DEVICE_TRY(prepare_rows(queue, "experts: rows", source, sink_of(plan.input, scratch), 0, plan.pairs, message));
  FSV_DEVICE_TRY(run_middle(queue, *args, plan, message));
  auto* outputs = reinterpret_cast<float*>(scratch + plan.outputs);
  PanelProduct down = product_over(*args, plan, plan.middle);
  down.outputs[0] = whole_output(*args->down, outputs);
  FSV_DEVICE_TRY(run_product(queue, args->down->layout, down, args->flags, message));
  const ScatterArgs scatter = {args->chosen, sort.places,         args->chosen_weight, outputs,
                               args->hidden, args->hidden_stride, args->down->rows,    args->experts_used};
  return launch(queue, "experts: sums", scatter_kernel, {args->rows, divide_up(args->down->rows, kThreads)},
                kExpertsUsedMax * sizeof(int32_t), message, scatter);
}

}  // namespace fastserve::kernels::cuda
