// KvCache: the paged keys and values of one model; SequenceKv: what one sequence owns of them. Layers are grouped by
// how long they keep tokens (all, or a window); each group has its own blocks. Owned by the engine thread.
#pragma once
#include <cstdint>
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

// One sequence's blocks. Vectors are reserved at admission, so growing allocates nothing.
struct SequenceKv {
  struct Group {
    std::vector<int32_t> blocks;      // -1 where the window dropped one
    std::vector<uint8_t*> addresses;  // of the same blocks, for kernels
    int32_t promised = 0;             // of the pool's promised blocks, still to be acquired
  };
  std::vector<Group> groups;
  int32_t token_count = 0;  // tokens that have a slot
};

class KvCache {
 public:
  // `token_capacity`: tokens that every group can hold in all sequences together.
  static Result<KvCache> create(const KvLayout& layout, MemoryResource& resource, int64_t token_capacity);

  // Promises what a sequence of at most `token_count` tokens can ever need at once; false when it does not fit now.
  // Must succeed before reserve(). Reserves the bookkeeping of `sequence` (may throw bad_alloc, then nothing changed).
  bool admit(SequenceKv& sequence, int32_t token_count, int32_t step_rows_max);
  // The most blocks of the scarcest group that admit() would promise, against that pool's whole size.
  bool can_ever_admit(int32_t token_count, int32_t step_rows_max) const;
  // Makes slots for tokens [0, token_count). Within what admit() promised it cannot fail; beyond: false.
  bool reserve(SequenceKv& sequence, int32_t token_count) noexcept;
  // Gives blocks back that no layer of a windowed group can need from position `next_position` on.
  void drop_outside_window(SequenceKv& sequence, int32_t next_position) noexcept;
  // Keeps the first `token_count` tokens (or fewer where a window has dropped them: returns what is kept).
  int32_t truncate(SequenceKv& sequence, int32_t token_count) noexcept;
  void release(SequenceKv& sequence) noexcept;

  int32_t group_count() const { return static_cast<int32_t>(groups_.size()); }
  const int32_t* layer_groups() const { return layer_group_.data(); }  // [layer]
  const kernels::KvLayer* layers() const { return layers_.data(); }    // [layer]
  const BlockPool& pool(int32_t group) const { return groups_[static_cast<size_t>(group)].pool; }
  int32_t window(int32_t group) const { return groups_[static_cast<size_t>(group)].window; }

  struct Usage {
    int64_t total_bytes = 0, used_bytes = 0;
    int64_t block_count = 0, free_count = 0;
  };
  Usage usage() const;
  bool check_integrity() const;

 private:
  struct Group {
    int32_t window = 0;
    int64_t block_bytes = 0;
    BlockPool pool;
  };
  int32_t blocks_needed(const Group& group, int32_t token_count, int32_t step_rows_max) const;

  std::vector<Group> groups_;
  std::vector<int32_t> layer_group_;
  std::vector<kernels::KvLayer> layers_;
};

}  // namespace fastserve
