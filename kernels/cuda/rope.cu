// Between the projections and attention: heads of q and k are normalised and rotated, k and v go to the paged cache.
// One warp for a head of a row; one launch for all of them. Bound: bytes of q, k and v, read and written once.
#include "kernels/cuda/entries.cuh"
#include "kernels/cuda/kv_cache.cuh"
#include "kernels/cuda/launch.cuh"

namespace fastserve::kernels::cuda {
namespace {

constexpr int kHeadDimMax = 1024;

struct HeadArgs {
  float* q = nullptr;  // written in place
  int64_t q_stride = 0;
  int32_t q_heads = 0, q_dim = 0;
  int32_t rope_dims = 0;
  RopeKind kind = RopeKind::kAdjacent;
  float norm_eps = 0.0f;
  const float *q_norm = nullptr, *k_norm = nullptr;
  const float *cosines = nullptr, *sines = nullptr;
  KvPlaces places = {};  // kv_head_count 0: nothing is appended
  const KvView* sequences = nullptr;
  int32_t sequence_count = 0;
  const float* k = nullptr;
  int64_t k_stride = 0;
  const float* v = nullptr;
  int64_t v_stride = 0;
  int64_t row_begin = 0;
  int32_t head_room = 0;  // floats of shared memory for a head
};

__device__ void load_head(const float* source, int32_t dim, float* x) {
  for (int32_t d = lane_index(); d < dim; d += kWarp) x[d] = source[d];
  __syncwarp();
}

__device__ void norm_head(float* x, int32_t dim, const float* weight, float eps) {
  if (weight == nullptr) return;
  float squares = 0.0f;
  for (int32_t d = lane_index(); d < dim; d += kWarp) squares += x[d] * x[d];
  const float scale = 1.0f / sqrtf(warp_sum(squares) / static_cast<float>(dim) + eps);
  for (int32_t d = lane_index(); d < dim; d += kWarp) x[d] = x[d] * scale * weight[d];
  __syncwarp();
}

__device__ void rotate_head(float* x, const HeadArgs& args, int64_t row) {
  const int32_t pairs = args.rope_dims / 2;
  const bool adjacent = args.kind == RopeKind::kAdjacent;
  const float* cosines = args.cosines + row * pairs;
  const float* sines = args.sines + row * pairs;
  for (int32_t i = lane_index(); i < pairs; i += kWarp) {
    float& first = x[adjacent ? 2 * i : i];
    float& second = x[adjacent ? 2 * i + 1 : i + pairs];
    const float a = first, b = second;
    first = __fadd_rn(__fmul_rn(a, cosines[i]), -__fmul_rn(b, sines[i]));
    second = __fadd_rn(__fmul_rn(b, cosines[i]), __fmul_rn(a, sines[i]));
  }
  __syncwarp();
}

// A token's vector into a head of K (is_key) or V.
__device__ void append_head(const float* x, int32_t dim, KvType type, bool is_key, uint8_t* head, int32_t slot) {
  uint32_t top = 0;
  if (type == KvType::kQ8) {
    for (int32_t d = lane_index(); d < dim; d += kWarp) {
      const uint32_t magnitude = __float_as_uint(x[d]) & 0x7fffffffu;
      top = magnitude > top ? magnitude : top;
    }
    for (int step = kWarp / 2; step > 0; step /= 2) {
      const uint32_t other = __shfl_xor_sync(kAllLanes, top, step);
      top = other > top ? other : top;
    }
  }
  constexpr uint32_t kTinyBits = 0x0d800000u;  // 2^-100: below, 127 / amax would overflow
  const bool broken = top >= 0x7f800000u, usable = !broken && top >= kTinyBits;
  const float amax = __uint_as_float(top), inverse = usable ? 127.0f / amax : 0.0f;
  const int32_t padded = type == KvType::kBF16 && is_key ? (dim + 1) / 2 * 2 : dim;
  for (int32_t d = lane_index(); d < padded; d += kWarp) {
    const int64_t index = is_key ? key_index(type, d, slot) : value_index(type, d, slot, dim);
    const float value = d < dim ? x[d] : 0.0f;
    switch (type) {
      case KvType::kF32:
        reinterpret_cast<float*>(head)[index] = value;
        break;
      case KvType::kF16:
        reinterpret_cast<uint16_t*>(head)[index] = float_to_half_bits(value);
        break;
      case KvType::kBF16:
        reinterpret_cast<uint16_t*>(head)[index] = float_to_bf16_bits(value);
        break;
      case KvType::kQ8: {
        const float magic = 12582912.0f;  // 1.5 * 2^23 leaves no room for a fraction
        const float rounded = __fadd_rn(__fadd_rn(__fmul_rn(value, inverse), magic), -magic);
        reinterpret_cast<int8_t*>(head)[index] =
            usable ? static_cast<int8_t>(static_cast<int32_t>(rounded)) : int8_t{0};
        break;
      }
    }
  }
  if (type == KvType::kQ8 && lane_index() == 0) {
    kv_scales(head, dim)[slot] = broken ? __uint_as_float(0x7fc00000u) : usable ? amax / 127.0f : 0.0f;
  }
}

__device__ void append_row(const HeadArgs& args, int64_t row, int32_t head, bool is_key, float* x) {
  const KvPlaces& places = args.places;
  const KvView* view = sequence_of_row(args.sequences, args.sequence_count, static_cast<int32_t>(row));
  if (view == nullptr) return;
  const int32_t dim = is_key ? places.head_dim : places.value_dim;
  const float* source = is_key ? args.k + row * args.k_stride : args.v + row * args.v_stride;
  load_head(source + static_cast<int64_t>(head) * dim, dim, x);
  if (is_key) {
    norm_head(x, dim, args.k_norm, args.norm_eps);
    if (args.rope_dims > 0) rotate_head(x, args, row);
  }
  const int32_t position = view->position_begin + (static_cast<int32_t>(row) - view->row_begin);
  uint8_t* block = view->blocks[position / kKvBlockTokens];
  uint8_t* target = is_key ? block + places.k_offset_bytes + head * places.k_head_bytes
                           : block + places.v_offset_bytes + head * places.v_head_bytes;
  append_head(x, dim, places.type, is_key, target, position % kKvBlockTokens);
}

__global__ void __launch_bounds__(kThreads) heads_kernel(HeadArgs args) {
  const int32_t index = static_cast<int32_t>(blockIdx.y) * kWarps + warp_index();
  const int64_t row = args.row_begin + blockIdx.x;
  float* x = reinterpret_cast<float*>(shared_memory()) + warp_index() * args.head_room;
  const int32_t kv_heads = args.places.kv_head_count;
  if (index < args.q_heads) {
    float* head = args.q + row * args.q_stride + static_cast<int64_t>(index) * args.q_dim;
    load_head(head, args.q_dim, x);
    norm_head(x, args.q_dim, args.q_norm, args.norm_eps);
    if (args.rope_dims > 0) rotate_head(x, args, row);
    for (int32_t d = lane_index(); d < args.q_dim; d += kWarp) head[d] = x[d];
  } else if (index < args.q_heads + 2 * kv_heads) {
    const int32_t head = index - args.q_heads;
    append_row(args, row, head % kv_heads, head < kv_heads, x);
  }
}

// cos and sin in double: large angles lose no digit in the reduction.
__global__ void __launch_bounds__(kThreads) rope_angles_kernel(RopeAnglesArgs args) {
  const int64_t row = args.row_begin + blockIdx.x;
  const int32_t i = static_cast<int32_t>(blockIdx.y) * kThreads + static_cast<int32_t>(threadIdx.x);
  if (i >= args.pair_count) return;
  const double angle = static_cast<double>(__fmul_rn(static_cast<float>(args.positions[row]), args.inv_freq[i]));
  args.cosines[row * args.pair_count + i] = static_cast<float>(cos(angle)) * args.magnitude;
  args.sines[row * args.pair_count + i] = static_cast<float>(sin(angle)) * args.magnitude;
}

void set_append(HeadArgs& heads, const KvAppendArgs& append) {
  heads.places = kv_places(*append.layer);
  heads.sequences = append.sequences;
  heads.sequence_count = append.sequence_count;
  heads.k = append.k;
  heads.k_stride = append.k_stride;
  heads.v = append.v;
  heads.v_stride = append.v_stride;
}

DeviceResult launch_heads(DeviceQueue* queue, const char* what, HeadArgs& heads, int64_t row_begin, int64_t row_end,
                          DeviceMessage* message) {
  heads.row_begin = row_begin;
  int32_t dim = heads.q_dim;
  if (heads.places.head_dim > dim) dim = heads.places.head_dim;
  if (heads.places.value_dim > dim) dim = heads.places.value_dim;
  if (dim > kHeadDimMax) return invalid(message, "rope and append: heads of more than 1024 dimensions");
  heads.head_room = (dim + 3) / 4 * 4;
  const Grid grid = {row_end - row_begin, divide_up(heads.q_heads + 2 * heads.places.kv_head_count, kWarps)};
  return launch(queue, what, heads_kernel, grid, size_t{kWarps} * static_cast<size_t>(heads.head_room) * sizeof(float),
                message, heads);
}

}  // namespace

DeviceResult rope_angles(DeviceQueue* queue, const RopeAnglesArgs* args, DeviceMessage* message) {
  const Grid grid = {args->row_end - args->row_begin, divide_up(args->pair_count, kThreads)};
  return launch(queue, "rope_angles", rope_angles_kernel, grid, 0, message, *args);
}

DeviceResult rope(DeviceQueue* queue, const RopeArgs* args, DeviceMessage* message) {
  HeadArgs heads;
  heads.q = args->data;
  heads.q_stride = args->row_stride;
  heads.q_heads = args->head_count;
  heads.q_dim = args->head_dim;
  heads.rope_dims = args->rope_dims;
  heads.kind = args->kind;
  heads.cosines = args->cosines;
  heads.sines = args->sines;
  return launch_heads(queue, "rope", heads, args->row_begin, args->row_end, message);
}

DeviceResult kv_append(DeviceQueue* queue, const KvAppendArgs* args, DeviceMessage* message) {
  HeadArgs heads;
  set_append(heads, *args);
  return launch_heads(queue, "kv_append", heads, args->row_begin, args->row_end, message);
}

DeviceResult rope_append(DeviceQueue* queue, const DeviceRopeAppendArgs* args, DeviceMessage* message) {
  HeadArgs heads;
  heads.q = args->q;
  heads.q_stride = args->q_stride;
  heads.q_heads = args->head_count;
  heads.q_dim = args->append.layer->head_dim;
  heads.rope_dims = args->rope_dims;
  heads.kind = args->kind;
  heads.norm_eps = args->norm_eps;
  heads.q_norm = args->q_norm_weight;
  heads.k_norm = args->k_norm_weight;
  heads.cosines = args->cosines;
  heads.sines = args->sines;
  set_append(heads, args->append);
  return launch_heads(queue, "rope_append", heads, args->append.row_begin, args->append.row_end, message);
}

}  // namespace fastserve::kernels::cuda
