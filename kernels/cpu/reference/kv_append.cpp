// Writes the K and V rows of a batch into the paged cache. Every CPU table writes the same bits.
#include "kernels/cpu/cpu_kernels.h"
#include "kernels/cpu/half.h"
#include "kernels/cpu/kv_layout.h"

namespace fastserve::kernels::reference {
namespace {

// One token's vector into a head of K or V; element d lies `step` elements after element d - 1. Not for kBF16 and kQ8.
void store_vector(KvType type, const float* x, int32_t dim, uint8_t* head, int64_t first, int64_t step) {
  switch (type) {
    case KvType::kF32: {
      float* out = reinterpret_cast<float*>(head) + first;
      for (int32_t d = 0; d < dim; ++d) out[d * step] = x[d];
      break;
    }
    case KvType::kF16: {
      uint16_t* out = reinterpret_cast<uint16_t*>(head) + first;
      for (int32_t d = 0; d < dim; ++d) out[d * step] = float_to_f16(x[d]);
      break;
    }
    case KvType::kBF16:
    case KvType::kQ8:
      break;
  }
}

void store_key_bf16(const float* x, int32_t dim, uint8_t* head, int32_t slot) {
  uint16_t* out = reinterpret_cast<uint16_t*>(head);
  for (int32_t d = 0; d < (dim + 1) / 2 * 2; ++d)
    out[kv_bf16_key(d, slot)] = d < dim ? float_to_bf16(x[d]) : uint16_t{0};
}

void store_value_bf16(const float* x, int32_t dim, uint8_t* head, int32_t slot) {
  uint16_t* out = reinterpret_cast<uint16_t*>(head);
  for (int32_t d = 0; d < dim; ++d) out[kv_bf16_value(d, slot, dim)] = float_to_bf16(x[d]);
}

void store_vector_q8(const float* x, int32_t dim, uint8_t* head, int64_t first, int64_t step, int32_t slot) {
  uint32_t magnitude_max = 0;  // as bits: exact in any order, and a NaN wins
  for (int32_t d = 0; d < dim; ++d) {
    const uint32_t magnitude = float_to_bits(x[d]) & 0x7fffffffu;
    if (magnitude > magnitude_max) magnitude_max = magnitude;
  }
  const float amax = bits_to_float(magnitude_max);
  const bool usable = kv_q8_usable(magnitude_max);
  const float inverse = usable ? 127.0f / amax : 0.0f;
  int8_t* out = reinterpret_cast<int8_t*>(head) + first;
  for (int32_t d = 0; d < dim; ++d) out[d * step] = usable ? kv_round_to_int8(x[d] * inverse) : int8_t{0};
  kv_q8_scales(head, dim)[slot] = kv_q8_scale(magnitude_max);
}

}  // namespace

void kv_append(const KvAppendArgs* args) {
  const KvLayer& layer = *args->layer;
  const int64_t k_bytes = kv_head_bytes(layer.type, layer.head_dim);
  const int64_t v_bytes = kv_head_bytes(layer.type, layer.value_dim);
  for (int32_t s = 0; s < args->sequence_count; ++s) {
    const KvView& view = args->sequences[s];
    const KvRows rows = kv_rows_of(view, args->row_begin, args->row_end);
    for (int32_t row = rows.begin; row < rows.end; ++row) {
      const int32_t position = view.position_begin + (row - view.row_begin);
      const int32_t slot = position % kKvBlockTokens;
      uint8_t* block = view.blocks[position / kKvBlockTokens];
      for (int32_t h = 0; h < layer.kv_head_count; ++h) {
        const float* k = args->k + row * args->k_stride + static_cast<int64_t>(h) * layer.head_dim;
        const float* v = args->v + row * args->v_stride + static_cast<int64_t>(h) * layer.value_dim;
        uint8_t* k_head = block + layer.k_offset_bytes + h * k_bytes;
        uint8_t* v_head = block + layer.v_offset_bytes + h * v_bytes;
        const int64_t v_first = static_cast<int64_t>(slot) * layer.value_dim;
        if (layer.type == KvType::kQ8) {
          store_vector_q8(k, layer.head_dim, k_head, slot, kKvBlockTokens, slot);
          store_vector_q8(v, layer.value_dim, v_head, v_first, 1, slot);
        } else if (layer.type == KvType::kBF16) {
          store_key_bf16(k, layer.head_dim, k_head, slot);
          store_value_bf16(v, layer.value_dim, v_head, slot);
        } else {
          store_vector(layer.type, k, layer.head_dim, k_head, slot, kKvBlockTokens);
          store_vector(layer.type, v, layer.value_dim, v_head, v_first, 1);
        }
      }
    }
  }
}

}  // namespace fastserve::kernels::reference
