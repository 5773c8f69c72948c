// BlockPool: equal blocks, counted by reference, in segments whose bases never move; segments come and go, so that a
// pool can give memory back and take it again. Not thread-safe: its engine thread owns it. An account beside it makes
// admission exact: a promise is a number of blocks that someone may yet hold; a pinned block is held by someone who has
// no promise for it. Promises and pinned blocks together never pass the pool, so that whoever stays within a promise
// always gets a block.
#pragma once
#include <span>
#include <vector>

#include "memory/memory_resource.h"

namespace fastserve {

struct BlockPoolSize {
  int64_t block_bytes = 0;
  int32_t block_count = 0;      // that are there from the beginning
  int32_t block_count_max = 0;  // that there can be; 0: no more than those
  int32_t segment_blocks = 0;   // of one segment, at most; 0: all in one
};

class BlockPool {
 public:
  BlockPool() = default;
  // All bookkeeping is allocated here; later calls allocate nothing but segments.
  static Result<BlockPool> create(MemoryResource& resource, const BlockPoolSize& size, MemoryUse use);

  int32_t block_count() const { return block_count_; }  // those that are there
  // That there can be; blocks are numbered below.
  int32_t block_count_max() const { return static_cast<int32_t>(references_.size()); }
  int32_t segment_blocks() const { return segment_blocks_; }
  int32_t free_count() const { return static_cast<int32_t>(free_.size()); }
  int32_t used_count() const { return block_count_ - free_count(); }
  int64_t block_bytes() const { return block_bytes_; }
  uint8_t* address(int32_t block) const {
    const Segment& segment = segments_[segment_of_[static_cast<size_t>(block)]];
    return segment.memory.data() + (block - segment.begin) * block_bytes_;
  }
  // Copies a block's bytes.
  void copy(int32_t from, int32_t to) noexcept {
    resource_->copy(address(to), address(from), static_cast<size_t>(block_bytes_));
  }
  // Memory of a segment that is there; null: there is none.
  Buffer* first_segment() noexcept;

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

  // Takes memory for one more segment. False: there is none, or all segments are there.
  bool grow() noexcept;
  // Gives the memory of a segment back, at most `blocks_max` large, the one with the fewest blocks in use; what is in
  // use of it moves. `holders` says for each block how many of its references the caller will rewrite: where these are
  // not all, it stays where it is. `moved`[block] receives the new number of a block that moved, and stays as it is for
  // all others. False: there is no such segment, or its blocks have been promised.
  bool shrink(int32_t blocks_max, std::span<const uint32_t> holders, std::span<int32_t> moved) noexcept;
  // Every block is either free once or referenced, pins are no more than references, the account holds: for tests.
  bool check_integrity() const;

 private:
  struct Segment {
    int32_t begin = 0, count = 0;
    int32_t used_count = 0;
    Buffer memory;  // empty: not there
  };
  bool is_movable(const Segment& segment, std::span<const uint32_t> holders) const noexcept;
  const Segment* segment_to_take(int32_t blocks_max, std::span<const uint32_t> holders) const noexcept;
  void move(int32_t from, int32_t to) noexcept;

  MemoryResource* resource_ = nullptr;
  MemoryUse use_ = MemoryUse::kOther;
  int64_t block_bytes_ = 0;
  int32_t block_count_ = 0, segment_blocks_ = 0;
  int32_t promised_ = 0;
  int32_t pinned_count_ = 0;
  std::vector<Segment> segments_;
  std::vector<uint32_t> segment_of_;  // [block]
  std::vector<int32_t> free_;
  std::vector<uint32_t> references_, pins_;
};

}  // namespace fastserve
