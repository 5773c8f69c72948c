// Attention of single rows over the paged cache. Keys are cut at multiples of kAttentionSplit; a block reads one such
// run of K and V once for all query heads of a kv head, and a second kernel puts the runs together in order. So the cut
// depends on positions alone. Bound: bytes of K and V.
#include "kernels/cuda/attention.cuh"

#include "kernels/cuda/entries.cuh"
#include "kernels/cuda/launch.cuh"

namespace fastserve::kernels::cuda {
namespace {

constexpr int kHeadsMax = 8;  // query heads that share a reading of K and V
constexpr int32_t kRowsOfLaunch = 32;
static_assert(kAttentionSplit == kThreads, "a thread has one key of a run");

// A block's run of keys of one row.
struct Run {
  const KvView* view;
  int32_t row, head_begin, heads, kv_head;
  int32_t first_key;   // of the whole run; thread i has key first_key + i
  int32_t begin, end;  // keys that count
};

__device__ __forceinline__ bool find_run(const Attending& a, int heads_of_block, Run& run) {
  const int32_t chunks = (a.group + heads_of_block - 1) / heads_of_block;
  const auto y = static_cast<int32_t>(blockIdx.y);
  run.row = a.row_begin + static_cast<int32_t>(blockIdx.z);
  run.kv_head = y / chunks;
  run.head_begin = run.kv_head * a.group + y % chunks * heads_of_block;
  const int32_t left = (run.kv_head + 1) * a.group - run.head_begin;
  run.heads = left < heads_of_block ? left : heads_of_block;
  run.view = sequence_of_row(a.sequences, a.sequence_count, run.row);
  if (run.view == nullptr) return false;
  const KeyRange keys = keys_of(*run.view, run.row, a.window, a.bidirectional);
  run.first_key = (keys.begin / kAttentionSplit + static_cast<int32_t>(blockIdx.x)) * kAttentionSplit;
  run.begin = keys.begin > run.first_key ? keys.begin : run.first_key;
  run.end = keys.end < run.first_key + kAttentionSplit ? keys.end : run.first_key + kAttentionSplit;
  return run.begin < run.end;
}

// Shared memory of a block, in floats.
template <int heads>
struct RunRoom {
  float* q;        // [heads][dims], dims padded to a multiple of 4
  float* weights;  // [heads][kAttentionSplit]
  float* reduce;   // [2][heads][kWarps]
  float* sums;     // [parts][heads][width]: kThreads * heads
  int32_t dims;
  __device__ RunRoom(float* base, int32_t head_dim) : dims((head_dim + 3) / 4 * 4) {
    q = base;
    weights = q + heads * dims;
    reduce = weights + heads * kAttentionSplit;
    sums = reduce + 2 * heads * kWarps;
  }
};
constexpr int64_t run_room_floats(int heads, int32_t head_dim) {
  return int64_t{heads} * ((head_dim + 3) / 4 * 4 + kAttentionSplit + 2 * kWarps + kThreads);
}

template <KvType type, int heads>
__device__ __forceinline__ void score_key(const Attending& a, const Run& run, const RunRoom<heads>& room,
                                          float (&scores)[heads]) {
  const int32_t key = run.first_key + static_cast<int32_t>(threadIdx.x), slot = key % kKvBlockTokens;
  FSV_UNROLL for (int h = 0; h < heads; ++h) scores[h] = -INFINITY;
  if (key < run.begin || key >= run.end) return;
  uint8_t* head =
      run.view->blocks[key / kKvBlockTokens] + a.places.k_offset_bytes + run.kv_head * a.places.k_head_bytes;
  float dots[heads] = {};
  for (int32_t d = 0; d < room.dims; d += 4) {
    float k[4];
    FSV_UNROLL for (int i = 0; i < 4; ++i) {
      k[i] = d + i < a.places.head_dim ? read_kv<type>(head, key_index(type, d + i, slot)) : 0.0f;
    }
    FSV_UNROLL for (int h = 0; h < heads; ++h) {
      const float4 q = *reinterpret_cast<const float4*>(room.q + h * room.dims + d);
      dots[h] = fmaf(q.w, k[3], fmaf(q.z, k[2], fmaf(q.y, k[1], fmaf(q.x, k[0], dots[h]))));
    }
  }
  const float factor = type == KvType::kQ8 ? a.scale * kv_scales(head, a.places.head_dim)[slot] : a.scale;
  FSV_UNROLL for (int h = 0; h < heads; ++h) scores[h] = cap_score(dots[h] * factor, a.softcap);
}

// Scores to weights, exp(score - maximum), in shared memory; maxima and sums of the heads in every thread.
template <int heads>
__device__ __forceinline__ void weigh(const RunRoom<heads>& room, const float (&scores)[heads], float (&maxima)[heads],
                                      float (&sums)[heads]) {
  const int lane = lane_index(), warp = warp_index();
  FSV_UNROLL for (int h = 0; h < heads; ++h) {
    const float largest = warp_max(scores[h]);
    if (lane == 0) room.reduce[h * kWarps + warp] = largest;
  }
  __syncthreads();
  FSV_UNROLL for (int h = 0; h < heads; ++h) {
    maxima[h] = room.reduce[h * kWarps];
    for (int w = 1; w < kWarps; ++w) maxima[h] = fmaxf(maxima[h], room.reduce[h * kWarps + w]);
    // What does not count scores -inf, and a run has at least one key that does; NaN keys stay visible.
    const float weight = expf(scores[h] - maxima[h]);
    room.weights[h * kAttentionSplit + static_cast<int>(threadIdx.x)] = weight;
    const float sum = warp_sum(weight);
    if (lane == 0) room.reduce[(heads + h) * kWarps + warp] = sum;
  }
  __syncthreads();
  FSV_UNROLL for (int h = 0; h < heads; ++h) {
    sums[h] = 0.0f;
    for (int w = 0; w < kWarps; ++w) sums[h] += room.reduce[(heads + h) * kWarps + w];
  }
}

// Dimensions [chunk, chunk + width) of the weighted values: thread i has dimension i % width of part i / width, which
// takes every parts-th block of keys.
template <KvType type, int heads>
__device__ __forceinline__ void weigh_values(const Attending& a, const Run& run, const RunRoom<heads>& room,
                                             int32_t chunk, int32_t width, float* partial, int64_t head_stride) {
  const int32_t parts = kThreads / width, thread = static_cast<int32_t>(threadIdx.x);
  const int32_t part = thread / width, d = chunk + thread % width, value_dim = a.places.value_dim;
  const bool works = part < parts && d < value_dim;
  float acc[heads] = {};
  for (int32_t first = run.first_key + part * kKvBlockTokens; works && first < run.end;
       first += parts * kKvBlockTokens) {
    if (first + kKvBlockTokens <= run.begin) continue;
    uint8_t* head =
        run.view->blocks[first / kKvBlockTokens] + a.places.v_offset_bytes + run.kv_head * a.places.v_head_bytes;
    for (int32_t slot = 0; slot < kKvBlockTokens; ++slot) {
      const int32_t key = first + slot;
      if (key < run.begin || key >= run.end) continue;
      float value = read_kv<type>(head, value_index(type, d, slot, value_dim));
      if constexpr (type == KvType::kQ8) value *= kv_scales(head, value_dim)[slot];
      FSV_UNROLL for (int h = 0; h < heads; ++h) {
        acc[h] = fmaf(room.weights[h * kAttentionSplit + key - run.first_key], value, acc[h]);
      }
    }
  }
  if (works) {
    FSV_UNROLL for (int h = 0; h < heads; ++h) room.sums[(part * heads + h) * width + thread % width] = acc[h];
  }
  __syncthreads();
  for (int32_t i = thread; i < heads * width; i += kThreads) {
    const int32_t h = i / width;
    if (h >= run.heads || chunk + i % width >= value_dim) continue;
    float sum = 0.0f;
    for (int32_t p = 0; p < parts; ++p) sum += room.sums[(p * heads + h) * width + i % width];
    partial[h * head_stride + 2 + chunk + i % width] = sum;
  }
  __syncthreads();
}

template <KvType type, int heads>
__global__ void __launch_bounds__(kThreads) split_kernel(FSV_GRID_CONSTANT Attending a) {
  Run run;
  if (!find_run(a, heads, run)) return;
  const int32_t head_dim = a.places.head_dim, value_dim = a.places.value_dim;
  const RunRoom<heads> room(reinterpret_cast<float*>(shared_memory()), head_dim);
  const float* q = a.q + run.row * a.q_stride + static_cast<int64_t>(run.head_begin) * head_dim;
  for (int32_t i = static_cast<int32_t>(threadIdx.x); i < heads * room.dims; i += kThreads) {
    const int32_t h = i / room.dims, d = i % room.dims;
    room.q[i] = h < run.heads && d < head_dim ? q[static_cast<int64_t>(h) * head_dim + d] : 0.0f;
  }
  __syncthreads();
  float scores[heads], maxima[heads], sums[heads];
  score_key<type, heads>(a, run, room, scores);
  weigh<heads>(room, scores, maxima, sums);
  const int64_t head_stride = static_cast<int64_t>(a.splits) * (2 + value_dim);
  float* partial = a.partial + (static_cast<int64_t>(blockIdx.z) * a.head_count + run.head_begin) * head_stride +
                   static_cast<int64_t>(blockIdx.x) * (2 + value_dim);
  if (threadIdx.x == 0) {
    FSV_UNROLL for (int h = 0; h < heads; ++h) {
      if (h >= run.heads) continue;
      partial[h * head_stride] = maxima[h];
      partial[h * head_stride + 1] = sums[h];
    }
  }
  const int32_t padded = (value_dim + kWarp - 1) / kWarp * kWarp, width = padded < kThreads ? padded : kThreads;
  for (int32_t chunk = 0; chunk < value_dim; chunk += width) {
    weigh_values<type, heads>(a, run, room, chunk, width, partial, head_stride);
  }
}

// One warp puts the runs of a row and head together.
__global__ void __launch_bounds__(kThreads) combine_kernel(FSV_GRID_CONSTANT Attending a) {
  const int32_t head = static_cast<int32_t>(blockIdx.x) * kWarps + warp_index();
  const int32_t row = a.row_begin + static_cast<int32_t>(blockIdx.y), value_dim = a.places.value_dim;
  const KvView* view = sequence_of_row(a.sequences, a.sequence_count, row);
  if (head >= a.head_count || view == nullptr) return;
  const KeyRange keys = keys_of(*view, row, a.window, a.bidirectional);
  const int32_t splits = (keys.end - 1) / kAttentionSplit - keys.begin / kAttentionSplit + 1;
  const int64_t stride = 2 + value_dim;
  const float* partial = a.partial + (static_cast<int64_t>(blockIdx.y) * a.head_count + head) * a.splits * stride;
  float maximum = partial[0];
  for (int32_t s = 1; s < splits; ++s) maximum = fmaxf(maximum, partial[s * stride]);
  float sum = 0.0f;
  for (int32_t s = 0; s < splits; ++s) sum += expf(partial[s * stride] - maximum) * partial[s * stride + 1];
  if (a.sinks != nullptr) sum += expf(a.sinks[head] - maximum);
  float* output = a.output + row * a.output_stride + static_cast<int64_t>(head) * value_dim;
  for (int32_t d = lane_index(); d < value_dim; d += kWarp) {
    float value = 0.0f;
    for (int32_t s = 0; s < splits; ++s) value += expf(partial[s * stride] - maximum) * partial[s * stride + 2 + d];
    output[d] = value * (1.0f / sum);
  }
}

int32_t splits_of(const DeviceAttentionArgs& args) {
  const AttentionArgs& a = args.attention;
  const auto all = static_cast<int32_t>(divide_up(args.key_count_max, kAttentionSplit));
  if (a.window <= 0) return all;
  const int64_t keys = a.bidirectional != 0 ? 2 * int64_t{a.window} : a.window;
  const auto seen = static_cast<int32_t>(keys / kAttentionSplit + 2);
  return seen < all ? seen : all;
}

int32_t rows_of_launch(const AttentionArgs& a) {
  const int32_t rows = a.row_end - a.row_begin;
  return rows < kRowsOfLaunch ? rows : kRowsOfLaunch;
}

template <KvType type, int heads>
DeviceResult launch_split(DeviceQueue* queue, const Attending& a, DeviceMessage* message) {
  const int64_t chunks = divide_up(a.group, heads);
  const Grid grid = {a.splits, a.places.kv_head_count * chunks, a.row_end - a.row_begin};
  const auto shared_bytes = static_cast<size_t>(run_room_floats(heads, a.places.head_dim)) * sizeof(float);
  return launch(queue, "attention", split_kernel<type, heads>, grid, shared_bytes, message, a);
}

template <KvType type>
DeviceResult launch_type(DeviceQueue* queue, const Attending& a, DeviceMessage* message) {
  if (a.group == 1) return launch_split<type, 1>(queue, a, message);
  if (a.group == 2) return launch_split<type, 2>(queue, a, message);
  if (a.group <= 4) return launch_split<type, 4>(queue, a, message);
  return launch_split<type, kHeadsMax>(queue, a, message);
}

DeviceResult launch_rows(DeviceQueue* queue, const Attending& a, DeviceMessage* message) {
  switch (a.places.type) {
    case KvType::kF16:
      FSV_DEVICE_TRY(launch_type<KvType::kF16>(queue, a, message));
      break;
    case KvType::kF32:
      FSV_DEVICE_TRY(launch_type<KvType::kF32>(queue, a, message));
      break;
    case KvType::kBF16:
      FSV_DEVICE_TRY(launch_type<KvType::kBF16>(queue, a, message));
      break;
    case KvType::kQ8:
      FSV_DEVICE_TRY(launch_type<KvType::kQ8>(queue, a, message));
      break;
    default:
      return invalid(message, "attention: a type of keys without kernel");
  }
  const Grid grid = {divide_up(a.head_count, kWarps), a.row_end - a.row_begin};
  return launch(queue, "attention, runs put together", combine_kernel, grid, 0, message, a);
}

}  // namespace

uint64_t attention_scratch_bytes(const DeviceAttentionArgs* args) {
  if (suits_prefill(*args)) return 0;
  const AttentionArgs& a = args->attention;
  return static_cast<uint64_t>(rows_of_launch(a)) * static_cast<uint64_t>(a.head_count) *
         static_cast<uint64_t>(splits_of(*args)) * static_cast<uint64_t>(2 + a.layer->value_dim) * sizeof(float);
}

DeviceResult attention(DeviceQueue* queue, const DeviceAttentionArgs* args, DeviceMessage* message) {
  constexpr int32_t kHeadDimMax = 1024;
  const AttentionArgs& in = args->attention;
  const KvLayer& layer = *in.layer;
  if (layer.kv_head_count < 1 || in.head_count % layer.kv_head_count != 0) {
    return invalid(message, "attention: query heads are no multiple of kv heads");
  }
  if (in.head_begin != 0 || in.head_end != in.head_count) return invalid(message, "attention: all heads at once");
  if (layer.head_dim > kHeadDimMax) return invalid(message, "attention: heads of more than 1024 dimensions");
  if (args->scratch.size_bytes < attention_scratch_bytes(args)) {
    return invalid(message, "attention: the scratch is too small");
  }
  Attending attending = {kv_places(layer),
                         in.sequences,
                         in.sequence_count,
                         in.head_count,
                         in.head_count / layer.kv_head_count,
                         in.q,
                         in.q_stride,
                         in.scale,
                         in.softcap,
                         in.window,
                         in.bidirectional,
                         in.sinks,
                         in.output,
                         in.output_stride,
                         in.row_begin,
                         in.row_end,
                         static_cast<float*>(args->scratch.data),
                         splits_of(*args)};
  if (suits_prefill(*args)) return launch_prefill(queue, *args, attending, message);
  for (int32_t row = in.row_begin; row < in.row_end; row += kRowsOfLaunch) {
    attending.row_begin = row;
    attending.row_end = row + kRowsOfLaunch < in.row_end ? row + kRowsOfLaunch : in.row_end;
    FSV_DEVICE_TRY(launch_rows(queue, attending, message));
  }
  return DeviceResult::kOk;
}

}  // namespace fastserve::kernels::cuda
