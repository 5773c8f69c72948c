// KvCache: the paged keys and values of one model; SequenceKv: what one sequence owns of them. Layers are grouped by
// how long they keep tokens (all, or a window); each group has its own blocks. Owned by the engine thread.
#pragma once
#include <algorithm>
#include <array>
#include <cstdint>
#include <span>
#include <vector>

#include "kernels/kernel_api.h"
#include "memory/block_pool.h"
#include "tensor/kv_shape.h"

namespace fastserve {

struct KvLayout {
  std::vector<KvLayerShape> layers;
  kernels::KvType type = kernels::KvType::kF16;
};

// Bytes that one token adds in all groups together.
int64_t kv_token_bytes(const KvLayout& layout);

// Tokens that every group can hold in all sequences together.
struct KvCapacity {
  int64_t tokens = 0;         // from the beginning
  int64_t tokens_max = 0;     // that there can be; 0: no more than those
  int64_t segment_bytes = 0;  // by which memory comes and goes, of all groups together; 0: in one piece
};

// One sequence's blocks, of which others may hold some too: a block with more than one holder is never written. It is
// admitted (it may grow, within a promise) or idle (it only keeps what it has: a session between its turns).
struct SequenceKv {
  struct Group {
    std::vector<int32_t> blocks;      // -1 where the window dropped one
    std::vector<uint8_t*> addresses;  // of the same blocks, for kernels
    int32_t dropped = 0;              // leading blocks that are -1
    int32_t pinned = 0;               // leading blocks that are pinned in the pool; idle: all
    int32_t promised = 0;             // of the pool: unpinned blocks that it may hold at once; idle: 0
    int32_t to_share = 0;             // leading blocks that fork() is to pin instead of using the promise
  };
  std::vector<Group> groups;
  int32_t token_count = 0;  // tokens that have a slot
  bool admitted = false;
  bool may_rewind = false;  // as in KvSharing
};

// One full block of each layer group, as a prefix tree holds it; -1 where there is none.
struct KvSlice {
  static constexpr int32_t kGroupsMax = 4;
  std::array<int32_t, kGroupsMax> blocks = {-1, -1, -1, -1};
};

// Blocks that sequences want, of each group.
struct KvDemand {
  std::array<int32_t, KvSlice::kGroupsMax> blocks{};
  void raise_to(const KvDemand& other) {
    for (size_t i = 0; i < blocks.size(); ++i) blocks[i] = std::max(blocks[i], other.blocks[i]);
  }
  void add(const KvDemand& other) {
    for (size_t i = 0; i < blocks.size(); ++i) blocks[i] += other.blocks[i];
  }
};

// Whoever holds blocks, to be told where they move. Not to be changed while it is used.
struct KvHolders {
  std::vector<SequenceKv*> sequences;
  std::vector<KvSlice*> slices;
};

// What admission may count on.
struct KvSharing {
  int32_t tokens = 0;       // that an empty sequence will get by fork() before it grows, at least
  bool may_rewind = false;  // may be truncated into blocks that others hold: then no sharing is counted on
};

// A block of a sequence, for whoever copies it.
struct KvPiece {
  uint8_t* address = nullptr;
  int64_t size_bytes = 0;
  int32_t group = 0;
  int32_t slot_count = 0;  // leading ones that hold tokens; the others may hold any bits
};

class KvCache {
 public:
  static Result<KvCache> create(const KvLayout& layout, MemoryResource& resource, const KvCapacity& capacity);
  static Result<KvCache> create(const KvLayout& layout, MemoryResource& resource, int64_t token_capacity) {
    return create(layout, resource, KvCapacity{token_capacity, 0, 0});
  }

  // Promises what a sequence of at most `token_count` tokens can ever need at once beside the full blocks that it has
  // (or will share); false when it does not fit now. Must succeed before reserve(). Reserves the bookkeeping of
  // `sequence` (may throw bad_alloc; as after false, it is idle and has what it had).
  bool admit(SequenceKv& sequence, int32_t token_count, int32_t step_rows_max, const KvSharing& sharing = {});
  // Ends the admission and keeps the blocks.
  void suspend(SequenceKv& sequence) noexcept;
  // Blocks that an empty pool must have to admit() `count` such sequences, all but the first with `sharing`;
  KvDemand demand(int32_t token_count, int32_t step_rows_max, const KvSharing& sharing = {}, int32_t count = 1) const;
  // whether it has them now;
  bool holds(const KvDemand& demand) const;
  bool can_ever_admit(int32_t token_count, int32_t step_rows_max, const KvSharing& sharing = {},
                      int32_t count = 1) const {
    return holds(demand(token_count, step_rows_max, sharing, count));
  }
  // and how large it must be at most to have them; INT64_MAX: it can never.
  int64_t bytes_for(const KvDemand& demand) const;
  // False: not now, even if every idle sequence gave its blocks back.
  bool could_admit(int32_t token_count, int32_t step_rows_max) const;
  // Lets an admission count on the blocks of an idle sequence. Before anything is reserved it must hold them again
  // (false: there is no room beside the promises now) or be released.
  void loosen(SequenceKv& sequence) noexcept;
  bool hold_again(SequenceKv& sequence) noexcept;
  // Makes slots for tokens [0, token_count) and a copy of the block that the next token goes to, where others hold it
  // too. Within what admit() promised it cannot fail; beyond: false.
  bool reserve(SequenceKv& sequence, int32_t token_count) noexcept;
  // Gives blocks back that no layer of a windowed group can need from position `next_position` on.
  void drop_outside_window(SequenceKv& sequence, int32_t next_position) noexcept;
  // How many of the first `token_count` tokens can be kept: fewer (none) where a window has dropped their keys.
  int32_t reusable_prefix(const SequenceKv& sequence, int32_t token_count) const noexcept;
  // Keeps the first reusable_prefix() tokens; returns how many. An admitted sequence that gives up blocks which others
  // hold stays within its promise only if it was admitted with may_rewind, or the pool has as many left.
  int32_t truncate(SequenceKv& sequence, int32_t token_count) noexcept;
  // Replaces what `target` holds by the first reusable_prefix() tokens of `source`; returns how many, or 0 (target is
  // empty) where pinning them passes the pool: never from an idle source, nor from an admitted source without window
  // or may_rewind up to a block's boundary. Copies nothing. An admitted target keeps its promise; `token_count` is at
  // least its KvSharing::tokens. For an idle target it may throw bad_alloc: then it is empty.
  int32_t fork(SequenceKv& source, SequenceKv& target, int32_t token_count);
  // For copies to and from elsewhere, which hold what a text of `token_count` tokens needs to go on. Their size;
  int64_t copy_bytes(int32_t token_count) const noexcept;
  // the blocks of a sequence with so many, by group and position;
  std::vector<KvPiece> pieces(const SequenceKv& sequence) const;
  // zeroes, in a copy of a block, the slots from `slot` on;
  void clear_slots(int32_t group, uint8_t* block, int32_t slot) const noexcept;
  // and gives such blocks, with any bits, to an empty sequence that was admitted for so many tokens.
  void make_slots(SequenceKv& sequence, int32_t token_count) noexcept;
  // Copies by slots, one of which is a block of every group: the `index`-th blocks of a sequence. `first` receives, of
  // each group whose block is gone, what comes after it. False: a block that must be there is not.
  int64_t slot_bytes() const noexcept;
  bool copy_out(const SequenceKv& sequence, int32_t index, uint8_t* slot,
                std::array<int32_t, KvSlice::kGroupsMax>& first) const noexcept;
  bool copy_in(SequenceKv& sequence, int32_t index, const uint8_t* slot) noexcept;
  // Tokens that a sequence can go on from with slots [0, count), of which group g has those from first[g] on.
  int32_t restorable_tokens(const std::array<int32_t, KvSlice::kGroupsMax>& first, int32_t count) const noexcept;
  // The first slot that a sequence of so many tokens needs.
  int32_t first_slot(int32_t token_count) const noexcept;
  // kv_slices.cpp: blocks of texts that are over. Holds and pins a full block of an idle sequence, in the groups where
  // the slice has none yet; gives a slice's back. Both return the bytes of these blocks.
  int64_t hold_slice(const SequenceKv& idle, int32_t block_index, KvSlice& slice) noexcept;
  int64_t release_slice(KvSlice& slice) noexcept;
  // How many leading slices a sequence can go on from: every group has what its window sees from there.
  size_t usable_slices(std::span<const KvSlice> slices) const noexcept;
  // Makes an empty sequence an idle one that shares these blocks. May throw bad_alloc: then it is empty.
  void assemble(SequenceKv& sequence, std::span<const KvSlice> slices);
  // kv_resizing.cpp: memory comes and goes by segments. Takes one more; false: there is no memory, or all are there.
  bool grow() noexcept;
  // Gives one back that nobody has been promised, down to `floor` and as far as `holders`, who are told where their
  // blocks move, hold what is in it. False: there is none.
  bool shrink(const KvDemand& floor, const KvHolders& holders) noexcept;
  // Blocks of all groups that shrink() may look at.
  int32_t unpromised_blocks() const noexcept;
  bool is_complete() const noexcept;  // all blocks are there
  int64_t bytes_max() const noexcept;
  // Slots that grow() can add within so many bytes, in the group that has the fewest.
  int64_t growable_tokens(uint64_t available_bytes) const noexcept;
  // Gives everything back: blocks and promise.
  void release(SequenceKv& sequence) noexcept;
  // Slots that are promised to nobody, in the group that has the fewest: those that idle sequences hold are among them.
  int64_t unpromised_tokens() const noexcept;
  // Bytes of blocks that `sequence` holds, those that it shares included.
  int64_t held_bytes(const SequenceKv& sequence) const noexcept;

  int32_t group_count() const { return static_cast<int32_t>(groups_.size()); }
  const int32_t* layer_groups() const { return layer_group_.data(); }  // [layer]
  const kernels::KvLayer* layers() const { return layers_.data(); }    // [layer]
  const BlockPool& pool(int32_t group) const { return groups_[static_cast<size_t>(group)].pool; }
  int32_t window(int32_t group) const { return groups_[static_cast<size_t>(group)].window; }
  int32_t block_count_max() const { return groups_.empty() ? 0 : groups_.front().pool.block_count_max(); }
  // Memory of a segment that is there; null: all are gone.
  Buffer* first_segment() noexcept;
  // Who moves bytes of blocks: where it is not the host's mover, `pieces` and addresses are a device's.
  MemoryMover& mover() const { return *mover_; }

  struct Usage {
    int64_t total_bytes = 0, used_bytes = 0;
    int64_t block_count = 0, free_count = 0;
  };
  Usage usage() const;
  bool check_integrity() const;
  // As above, and the blocks' references and pins are exactly those of `sequences`, the promises theirs.
  bool check_integrity(std::span<const SequenceKv* const> sequences) const;

 private:
  struct Group {
    int32_t window = 0;
    int64_t block_bytes = 0;
    BlockPool pool;
  };
  Status create_pools(MemoryResource& resource, const KvCapacity& capacity);
  void count_holders(size_t group, const KvHolders& holders) noexcept;
  void tell_holders(size_t group, const KvHolders& holders) const noexcept;
  int32_t blocks_needed(const Group& group, int32_t token_count, int32_t step_rows_max) const;
  // The first block that the token at `next_position` sees.
  static int32_t first_block(const Group& group, int32_t next_position);
  static int32_t blocks_shared(const Group& group, int32_t token_count, const KvSharing& sharing);
  bool admit_group(Group& group, SequenceKv::Group& held, const SequenceKv& sequence, int32_t needed,
                   const KvSharing& sharing) noexcept;
  bool own_tail_block(Group& group, SequenceKv::Group& held, int32_t token_count) noexcept;
  void share_group(Group& group, SequenceKv::Group& from, SequenceKv::Group& to, bool pins_all, bool moves,
                   int32_t token_count) noexcept;
  bool can_share(const SequenceKv& source, const SequenceKv& target, int32_t token_count) const noexcept;
  // Whether fork() takes full blocks of `source` out of its promise and pins them.
  static bool moves_promise(const Group& group, const SequenceKv& source) {
    return source.admitted && !source.may_rewind && group.window == 0;
  }

  MemoryMover* mover_ = &host_memory_mover();
  std::vector<Group> groups_;
  std::vector<int32_t> layer_group_;
  std::vector<kernels::KvLayer> layers_;
  std::vector<uint32_t> held_;  // for shrink(): references of each block that its caller knows of
  std::vector<int32_t> moved_;  // and where it went; -1: nowhere
};

}  // namespace fastserve
