// Single blocks of texts that are over, held by a prefix tree: pinned, as those of idle sequences are.
#include <algorithm>

#include "state/kv_cache.h"

namespace fastserve {

using kernels::kKvBlockTokens;

int64_t KvCache::hold_slice(const SequenceKv& idle, int32_t block_index, KvSlice& slice) noexcept {
  int64_t bytes = 0;
  for (size_t index = 0; index < groups_.size(); ++index) {
    const int32_t block = idle.groups[index].blocks[static_cast<size_t>(block_index)];
    if (slice.blocks[index] >= 0 || block < 0) continue;
    slice.blocks[index] = block;
    groups_[index].pool.retain(block);
    groups_[index].pool.pin(block);
    bytes += groups_[index].block_bytes;
  }
  return bytes;
}

int64_t KvCache::release_slice(KvSlice& slice) noexcept {
  int64_t bytes = 0;
  for (size_t index = 0; index < groups_.size(); ++index) {
    if (slice.blocks[index] < 0) continue;
    groups_[index].pool.unpin(slice.blocks[index]);
    groups_[index].pool.release(slice.blocks[index]);
    slice.blocks[index] = -1;
    bytes += groups_[index].block_bytes;
  }
  return bytes;
}

size_t KvCache::usable_slices(std::span<const KvSlice> slices) const noexcept {
  for (size_t count = slices.size(); count > 0; --count) {
    const bool is_usable = std::all_of(groups_.begin(), groups_.end(), [&](const Group& group) {
      const auto index = static_cast<size_t>(&group - groups_.data());
      const auto next_position = static_cast<int32_t>(count) * kKvBlockTokens;
      const int32_t first_needed = group.window == 0 ? 0 : std::max(0, next_position - group.window + 1);
      return std::all_of(slices.begin() + first_needed / kKvBlockTokens,
                         slices.begin() + static_cast<std::ptrdiff_t>(count),
                         [&](const KvSlice& slice) { return slice.blocks[index] >= 0; });
    });
    if (is_usable) return count;
  }
  return 0;
}

void KvCache::assemble(SequenceKv& sequence, std::span<const KvSlice> slices) {
  sequence.groups.resize(groups_.size());
  for (SequenceKv::Group& held : sequence.groups) {
    held.blocks.reserve(slices.size());
    held.addresses.reserve(slices.size());
  }
  for (size_t index = 0; index < groups_.size(); ++index) {
    BlockPool& pool = groups_[index].pool;
    SequenceKv::Group& held = sequence.groups[index];
    // What no row needs any more is not taken: admission counts on that.
    const auto end = static_cast<int32_t>(slices.size()) * kKvBlockTokens;
    const int32_t window = groups_[index].window;
    held.dropped = window == 0 ? 0 : std::max(0, end - window + 1) / kKvBlockTokens;
    for (size_t i = 0; i < slices.size(); ++i) {
      const int32_t block = static_cast<int32_t>(i) < held.dropped ? -1 : slices[i].blocks[index];
      held.blocks.push_back(block);
      held.addresses.push_back(block >= 0 ? pool.address(block) : nullptr);
      if (block < 0) continue;
      pool.retain(block);
      pool.pin(block);
    }
    held.pinned = static_cast<int32_t>(slices.size());
  }
  sequence.token_count = static_cast<int32_t>(slices.size()) * kKvBlockTokens;
}

}  // namespace fastserve
