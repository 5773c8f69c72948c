// BlockPool: equal blocks in one region whose base never moves, counted by reference. Not thread-safe: its engine
// thread owns it. An account beside it makes admission exact: a promise is a number of blocks that someone may yet
// hold; a pinned block is held by someone who has no promise for it. Promises and pinned blocks together never pass the
// pool, so that whoever stays within a promise always gets a block.
#pragma once
#include <vector>

#include "memory/memory_resource.h"

namespace fastserve {

class BlockPool {
 public:
  BlockPool() = default;
  // All bookkeeping is allocated here; later calls allocate nothing.
  static Result<BlockPool> create(MemoryResource& resource, int64_t block_bytes, int32_t block_count, MemoryUse use);

  int32_t block_count() const { return block_count_; }
  int32_t free_count() const { return static_cast<int32_t>(free_.size()); }
  int32_t used_count() const { return block_count_ - free_count(); }
  int64_t block_bytes() const { return block_bytes_; }
  uint8_t* address(int32_t block) const { return region_.data() + block * block_bytes_; }
  Buffer& region() { return region_; }  // all blocks

  // A block with one reference, or -1.
  int32_t acquire() noexcept;
  void retain(int32_t block) noexcept { ++references_[static_cast<size_t>(block)]; }
  void release(int32_t block) noexcept;
  uint32_t reference_count(int32_t block) const { return references_[static_cast<size_t>(block)]; }

  // Pins count, as references do, and each belongs to one of them; a block is pinned while it has any.
  void pin(int32_t block) noexcept { pinned_count_ += pins_[static_cast<size_t>(block)]++ == 0 ? 1 : 0; }
  void unpin(int32_t block) noexcept { pinned_count_ -= --pins_[static_cast<size_t>(block)] == 0 ? 1 : 0; }
  uint32_t pin_count(int32_t block) const { return pins_[static_cast<size_t>(block)]; }
  int32_t pinned_count() const { return pinned_count_; }

  // False, and nothing changes, where that many are not left to promise.
  bool promise(int32_t count) noexcept;
  void withdraw(int32_t count) noexcept { promised_ -= count; }
  int32_t promised_count() const { return promised_; }
  // Blocks that may yet be promised or pinned.
  int32_t unpromised_count() const { return block_count_ - pinned_count_ - promised_; }

  // Every block is either free once or referenced, pins are no more than references, the account holds: for tests.
  bool check_integrity() const;

 private:
  Buffer region_;
  int64_t block_bytes_ = 0;
  int32_t block_count_ = 0;
  int32_t promised_ = 0;
  int32_t pinned_count_ = 0;
  std::vector<int32_t> free_;
  std::vector<uint32_t> references_, pins_;
};

}  // namespace fastserve
