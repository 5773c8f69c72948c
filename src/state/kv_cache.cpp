// Paged KV: block layout of each layer group, and what the cache says of itself.
#include "state/kv_cache.h"

#include <algorithm>

namespace fastserve {
namespace {

using kernels::kKvBlockTokens;
using kernels::KvType;

// The K or the V part of one layer in one block; kernels want each to start at a multiple of 64 bytes.
int64_t kv_plane_bytes(KvType type, int32_t heads, int32_t dim) {
  constexpr int64_t kAlignment = 64;
  return (heads * kernels::kv_head_bytes(type, dim) + kAlignment - 1) / kAlignment * kAlignment;
}

}  // namespace

int64_t kv_token_bytes(const KvLayout& layout) {
  int64_t bytes = 0;
  for (const KvLayerShape& layer : layout.layers) {
    bytes += kv_plane_bytes(layout.type, layer.kv_head_count, layer.head_dim) +
             kv_plane_bytes(layout.type, layer.kv_head_count, layer.value_dim);
  }
  return bytes / kKvBlockTokens;
}

Result<KvCache> KvCache::create(const KvLayout& layout, MemoryResource& resource, const KvCapacity& capacity) {
  KvCache cache;
  cache.mover_ = &resource.mover(MemoryUse::kKv);
  for (const KvLayerShape& shape : layout.layers) {
    auto same_window = [&](const Group& group) { return group.window == shape.window; };
    auto found = std::find_if(cache.groups_.begin(), cache.groups_.end(), same_window);
    if (found == cache.groups_.end()) {
      cache.groups_.emplace_back();
      found = cache.groups_.end() - 1;
      found->window = shape.window;
    }
    cache.layer_group_.push_back(static_cast<int32_t>(found - cache.groups_.begin()));
    kernels::KvLayer layer{};
    layer.type = layout.type;
    layer.kv_head_count = shape.kv_head_count;
    layer.head_dim = shape.head_dim;
    layer.value_dim = shape.value_dim;
    layer.k_offset_bytes = found->block_bytes;
    layer.v_offset_bytes = layer.k_offset_bytes + kv_plane_bytes(layout.type, shape.kv_head_count, shape.head_dim);
    found->block_bytes = layer.v_offset_bytes + kv_plane_bytes(layout.type, shape.kv_head_count, shape.value_dim);
    cache.layers_.push_back(layer);
  }
  FSV_TRY(cache.create_pools(resource, capacity));
  return cache;
}

Status KvCache::create_pools(MemoryResource& resource, const KvCapacity& capacity) {
  constexpr int64_t kSegmentsMin = 16;  // of a pool that can shrink
  const int64_t count = (capacity.tokens + kKvBlockTokens - 1) / kKvBlockTokens;
  const int64_t count_max = std::max(count, (capacity.tokens_max + kKvBlockTokens - 1) / kKvBlockTokens);
  int64_t slot_bytes = 0;
  for (const Group& group : groups_) slot_bytes += group.block_bytes;
  if (count_max > INT32_MAX / 2 || slot_bytes > (int64_t{1} << 40) / std::max<int64_t>(count_max, 1)) {
    return Status::from_literal(StatusCode::kInvalidArgument, "the KV pool asked for is too large");
  }
  int64_t segment = count_max;
  if (capacity.segment_bytes > 0) {
    segment = std::clamp<int64_t>(capacity.segment_bytes / std::max<int64_t>(slot_bytes, 1), 1,
                                  (count_max + kSegmentsMin - 1) / kSegmentsMin);
  }
  for (Group& group : groups_) {
    const BlockPoolSize size{group.block_bytes, static_cast<int32_t>(count), static_cast<int32_t>(count_max),
                             static_cast<int32_t>(segment)};
    FSV_ASSIGN(group.pool, BlockPool::create(resource, size, MemoryUse::kKv));
  }
  held_.resize(static_cast<size_t>(count_max));
  moved_.resize(static_cast<size_t>(count_max));
  return {};
}

KvCache::Usage KvCache::usage() const {
  Usage usage;
  for (const Group& group : groups_) {
    usage.block_count += group.pool.block_count();
    usage.free_count += group.pool.free_count();
    usage.total_bytes += group.pool.block_count() * group.block_bytes;
    usage.used_bytes += group.pool.used_count() * group.block_bytes;
  }
  return usage;
}

bool KvCache::check_integrity() const {
  return std::all_of(groups_.begin(), groups_.end(), [](const Group& group) {
    return group.pool.check_integrity() &&
           group.pool.used_count() <= group.pool.pinned_count() + group.pool.promised_count();
  });
}

bool KvCache::check_integrity(std::span<const SequenceKv* const> sequences) const {
  if (!check_integrity()) return false;
  for (size_t index = 0; index < groups_.size(); ++index) {
    const BlockPool& pool = groups_[index].pool;
    std::vector<uint32_t> references(static_cast<size_t>(pool.block_count_max())), pins(references.size());
    int32_t promised = 0;
    for (const SequenceKv* sequence : sequences) {
      if (sequence->groups.empty()) continue;
      const SequenceKv::Group& held = sequence->groups[index];
      promised += held.promised;
      for (size_t i = 0; i < held.blocks.size(); ++i) {
        if ((held.blocks[i] < 0) != (i < static_cast<size_t>(held.dropped))) return false;
        if (held.blocks[i] < 0) continue;
        ++references[static_cast<size_t>(held.blocks[i])];
        pins[static_cast<size_t>(held.blocks[i])] += i < static_cast<size_t>(held.pinned) ? 1 : 0;
        if (held.addresses[i] != pool.address(held.blocks[i])) return false;
      }
    }
    if (promised != pool.promised_count()) return false;
    for (int32_t block = 0; block < pool.block_count_max(); ++block) {
      const auto i = static_cast<size_t>(block);
      if (pool.reference_count(block) != references[i] || pool.pin_count(block) != pins[i]) return false;
    }
  }
  return true;
}

}  // namespace fastserve
