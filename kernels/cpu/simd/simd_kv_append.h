// Appending to the paged cache on Vec, for include after a vec16.h: the bits of reference/kv_append.cpp.
#pragma once
#include "kernels/cpu/kv_layout.h"

namespace fastserve::kernels {
namespace {

template <typename T>
void put(T* out, const T* values, int count, int64_t step) {
  if (step == 1) {
    for (int i = 0; i < count; ++i) out[i] = values[i];
  } else {
    for (int i = 0; i < count; ++i) out[i * kKvBlockTokens] = values[i];
  }
}

// `count` values that were scaled already, into element `first`, `first` + step, ...; step is 1 or kKvBlockTokens.
template <KvType type>
inline void put_vec(Vec x, uint8_t* head, int64_t first, int64_t step, int count) {
  if constexpr (type == KvType::kF32) {
    float values[kLanes];
    store(values, x);
    put(reinterpret_cast<float*>(head) + first, values, count, step);
  } else if constexpr (type == KvType::kF16) {
    uint16_t values[kLanes];
    store_f16(values, x);
    put(reinterpret_cast<uint16_t*>(head) + first, values, count, step);
  } else {
    int8_t values[kLanes];
    store_int8(values, x);
    put(reinterpret_cast<int8_t*>(head) + first, values, count, step);
  }
}

inline void store_key_bf16(const float* x, int32_t dim, uint8_t* head, int32_t slot) {
  uint32_t* out = reinterpret_cast<uint32_t*>(head) + slot;  // pairs of dimensions; an odd one gets a zero
  for (int32_t d = 0; d < dim; d += kLanes) {
    const int count = dim - d < kLanes ? dim - d : kLanes;
    uint16_t values[kLanes];
    uint32_t pairs[kLanes / 2];
    store_bf16(values, load_first(x + d, count));
    memcpy(pairs, values, sizeof pairs);
    put(out + d / 2 * kKvBlockTokens, pairs, (count + 1) / 2, kKvBlockTokens);
  }
}

inline void store_value_bf16(const float* x, int32_t dim, uint8_t* head, int32_t slot) {
  uint16_t* out = reinterpret_cast<uint16_t*>(head) + kv_bf16_value(0, slot, dim);
  for (int32_t d = 0; d < dim; d += kLanes) {
    const int count = dim - d < kLanes ? dim - d : kLanes;
    uint16_t values[kLanes];
    store_bf16(values, load_first(x + d, count));
    for (int i = 0; i < count; ++i) out[2 * (d + i)] = values[i];
  }
}

// One token's vector into a head of K or V; not for kBF16.
template <KvType type>
inline void store_vector(const float* x, int32_t dim, uint8_t* head, int64_t first, int64_t step, int32_t slot) {
  Vec factor = splat(1.0f);
  if constexpr (type == KvType::kQ8) {
    Vec top = zero();
    for (int32_t d = 0; d < dim; d += kLanes) {
      top = max_bits(top, absolute(load_first(x + d, dim - d < kLanes ? dim - d : kLanes)));
    }
    const uint32_t amax_bits = max_bits_lanes(top);
    kv_q8_scales(head, dim)[slot] = kv_q8_scale(amax_bits);
    if (!kv_q8_usable(amax_bits)) {
      for (int32_t d = 0; d < dim; ++d) reinterpret_cast<int8_t*>(head)[first + d * step] = 0;
      return;
    }
    factor = splat(127.0f / bits_to_float(amax_bits));
  }
  for (int32_t d = 0; d < dim; d += kLanes) {
    const int count = dim - d < kLanes ? dim - d : kLanes;
    Vec v = load_first(x + d, count);
    if constexpr (type == KvType::kQ8) v = v * factor;
    put_vec<type>(v, head, first + d * step, step, count);
  }
}

template <KvType type>
void append_rows(const KvAppendArgs& args) {
  const KvLayer& layer = *args.layer;
  const int64_t k_bytes = kv_head_bytes(type, layer.head_dim);
  const int64_t v_bytes = kv_head_bytes(type, layer.value_dim);
  for (int32_t s = 0; s < args.sequence_count; ++s) {
    const KvView& view = args.sequences[s];
    const KvRows rows = kv_rows_of(view, args.row_begin, args.row_end);
    for (int32_t row = rows.begin; row < rows.end; ++row) {
      const int32_t position = view.position_begin + (row - view.row_begin);
      const int32_t slot = position % kKvBlockTokens;
      uint8_t* block = view.blocks[position / kKvBlockTokens];
      const float* k = args.k + row * args.k_stride;
      const float* v = args.v + row * args.v_stride;
      for (int32_t h = 0; h < layer.kv_head_count; ++h) {
        const float* k_vector = k + int64_t{h} * layer.head_dim;
        const float* v_vector = v + int64_t{h} * layer.value_dim;
        uint8_t* k_head = block + layer.k_offset_bytes + h * k_bytes;
        uint8_t* v_head = block + layer.v_offset_bytes + h * v_bytes;
        if constexpr (type == KvType::kBF16) {
          store_key_bf16(k_vector, layer.head_dim, k_head, slot);
          store_value_bf16(v_vector, layer.value_dim, v_head, slot);
        } else {
          store_vector<type>(k_vector, layer.head_dim, k_head, slot, kKvBlockTokens, slot);
          store_vector<type>(v_vector, layer.value_dim, v_head, int64_t{slot} * layer.value_dim, 1, slot);
        }
      }
    }
  }
}

inline void append_all(const KvAppendArgs& args) {
  switch (args.layer->type) {
    case KvType::kF16:
      return append_rows<KvType::kF16>(args);
    case KvType::kF32:
      return append_rows<KvType::kF32>(args);
    case KvType::kBF16:
      return append_rows<KvType::kBF16>(args);
    case KvType::kQ8:
      return append_rows<KvType::kQ8>(args);
  }
}

}  // namespace
}  // namespace fastserve::kernels
