// BlockPool: a stack of free numbers over segments.
#include "memory/block_pool.h"

#include <algorithm>
#include <functional>

namespace fastserve {

Result<BlockPool> BlockPool::create(MemoryResource& resource, const BlockPoolSize& size, MemoryUse use) {
  BlockPool pool;
  pool.resource_ = &resource;
  pool.use_ = use;
  pool.block_bytes_ = size.block_bytes;
  const int32_t count_max = std::max(size.block_count, size.block_count_max);
  pool.segment_blocks_ = size.segment_blocks > 0 ? size.segment_blocks : std::max(count_max, 1);
  pool.references_.assign(static_cast<size_t>(count_max), 0);
  pool.pins_.assign(static_cast<size_t>(count_max), 0);
  pool.segment_of_.resize(static_cast<size_t>(count_max));
  pool.free_.reserve(static_cast<size_t>(count_max));
  // A segment ends where the first blocks do, so that exactly these can be there.
  for (int32_t begin = 0; begin < count_max;) {
    const int32_t end = begin < size.block_count ? size.block_count : count_max;
    const int32_t count = std::min(pool.segment_blocks_, end - begin);
    for (int32_t block = begin; block < begin + count; ++block) {
      pool.segment_of_[static_cast<size_t>(block)] = static_cast<uint32_t>(pool.segments_.size());
    }
    pool.segments_.push_back({begin, count, 0, {}});
    begin += count;
  }
  while (pool.block_count_ < size.block_count) {
    if (!pool.grow()) return Status::out_of_memory();
  }
  std::sort(pool.free_.begin(), pool.free_.end(), std::greater<>());
  return pool;
}

Buffer* BlockPool::first_segment() noexcept {
  for (Segment& segment : segments_) {
    if (segment.memory.data() != nullptr) return &segment.memory;
  }
  return nullptr;
}

int32_t BlockPool::acquire() noexcept {
  if (free_.empty()) return -1;
  const int32_t block = free_.back();
  free_.pop_back();
  references_[static_cast<size_t>(block)] = 1;
  ++segments_[segment_of_[static_cast<size_t>(block)]].used_count;
  return block;
}

void BlockPool::release(int32_t block) noexcept {
  if (--references_[static_cast<size_t>(block)] != 0) return;
  free_.push_back(block);
  --segments_[segment_of_[static_cast<size_t>(block)]].used_count;
}

bool BlockPool::promise(int32_t count) noexcept {
  if (count > unpromised_count()) return false;
  promised_ += count;
  return true;
}

bool BlockPool::grow() noexcept {
  for (Segment& segment : segments_) {
    if (segment.memory.data() != nullptr) continue;
    Result<Buffer> memory = Buffer::allocate(*resource_, static_cast<size_t>(segment.count * block_bytes_), use_);
    if (!memory.ok()) return false;
    segment.memory = memory.take();
    for (int32_t i = segment.count; i-- > 0;) free_.push_back(segment.begin + i);
    block_count_ += segment.count;
    return true;
  }
  return false;
}

bool BlockPool::is_movable(const Segment& segment, std::span<const uint32_t> holders) const noexcept {
  for (int32_t block = segment.begin; block < segment.begin + segment.count; ++block) {
    if (references_[static_cast<size_t>(block)] != holders[static_cast<size_t>(block)]) return false;
  }
  return true;
}

const BlockPool::Segment* BlockPool::segment_to_take(int32_t blocks_max,
                                                     std::span<const uint32_t> holders) const noexcept {
  const int32_t count_max = std::min(blocks_max, unpromised_count());
  const Segment* best = nullptr;
  for (const Segment& segment : segments_) {
    if (segment.memory.data() == nullptr || segment.count > count_max) continue;
    if (free_count() < segment.count) continue;  // what moves has no room elsewhere
    if (best != nullptr && std::pair(segment.used_count, -segment.count) >= std::pair(best->used_count, -best->count)) {
      continue;
    }
    if (is_movable(segment, holders)) best = &segment;
  }
  return best;
}

// The new block has nothing yet: it was free.
void BlockPool::move(int32_t from, int32_t to) noexcept {
  const auto source = static_cast<size_t>(from), target = static_cast<size_t>(to);
  copy(from, to);
  references_[target] = std::exchange(references_[source], 0);
  pins_[target] = std::exchange(pins_[source], 0);
  --segments_[segment_of_[source]].used_count;
}

bool BlockPool::shrink(int32_t blocks_max, std::span<const uint32_t> holders, std::span<int32_t> moved) noexcept {
  const Segment* chosen = segment_to_take(blocks_max, holders);
  if (chosen == nullptr) return false;
  Segment& segment = segments_[static_cast<size_t>(chosen - segments_.data())];
  const int32_t end = segment.begin + segment.count;
  std::erase_if(free_, [&](int32_t block) { return block >= segment.begin && block < end; });
  // All used blocks are pinned or promised, and the segment was neither: the others have room for its own.
  for (int32_t block = segment.begin; block < end; ++block) {
    if (references_[static_cast<size_t>(block)] == 0) continue;
    const int32_t target = acquire();
    move(block, target);
    moved[static_cast<size_t>(block)] = target;
  }
  segment.memory.reset();
  block_count_ -= segment.count;
  return true;
}

bool BlockPool::check_integrity() const {
  std::vector<bool> is_free(references_.size(), false);
  for (const int32_t block : free_) {
    if (block < 0 || block >= block_count_max() || is_free[static_cast<size_t>(block)]) return false;
    is_free[static_cast<size_t>(block)] = true;
  }
  int32_t pinned = 0, there = 0;
  for (const Segment& segment : segments_) {
    int32_t used = 0;
    const bool is_there = segment.memory.data() != nullptr;
    there += is_there ? segment.count : 0;
    for (int32_t i = segment.begin; i < segment.begin + segment.count; ++i) {
      const auto block = static_cast<size_t>(i);
      if (is_free[block] != (is_there && references_[block] == 0) || pins_[block] > references_[block]) return false;
      if (!is_there && references_[block] != 0) return false;
      used += references_[block] > 0 ? 1 : 0;
      pinned += pins_[block] > 0 ? 1 : 0;
    }
    if (used != segment.used_count) return false;
  }
  return pinned == pinned_count_ && there == block_count_ && promised_ >= 0 && unpromised_count() >= 0;
}

}  // namespace fastserve
