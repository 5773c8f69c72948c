// Attention of many rows of a sequence by tensor cores: a block has up to 128 pairs of row and query head that share a
// kv head, a warp sixteen of them, and all walk over 32 keys at a time with a running maximum ("Online normalizer
// calculation for softmax", Milakov, Gimelshein). Keys and values become pairs of 16 bits in shared memory as fragments
// want them: bf16 as they lie, f16 and int8 (exact in f16) on the way. Scores and sums are f32; q and the weights are
// rounded to the type of the products, as kernel_api.h has it for kBF16. Bound: tensor cores.
#include "kernels/cuda/attention.cuh"
#include "kernels/cuda/launch.cuh"

namespace fastserve::kernels::cuda {
namespace {

constexpr int kPairsOfBlock = 16 * kWarps;  // of row and query head
constexpr int kStepKeys = 2 * kKvBlockTokens;
constexpr int kKeyStride = 24;  // words of a pair of dimensions: 16 tokens, and room so that lanes do not share banks

template <int dims>
struct StepRoom {
  static constexpr int kValueStride = dims + 8;
  static constexpr int kKeyWords = dims / 2 * kKeyStride;  // of a block of keys
  static constexpr int kValueWords = kKvBlockTokens / 2 * kValueStride;
  uint32_t* keys;    // [2][dims/2][kKeyStride]
  uint32_t* values;  // [2][8][kValueStride]
  float* key_scales;
  float* value_scales;
  __device__ explicit StepRoom(uint8_t* shared)
      : keys(reinterpret_cast<uint32_t*>(shared)),
        values(keys + 2 * kKeyWords),
        key_scales(reinterpret_cast<float*>(values + 2 * kValueWords)),
        value_scales(key_scales + kStepKeys) {}
  static constexpr size_t size_bytes() { return (2 * (kKeyWords + kValueWords) + 2 * kStepKeys) * 4; }
};

// The rows of a block.
struct Tile {
  const KvView* view;
  int32_t row_begin, row_count;
};

__device__ inline Tile find_tile(const Attending& a, int32_t rows_of_tile) {
  auto tile = static_cast<int32_t>(blockIdx.x);
  for (int32_t s = 0; s < a.sequence_count; ++s) {
    const KvView& view = a.sequences[s];
    const int32_t begin = view.row_begin > a.row_begin ? view.row_begin : a.row_begin;
    const int32_t sequence_end = view.row_begin + view.row_count;
    const int32_t end = sequence_end < a.row_end ? sequence_end : a.row_end;
    if (end <= begin) continue;
    const int32_t tiles = (end - begin + rows_of_tile - 1) / rows_of_tile;
    if (tile < tiles) {
      const int32_t first = begin + tile * rows_of_tile;
      return {&view, first, end - first < rows_of_tile ? end - first : rows_of_tile};
    }
    tile -= tiles;
  }
  return {nullptr, 0, 0};
}

template <KvType type>
__device__ __forceinline__ uint32_t pack_pair(float first, float second) {
  if constexpr (type == KvType::kBF16) {
    return float_to_bf16_bits(first) | static_cast<uint32_t>(float_to_bf16_bits(second)) << 16;
  } else {
    return float_to_half_bits(first) | static_cast<uint32_t>(float_to_half_bits(second)) << 16;
  }
}

// Elements `first` and `second` of a head as a pair; `second` < 0: zero.
template <KvType type>
__device__ __forceinline__ uint32_t read_pair(const uint8_t* head, int64_t first, int64_t second) {
  if constexpr (type == KvType::kQ8) {
    return pack_pair<type>(read_kv<type>(head, first), second < 0 ? 0.0f : read_kv<type>(head, second));
  } else {
    const auto* bits = reinterpret_cast<const uint16_t*>(head);
    return bits[first] | (second < 0 ? 0u : static_cast<uint32_t>(bits[second]) << 16);
  }
}

template <KvType type, int dims>
__device__ __forceinline__ void load_keys(const Attending& a, uint8_t* head, int part, const StepRoom<dims>& room) {
  const int32_t head_dim = a.places.head_dim;
  uint32_t* target = room.keys + part * room.kKeyWords;
  for (int i = static_cast<int>(threadIdx.x); i < dims / 2 * kKvBlockTokens; i += kThreads) {
    const int pair = i / kKvBlockTokens, slot = i % kKvBlockTokens, d = 2 * pair;
    uint32_t word = 0;
    if (head != nullptr && d < head_dim) {
      word = read_pair<type>(head, key_index(type, d, slot), d + 1 < head_dim ? key_index(type, d + 1, slot) : -1);
    }
    target[pair * kKeyStride + slot] = word;
  }
  if (type == KvType::kQ8 && threadIdx.x < kKvBlockTokens) {
    room.key_scales[part * kKvBlockTokens + threadIdx.x] =
        head != nullptr ? kv_scales(head, head_dim)[threadIdx.x] : 0.0f;
  }
}

// Tokens from `count` on are not written yet: zeros, since a weight of zero times any bits need not be zero.
template <KvType type, int dims>
__device__ __forceinline__ void load_values(const Attending& a, uint8_t* head, int part, int count,
                                            const StepRoom<dims>& room) {
  const int32_t value_dim = a.places.value_dim;
  uint32_t* target = room.values + part * room.kValueWords;
  for (int i = static_cast<int>(threadIdx.x); i < dims * kKvBlockTokens / 2; i += kThreads) {
    const int pair = i / dims, d = i % dims, slot = 2 * pair;
    uint32_t word = 0;
    if (head != nullptr && d < value_dim && slot < count) {
      word = read_pair<type>(head, value_index(type, d, slot, value_dim),
                             slot + 1 < count ? value_index(type, d, slot + 1, value_dim) : -1);
    }
    target[pair * room.kValueStride + d] = word;
  }
  if (type == KvType::kQ8 && threadIdx.x < kKvBlockTokens) {
    const bool valid = head != nullptr && static_cast<int>(threadIdx.x) < count;
    room.value_scales[part * kKvBlockTokens + threadIdx.x] = valid ? kv_scales(head, value_dim)[threadIdx.x] : 0.0f;
  }
}

// Keys [first, first + kStepKeys) of which [begin, end) exist.
template <KvType type, int dims>
__device__ __forceinline__ void load_step(const Attending& a, const KvView& view, int32_t kv_head, int32_t first,
                                          int32_t begin, int32_t end, const StepRoom<dims>& room) {
  for (int part = 0; part < 2; ++part) {
    const int32_t token = first + part * kKvBlockTokens;
    const bool exists = token < end && token + kKvBlockTokens > begin;
    uint8_t* block = exists ? view.blocks[token / kKvBlockTokens] : nullptr;
    uint8_t* key_head = exists ? block + a.places.k_offset_bytes + kv_head * a.places.k_head_bytes : nullptr;
    uint8_t* value_head = exists ? block + a.places.v_offset_bytes + kv_head * a.places.v_head_bytes : nullptr;
    load_keys<type, dims>(a, key_head, part, room);
    load_values<type, dims>(a, value_head, part, end - token, room);
  }
}

template <KvType type>
__device__ __forceinline__ void multiply(float (&c)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1) {
  if constexpr (type == KvType::kBF16) {
    mma_bf16(c, a, b0, b1);
  } else {
    mma_f16(c, a, b0, b1);
  }
}

// What a warp knows of its sixteen pairs; a lane has those of rows g and g + 8 of its fragments.
template <int dims>
struct Queries {
  uint32_t q[dims / 16][4];
  KeyRange keys[2];
  int64_t row[2];
  int32_t head[2];
  bool exists[2];
  float maximum[2], sum[2];
  float output[dims / 8][4];
};

template <KvType type, int dims>
__device__ __forceinline__ void load_queries(const Attending& a, const Tile& tile, int32_t kv_head,
                                             Queries<dims>& own) {
  const int g = lane_index() / 4, t = lane_index() % 4;
  const float* rows[2];
  FSV_UNROLL for (int i = 0; i < 2; ++i) {
    const int32_t pair = warp_index() * 16 + g + 8 * i;
    own.exists[i] = pair < tile.row_count * a.group;
    own.row[i] = tile.row_begin + (own.exists[i] ? pair / a.group : 0);
    own.head[i] = kv_head * a.group + (own.exists[i] ? pair % a.group : 0);
    own.keys[i] = keys_of(*tile.view, static_cast<int32_t>(own.row[i]), a.window, a.bidirectional);
    if (!own.exists[i]) own.keys[i].end = own.keys[i].begin;
    own.maximum[i] = -INFINITY;
    own.sum[i] = 0.0f;
    rows[i] = a.q + own.row[i] * a.q_stride + static_cast<int64_t>(own.head[i]) * a.places.head_dim;
  }
  FSV_UNROLL for (int step = 0; step < dims / 16; ++step) {
    FSV_UNROLL for (int i = 0; i < 4; ++i) {
      const int d = 16 * step + 2 * t + i / 2 * 8;
      const float first = d < a.places.head_dim ? rows[i % 2][d] : 0.0f;
      const float second = d + 1 < a.places.head_dim ? rows[i % 2][d + 1] : 0.0f;
      own.q[step][i] = pack_pair<type>(first, second);
    }
  }
  FSV_UNROLL for (int n = 0; n < dims / 8; ++n) { FSV_UNROLL for (int i = 0; i < 4; ++i) own.output[n][i] = 0.0f; }
}

// Scores of the step's keys, -inf where a row does not see a key.
template <KvType type, int dims>
__device__ __forceinline__ void score_step(const Attending& a, const Queries<dims>& own, int32_t first,
                                           const StepRoom<dims>& room, float (&scores)[4][4]) {
  const int g = lane_index() / 4, t = lane_index() % 4;
  FSV_UNROLL for (int j = 0; j < 4; ++j) {
    FSV_UNROLL for (int i = 0; i < 4; ++i) scores[j][i] = 0.0f;
    const uint32_t* keys = room.keys + j / 2 * room.kKeyWords + j % 2 * 8 + g;
    FSV_UNROLL for (int step = 0; step < dims / 16; ++step) {
      multiply<type>(scores[j], own.q[step], keys[(8 * step + t) * kKeyStride], keys[(8 * step + t + 4) * kKeyStride]);
    }
    FSV_UNROLL for (int i = 0; i < 4; ++i) {
      const int index = 8 * j + 2 * t + i % 2;
      float score = scores[j][i] * a.scale;
      if constexpr (type == KvType::kQ8) score *= room.key_scales[index];
      const KeyRange& seen = own.keys[i / 2];
      const bool counts = first + index >= seen.begin && first + index < seen.end;
      scores[j][i] = counts ? cap_score(score, a.softcap) : -INFINITY;
    }
  }
}

// Scores to weights; what was summed so far is scaled to the new maximum.
template <int dims>
__device__ __forceinline__ void weigh_step(Queries<dims>& own, float (&scores)[4][4]) {
  FSV_UNROLL for (int r = 0; r < 2; ++r) {
    float maximum = own.maximum[r];
    FSV_UNROLL for (int j = 0; j < 4; ++j) maximum = fmaxf(maximum, fmaxf(scores[j][2 * r], scores[j][2 * r + 1]));
    maximum = fmaxf(maximum, __shfl_xor_sync(kAllLanes, maximum, 1));
    maximum = fmaxf(maximum, __shfl_xor_sync(kAllLanes, maximum, 2));
    const float safe = maximum == -INFINITY ? 0.0f : maximum;  // no key seen yet
    const float keep = expf(own.maximum[r] - safe);
    float sum = 0.0f;
    FSV_UNROLL for (int j = 0; j < 4; ++j) {
      FSV_UNROLL for (int i = 2 * r; i < 2 * r + 2; ++i) {
        scores[j][i] = expf(scores[j][i] - safe);
        sum += scores[j][i];
      }
    }
    sum += __shfl_xor_sync(kAllLanes, sum, 1);
    sum += __shfl_xor_sync(kAllLanes, sum, 2);
    own.sum[r] = own.sum[r] * keep + sum;
    own.maximum[r] = maximum;
    FSV_UNROLL for (int n = 0; n < dims / 8; ++n) {
      own.output[n][2 * r] *= keep;
      own.output[n][2 * r + 1] *= keep;
    }
  }
}

template <KvType type, int dims>
__device__ __forceinline__ void add_values(Queries<dims>& own, const float (&weights)[4][4],
                                           const StepRoom<dims>& room) {
  const int g = lane_index() / 4, t = lane_index() % 4;
  FSV_UNROLL for (int part = 0; part < 2; ++part) {
    uint32_t a[4];
    FSV_UNROLL for (int i = 0; i < 4; ++i) {
      const int j = 2 * part + i / 2, row = i % 2;
      float first = weights[j][2 * row], second = weights[j][2 * row + 1];
      if constexpr (type == KvType::kQ8) {
        first *= room.value_scales[8 * j + 2 * t];
        second *= room.value_scales[8 * j + 2 * t + 1];
      }
      a[i] = pack_pair<type>(first, second);
    }
    const uint32_t* values = room.values + part * room.kValueWords + g;
    FSV_UNROLL for (int n = 0; n < dims / 8; ++n) {
      multiply<type>(own.output[n], a, values[t * room.kValueStride + 8 * n],
                     values[(t + 4) * room.kValueStride + 8 * n]);
    }
  }
}

template <int dims>
__device__ __forceinline__ void store_output(const Attending& a, const Queries<dims>& own) {
  const int t = lane_index() % 4;
  FSV_UNROLL for (int r = 0; r < 2; ++r) {
    if (!own.exists[r]) continue;
    const float sink = a.sinks != nullptr ? expf(a.sinks[own.head[r]] - own.maximum[r]) : 0.0f;
    const float factor = 1.0f / (own.sum[r] + sink);
    float* output = a.output + own.row[r] * a.output_stride + static_cast<int64_t>(own.head[r]) * a.places.value_dim;
    FSV_UNROLL for (int n = 0; n < dims / 8; ++n) {
      FSV_UNROLL for (int i = 0; i < 2; ++i) {
        const int d = 8 * n + 2 * t + i;
        if (d < a.places.value_dim) output[d] = own.output[n][2 * r + i] * factor;
      }
    }
  }
}

template <KvType type, int dims>
__global__ void __launch_bounds__(kThreads) prefill_kernel(FSV_GRID_CONSTANT Attending a) {
  const StepRoom<dims> room(shared_memory());
  const auto kv_head = static_cast<int32_t>(blockIdx.y);
  const Tile tile = find_tile(a, kPairsOfBlock / a.group);
  if (tile.view == nullptr) return;
  Queries<dims> own;
  load_queries<type, dims>(a, tile, kv_head, own);
  const int32_t begin = keys_of(*tile.view, tile.row_begin, a.window, a.bidirectional).begin;
  const int32_t end = keys_of(*tile.view, tile.row_begin + tile.row_count - 1, a.window, a.bidirectional).end;
  for (int32_t first = begin / kStepKeys * kStepKeys; first < end; first += kStepKeys) {
    load_step<type, dims>(a, *tile.view, kv_head, first, begin, end, room);
    __syncthreads();
    float weights[4][4];
    score_step<type, dims>(a, own, first, room, weights);
    weigh_step<dims>(own, weights);
    add_values<type, dims>(own, weights, room);
    __syncthreads();
  }
  store_output<dims>(a, own);
}

template <KvType type, int dims>
DeviceResult launch_dims(DeviceQueue* queue, const Attending& a, Grid grid, DeviceMessage* message) {
  return launch(queue, "attention of many rows", prefill_kernel<type, dims>, grid, StepRoom<dims>::size_bytes(),
                message, a);
}

template <KvType type>
DeviceResult launch_type(DeviceQueue* queue, const Attending& a, Grid grid, DeviceMessage* message) {
  const int32_t dim = a.places.head_dim > a.places.value_dim ? a.places.head_dim : a.places.value_dim;
  if (dim <= 64) return launch_dims<type, 64>(queue, a, grid, message);
  if (dim <= 128) return launch_dims<type, 128>(queue, a, grid, message);
  return launch_dims<type, 256>(queue, a, grid, message);
}

}  // namespace

bool suits_prefill(const DeviceAttentionArgs& args) {
  constexpr int32_t kRowsMin = 16, kDimMax = 256;
  const KvLayer& layer = *args.attention.layer;
  return args.sequence_rows_max >= kRowsMin && (args.flags & (kDeviceInvariant | kDeviceExact)) == 0 &&
         layer.type != KvType::kF32 && layer.head_dim <= kDimMax && layer.value_dim <= kDimMax &&
         args.attention.head_count / layer.kv_head_count <= kPairsOfBlock;
}

DeviceResult launch_prefill(DeviceQueue* queue, const DeviceAttentionArgs& args, const Attending& a,
                            DeviceMessage* message) {
  const int64_t rows = a.row_end - a.row_begin;
  const int64_t tiles = rows / (kPairsOfBlock / a.group) + args.attention.sequence_count;  // an upper bound
  const Grid grid = {rows > 0 ? tiles : 0, a.places.kv_head_count};
  switch (a.places.type) {
    case KvType::kF16:
      return launch_type<KvType::kF16>(queue, a, grid, message);
    case KvType::kBF16:
      return launch_type<KvType::kBF16>(queue, a, grid, message);
    case KvType::kQ8:
      return launch_type<KvType::kQ8>(queue, a, grid, message);
    default:
      return invalid(message, "attention: a type of keys without kernel");
  }
}

}  // namespace fastserve::kernels::cuda
