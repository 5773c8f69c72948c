// BlockPool: a stack of free indices over one region.
#include "memory/block_pool.h"

namespace fastserve {

Result<BlockPool> BlockPool::create(MemoryResource& resource, int64_t block_bytes, int32_t block_count, MemoryUse use) {
  BlockPool pool;
  pool.block_bytes_ = block_bytes;
  pool.block_count_ = block_count;
  FSV_ASSIGN(pool.region_, Buffer::allocate(resource, static_cast<size_t>(block_bytes * block_count), use));
  pool.free_.reserve(static_cast<size_t>(block_count));
  for (int32_t block = block_count - 1; block >= 0; --block) pool.free_.push_back(block);
  pool.references_.assign(static_cast<size_t>(block_count), 0);
  pool.pins_.assign(static_cast<size_t>(block_count), 0);
  return pool;
}

int32_t BlockPool::acquire() noexcept {
  if (free_.empty()) return -1;
  const int32_t block = free_.back();
  free_.pop_back();
  references_[static_cast<size_t>(block)] = 1;
  return block;
}

void BlockPool::release(int32_t block) noexcept {
  if (--references_[static_cast<size_t>(block)] == 0) free_.push_back(block);
}

bool BlockPool::promise(int32_t count) noexcept {
  if (count > unpromised_count()) return false;
  promised_ += count;
  return true;
}

bool BlockPool::check_integrity() const {
  std::vector<bool> is_free(static_cast<size_t>(block_count_), false);
  for (const int32_t block : free_) {
    if (block < 0 || block >= block_count_ || is_free[static_cast<size_t>(block)]) return false;
    is_free[static_cast<size_t>(block)] = true;
  }
  int32_t pinned = 0;
  for (size_t block = 0; block < references_.size(); ++block) {
    if (is_free[block] != (references_[block] == 0) || pins_[block] > references_[block]) return false;
    pinned += pins_[block] > 0 ? 1 : 0;
  }
  return pinned == pinned_count_ && promised_ >= 0 && unpromised_count() >= 0;
}

}  // namespace fastserve
