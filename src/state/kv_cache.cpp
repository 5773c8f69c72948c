// Paged KV: block layout of each layer group, promises at admission, block tables of sequences.
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

int32_t block_count_for(int32_t token_count) { return (token_count + kKvBlockTokens - 1) / kKvBlockTokens; }

}  // namespace

int64_t kv_token_bytes(const KvLayout& layout) {
  int64_t bytes = 0;
  for (const KvLayerShape& layer : layout.layers) {
    bytes += kv_plane_bytes(layout.type, layer.kv_head_count, layer.head_dim) +
             kv_plane_bytes(layout.type, layer.kv_head_count, layer.value_dim);
  }
  return bytes / kKvBlockTokens;
}

Result<KvCache> KvCache::create(const KvLayout& layout, MemoryResource& resource, int64_t token_capacity) {
  KvCache cache;
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
  for (Group& group : cache.groups_) {
    const int64_t block_count = (token_capacity + kKvBlockTokens - 1) / kKvBlockTokens;
    if (block_count > INT32_MAX / 2 || group.block_bytes > (int64_t{1} << 40) / std::max<int64_t>(block_count, 1)) {
      return Status::from_literal(StatusCode::kInvalidArgument, "the KV pool asked for is too large");
    }
    FSV_ASSIGN(group.pool,
               BlockPool::create(resource, group.block_bytes, static_cast<int32_t>(block_count), MemoryUse::kKv));
  }
  return cache;
}

// A windowed sequence holds at most its window, the rows of the step that is being written, and one block at each end.
int32_t KvCache::blocks_needed(const Group& group, int32_t token_count, int32_t step_rows_max) const {
  int32_t tokens = token_count;
  if (group.window > 0) {
    const int64_t held = int64_t{group.window} + step_rows_max + 2 * kKvBlockTokens;
    tokens = static_cast<int32_t>(std::min<int64_t>(tokens, held));
  }
  return block_count_for(tokens);
}

bool KvCache::can_ever_admit(int32_t token_count, int32_t step_rows_max) const {
  return std::all_of(groups_.begin(), groups_.end(), [&](const Group& group) {
    return blocks_needed(group, token_count, step_rows_max) <= group.pool.block_count();
  });
}

bool KvCache::admit(SequenceKv& sequence, int32_t token_count, int32_t step_rows_max) {
  sequence.groups.resize(groups_.size());
  sequence.token_count = 0;
  for (SequenceKv::Group& held : sequence.groups) {
    held.blocks.reserve(static_cast<size_t>(block_count_for(token_count)));
    held.addresses.reserve(static_cast<size_t>(block_count_for(token_count)));
  }
  for (size_t index = 0; index < groups_.size(); ++index) {
    const int32_t count = blocks_needed(groups_[index], token_count, step_rows_max);
    if (!groups_[index].pool.promise(count)) {
      release(sequence);
      return false;
    }
    sequence.groups[index].promised = count;
  }
  return true;
}

bool KvCache::reserve(SequenceKv& sequence, int32_t token_count) noexcept {
  const auto wanted = static_cast<size_t>(block_count_for(token_count));
  for (size_t index = 0; index < groups_.size(); ++index) {
    SequenceKv::Group& held = sequence.groups[index];
    BlockPool& pool = groups_[index].pool;
    while (held.blocks.size() < wanted) {
      if (held.promised == 0 || held.blocks.size() == held.blocks.capacity()) return false;
      pool.withdraw(1);
      --held.promised;
      const int32_t block = pool.acquire();
      held.blocks.push_back(block);
      held.addresses.push_back(pool.address(block));
    }
  }
  sequence.token_count = std::max(sequence.token_count, token_count);
  return true;
}

void KvCache::drop_outside_window(SequenceKv& sequence, int32_t next_position) noexcept {
  for (size_t index = 0; index < groups_.size(); ++index) {
    const Group& group = groups_[index];
    if (group.window == 0) continue;
    const int32_t first_needed = std::max(0, next_position - group.window + 1);
    SequenceKv::Group& held = sequence.groups[index];
    const auto drop_end = std::min<size_t>(static_cast<size_t>(first_needed / kKvBlockTokens), held.blocks.size());
    for (size_t block = drop_end; block-- > 0 && held.blocks[block] >= 0;) {
      groups_[index].pool.release(held.blocks[block]);
      held.blocks[block] = -1;
      held.addresses[block] = nullptr;
      if (groups_[index].pool.promise(1)) ++held.promised;  // the block is free again, so this succeeds
    }
  }
}

int32_t KvCache::truncate(SequenceKv& sequence, int32_t token_count) noexcept {
  int32_t kept = std::min(token_count, sequence.token_count);
  for (size_t index = 0; index < groups_.size(); ++index) {
    const Group& group = groups_[index];
    if (group.window == 0) continue;
    // The next row needs keys from kept - window + 1 on; where one is gone, nothing of the sequence can be kept.
    const int32_t first_needed = std::max(0, kept - group.window + 1) / kKvBlockTokens;
    const SequenceKv::Group& held = sequence.groups[index];
    if (kept > 0 && held.blocks[static_cast<size_t>(first_needed)] < 0) kept = 0;
  }
  const auto keep_blocks = static_cast<size_t>(block_count_for(kept));
  for (size_t index = 0; index < groups_.size(); ++index) {
    SequenceKv::Group& held = sequence.groups[index];
    BlockPool& pool = groups_[index].pool;
    while (held.blocks.size() > keep_blocks) {
      if (held.blocks.back() >= 0) {
        pool.release(held.blocks.back());
        if (pool.promise(1)) ++held.promised;
      }
      held.blocks.pop_back();
      held.addresses.pop_back();
    }
  }
  sequence.token_count = kept;
  return kept;
}

void KvCache::release(SequenceKv& sequence) noexcept {
  for (size_t index = 0; index < sequence.groups.size(); ++index) {
    SequenceKv::Group& held = sequence.groups[index];
    BlockPool& pool = groups_[index].pool;
    for (const int32_t block : held.blocks) {
      if (block >= 0) pool.release(block);
    }
    pool.withdraw(held.promised);
    held.promised = 0;
    held.blocks.clear();
    held.addresses.clear();
  }
  sequence.token_count = 0;
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
  return std::all_of(groups_.begin(), groups_.end(), [](const Group& group) { return group.pool.check_integrity(); });
}

}  // namespace fastserve
