// A small paged cache for tests: blocks filled with set bits (NaN, or -1 with NaN scales) until a kernel writes them,
// and an own decoder of their layout.
#pragma once
#include <cstdint>
#include <cstring>
#include <memory>
#include <vector>

#include "kernels/kernel_api.h"
#include "tensor/dtype.h"

namespace fastserve::kernels {

inline KvLayer make_layer(KvType type, int32_t kv_heads, int32_t head_dim, int32_t value_dim) {
  KvLayer layer = {};
  layer.type = type;
  layer.kv_head_count = kv_heads;
  layer.head_dim = head_dim;
  layer.value_dim = value_dim;
  layer.k_offset_bytes = 128;  // another layer's
  layer.v_offset_bytes = (128 + kv_heads * kv_head_bytes(type, head_dim) + 63) / 64 * 64;
  return layer;
}

template <template <typename> typename Allocator>
class BasicPagedCache {
 public:
  BasicPagedCache(const KvLayer& layer, int32_t tokens) : layer_(layer) {
    block_bytes_ =
        (layer.v_offset_bytes + layer.kv_head_count * kv_head_bytes(layer.type, layer.value_dim) + 63) / 64 * 64;
    const int32_t count = (tokens + kKvBlockTokens - 1) / kKvBlockTokens;
    storage_.assign(static_cast<size_t>(count * block_bytes_ + 64), 0xff);
    uint8_t* base = storage_.data() + (64 - reinterpret_cast<uintptr_t>(storage_.data()) % 64) % 64;
    // In reverse, so that a kernel that ignores the table meets the wrong block.
    for (int32_t i = 0; i < count; ++i) blocks_.push_back(base + (count - 1 - i) * block_bytes_);
  }
  BasicPagedCache(const BasicPagedCache&) = delete;
  BasicPagedCache& operator=(const BasicPagedCache&) = delete;

  std::vector<uint8_t*, Allocator<uint8_t*>>& blocks() { return blocks_; }
  const std::vector<uint8_t, Allocator<uint8_t>>& storage() const { return storage_; }
  KvView view(int32_t row_begin, int32_t row_count, int32_t position_begin) const {
    return {blocks_.data(), row_begin, row_count, position_begin};
  }
  bool same_bytes(const BasicPagedCache& other) const {
    for (size_t i = 0; i < blocks_.size(); ++i) {
      if (std::memcmp(blocks_[i], other.blocks_[i], static_cast<size_t>(block_bytes_)) != 0) return false;
    }
    return true;
  }
  float key(int32_t position, int32_t head, int32_t d) const {
    if (layer_.type == KvType::kBF16) {  // [pair of dimensions][token][2]
      const int32_t pairs = (layer_.head_dim + 1) / 2;
      return bf16(position, layer_.k_offset_bytes, head * pairs * 32,
                  (d / 2) * 32 + position % kKvBlockTokens * 2 + d % 2);
    }
    return element(position, layer_.k_offset_bytes, head, layer_.head_dim,
                   static_cast<int64_t>(d) * kKvBlockTokens + position % kKvBlockTokens);
  }
  float value(int32_t position, int32_t head, int32_t d) const {
    if (layer_.type == KvType::kBF16) {  // [pair of tokens][dimension][2]
      const int32_t slot = position % kKvBlockTokens;
      return bf16(position, layer_.v_offset_bytes, head * ((layer_.value_dim + 1) / 2 * 2) * kKvBlockTokens,
                  ((slot / 2) * layer_.value_dim + d) * 2 + slot % 2);
    }
    return element(position, layer_.v_offset_bytes, head, layer_.value_dim,
                   static_cast<int64_t>(position % kKvBlockTokens) * layer_.value_dim + d);
  }

 private:
  template <typename T>
  static T read(const uint8_t* base, int64_t index) {
    T result;
    std::memcpy(&result, base + index * static_cast<int64_t>(sizeof(T)), sizeof(T));
    return result;
  }
  float bf16(int32_t position, int64_t offset, int32_t head_first, int32_t index) const {
    const uint8_t* base = blocks_[static_cast<size_t>(position / kKvBlockTokens)] + offset;
    return bfloat16_to_float(read<uint16_t>(base, head_first + index));
  }
  float element(int32_t position, int64_t offset, int32_t head, int32_t dim, int64_t index) const {
    const uint8_t* base = blocks_[static_cast<size_t>(position / kKvBlockTokens)] + offset;
    const int64_t elements = static_cast<int64_t>(dim) * kKvBlockTokens;
    switch (layer_.type) {
      case KvType::kF32:
        return read<float>(base + head * elements * 4, index);
      case KvType::kF16:
        return half_to_float(read<uint16_t>(base + head * elements * 2, index));
      case KvType::kBF16:
        break;
      case KvType::kQ8: {
        const uint8_t* values = base + head * (elements + 4 * kKvBlockTokens);
        return read<float>(values + elements, position % kKvBlockTokens) *
               static_cast<float>(read<int8_t>(values, index));
      }
    }
    return 0.0f;
  }

  KvLayer layer_;
  int64_t block_bytes_ = 0;
  std::vector<uint8_t, Allocator<uint8_t>> storage_;
  std::vector<uint8_t*, Allocator<uint8_t*>> blocks_;
};
using PagedCache = BasicPagedCache<std::allocator>;

// Appends rows [row_begin, row_end) of k and v, which are dense.
inline void append(const KernelTable& table, const KvLayer& layer, const KvView& view, const float* k, const float* v,
                   int32_t row_begin, int32_t row_end) {
  KvAppendArgs args = {};
  args.layer = &layer;
  args.sequences = &view;
  args.sequence_count = 1;
  args.k = k;
  args.k_stride = static_cast<int64_t>(layer.kv_head_count) * layer.head_dim;
  args.v = v;
  args.v_stride = static_cast<int64_t>(layer.kv_head_count) * layer.value_dim;
  args.row_begin = row_begin;
  args.row_end = row_end;
  table.kv_append(&args);
}

}  // namespace fastserve::kernels
