// Pools that grow and shrink by segments while sequences live: no base moves, and what lies in a segment that goes is
// copied to blocks elsewhere.
#include "state/kv_cache.h"

namespace fastserve {

using kernels::kKvBlockTokens;

bool KvCache::holds(const KvDemand& demand) const {
  for (size_t index = 0; index < groups_.size() && index < demand.blocks.size(); ++index) {
    if (demand.blocks[index] > groups_[index].pool.block_count()) return false;
  }
  return true;
}

// A pool cannot always be cut to the block: it may have to keep nearly a segment more.
int64_t KvCache::bytes_for(const KvDemand& demand) const {
  int64_t bytes = 0;
  for (size_t index = 0; index < groups_.size() && index < demand.blocks.size(); ++index) {
    const BlockPool& pool = groups_[index].pool;
    if (demand.blocks[index] > pool.block_count_max()) return INT64_MAX;
    const int32_t slack = demand.blocks[index] > 0 ? pool.segment_blocks() - 1 : 0;
    bytes += std::min(demand.blocks[index] + slack, pool.block_count_max()) * pool.block_bytes();
  }
  return bytes;
}

bool KvCache::grow() noexcept {
  Group* smallest = nullptr;
  for (Group& group : groups_) {
    const bool is_smaller = smallest == nullptr || group.pool.block_count() < smallest->pool.block_count();
    if (group.pool.block_count() < group.pool.block_count_max() && is_smaller) smallest = &group;
  }
  return smallest != nullptr && smallest->pool.grow();
}

int64_t KvCache::growable_tokens(uint64_t available_bytes) const noexcept {
  int64_t block_bytes = 0, blocks = INT64_MAX;
  for (const Group& group : groups_) {
    block_bytes += group.block_bytes;
    blocks = std::min<int64_t>(blocks, group.pool.block_count_max() - group.pool.block_count());
  }
  if (groups_.empty() || block_bytes == 0) return 0;
  const auto affordable =
      static_cast<int64_t>(std::min<uint64_t>(available_bytes / static_cast<uint64_t>(block_bytes), INT32_MAX));
  return std::min(blocks, affordable) * kKvBlockTokens;
}

int32_t KvCache::unpromised_blocks() const noexcept {
  int32_t blocks = 0;
  for (const Group& group : groups_) blocks += group.pool.unpromised_count();
  return blocks;
}

bool KvCache::is_complete() const noexcept {
  return std::all_of(groups_.begin(), groups_.end(),
                     [](const Group& group) { return group.pool.block_count() == group.pool.block_count_max(); });
}

int64_t KvCache::bytes_max() const noexcept {
  int64_t bytes = 0;
  for (const Group& group : groups_) bytes += group.pool.block_count_max() * group.block_bytes;
  return bytes;
}

void KvCache::count_holders(size_t group, const KvHolders& holders) noexcept {
  std::fill(held_.begin(), held_.end(), 0);
  std::fill(moved_.begin(), moved_.end(), -1);
  auto count = [this](int32_t block) {
    if (block >= 0) ++held_[static_cast<size_t>(block)];
  };
  for (const SequenceKv* sequence : holders.sequences) {
    if (sequence->groups.empty()) continue;
    for (const int32_t block : sequence->groups[group].blocks) count(block);
  }
  for (const KvSlice* slice : holders.slices) count(slice->blocks[group]);
}

void KvCache::tell_holders(size_t group, const KvHolders& holders) const noexcept {
  auto target_of = [this](int32_t block) { return block >= 0 ? moved_[static_cast<size_t>(block)] : -1; };
  for (SequenceKv* sequence : holders.sequences) {
    if (sequence->groups.empty()) continue;
    SequenceKv::Group& held = sequence->groups[group];
    for (size_t i = 0; i < held.blocks.size(); ++i) {
      const int32_t target = target_of(held.blocks[i]);
      if (target < 0) continue;
      held.blocks[i] = target;
      held.addresses[i] = groups_[group].pool.address(target);
    }
  }
  for (KvSlice* slice : holders.slices) {
    const int32_t target = target_of(slice->blocks[group]);
    if (target >= 0) slice->blocks[group] = target;
  }
}

// From the group that has the most to give, so that all hold about as many tokens.
bool KvCache::shrink(const KvDemand& floor, const KvHolders& holders) noexcept {
  std::array<bool, KvSlice::kGroupsMax> is_tried{};
  for (size_t tries = 0; tries < groups_.size() && tries < is_tried.size(); ++tries) {
    size_t chosen = groups_.size();
    for (size_t index = 0; index < groups_.size() && index < is_tried.size(); ++index) {
      const bool is_best =
          chosen == groups_.size() || groups_[index].pool.unpromised_count() > groups_[chosen].pool.unpromised_count();
      if (!is_tried[index] && is_best) chosen = index;
    }
    is_tried[chosen] = true;
    BlockPool& pool = groups_[chosen].pool;
    const int32_t blocks_max = pool.block_count() - floor.blocks[chosen];
    if (blocks_max <= 0) continue;
    count_holders(chosen, holders);
    if (!pool.shrink(blocks_max, held_, moved_)) continue;
    tell_holders(chosen, holders);
    return true;
  }
  return false;
}

Buffer* KvCache::first_segment() noexcept {
  for (Group& group : groups_) {
    if (Buffer* segment = group.pool.first_segment(); segment != nullptr) return segment;
  }
  return nullptr;
}

}  // namespace fastserve
