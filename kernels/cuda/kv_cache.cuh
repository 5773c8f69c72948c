// The paged cache as kernels see it; its layout stands in kernel_api.h.
#pragma once
#include "kernels/cuda/simt.cuh"
#include "kernels/kernel_api.h"

namespace fastserve::kernels::cuda {

// A layer's places, computed once on the host.
struct KvPlaces {
  KvType type;
  int32_t kv_head_count, head_dim, value_dim;
  int64_t k_offset_bytes, v_offset_bytes;
  int64_t k_head_bytes, v_head_bytes;
};
inline KvPlaces kv_places(const KvLayer& layer) {
  return {layer.type,
          layer.kv_head_count,
          layer.head_dim,
          layer.value_dim,
          layer.k_offset_bytes,
          layer.v_offset_bytes,
          kv_head_bytes(layer.type, layer.head_dim),
          kv_head_bytes(layer.type, layer.value_dim)};
}

// The sequence of a batch row, or none. Rows of sequences follow one another.
__device__ __forceinline__ const KvView* sequence_of_row(const KvView* sequences, int32_t count, int32_t row) {
  int32_t first = 0, last = count;  // of the sequences, the first that ends behind the row
  while (first < last) {
    const int32_t middle = (first + last) / 2;
    if (sequences[middle].row_begin + sequences[middle].row_count <= row) {
      first = middle + 1;
    } else {
      last = middle;
    }
  }
  return first < count && sequences[first].row_begin <= row ? sequences + first : nullptr;
}

struct KeyRange {
  int32_t begin, end;  // positions
};
__device__ __forceinline__ KeyRange keys_of(const KvView& view, int32_t row, int32_t window, int32_t bidirectional) {
  const int32_t position = view.position_begin + (row - view.row_begin);
  KeyRange keys = {0, bidirectional != 0 ? view.position_begin + view.row_count : position + 1};
  if (window > 0) {
    if (position >= window) keys.begin = position - window + 1;
    if (keys.end - position > window) keys.end = position + window;
  }
  return keys;
}

// Elements of a head, in elements of its type.
__device__ __forceinline__ int64_t key_index(KvType type, int32_t d, int32_t slot) {
  if (type == KvType::kBF16) return static_cast<int64_t>(d / 2) * (2 * kKvBlockTokens) + slot * 2 + d % 2;
  return static_cast<int64_t>(d) * kKvBlockTokens + slot;
}
__device__ __forceinline__ int64_t value_index(KvType type, int32_t d, int32_t slot, int32_t value_dim) {
  if (type == KvType::kBF16) return (static_cast<int64_t>(slot / 2) * value_dim + d) * 2 + slot % 2;
  return static_cast<int64_t>(slot) * value_dim + d;
}

// An element as a float; kQ8 without its scale.
template <KvType type>
__device__ __forceinline__ float read_kv(const uint8_t* head, int64_t index) {
  if constexpr (type == KvType::kF32) {
    return reinterpret_cast<const float*>(head)[index];
  } else if constexpr (type == KvType::kF16) {
    return half_bits_to_float(reinterpret_cast<const uint16_t*>(head)[index]);
  } else if constexpr (type == KvType::kBF16) {
    return bf16_bits_to_float(reinterpret_cast<const uint16_t*>(head)[index]);
  } else {
    return static_cast<float>(reinterpret_cast<const int8_t*>(head)[index]);
  }
}

// kQ8: the scales of a head's 16 tokens, behind its values.
__device__ __forceinline__ float* kv_scales(uint8_t* head, int32_t dim) {
  return reinterpret_cast<float*>(head + static_cast<int64_t>(dim) * kKvBlockTokens);
}

}  // namespace fastserve::kernels::cuda
