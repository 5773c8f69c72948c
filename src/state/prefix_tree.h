// PrefixTree: keys and values of texts that are over, block by block, for whoever begins with the same tokens. A radix
// tree over whole blocks of tokens: a node is a block's tokens after its parent's, and holds one KV block of each layer
// group. Windowed groups may have dropped theirs: then a prefix is honoured only as far as the window behind its end is
// there. Owned by the engine thread, as the cache is.
#pragma once
#include <array>
#include <cstdint>
#include <span>
#include <vector>

#include "state/kv_cache.h"

namespace fastserve {

class PrefixTree {
 public:
  static constexpr int32_t kBlockTokens = kernels::kKvBlockTokens;

  // Makes room for all blocks of `kv`. Without it the tree stays empty. May throw bad_alloc.
  void reserve(const KvCache& kv);
  bool is_on() const { return !buckets_.empty(); }

  // Keeps the whole blocks of an idle sequence, whose first tokens are `tokens`; what is known already stays as it is.
  void insert(KvCache& kv, const SequenceKv& idle, std::span<const int32_t> tokens) noexcept;
  // How many of the first `token_count` tokens lend() would bring: whole blocks.
  int32_t match(const KvCache& kv, std::span<const int32_t> tokens, int32_t token_count);
  // Gives an empty sequence the longest prefix of the first `token_count` tokens that there is, to share, and returns
  // its tokens. It is idle then. May throw bad_alloc: then it is empty.
  int32_t lend(KvCache& kv, std::span<const int32_t> tokens, int32_t token_count, SequenceKv& sequence);
  // Gives back the block that was used longest ago and that no other one follows; false: the tree is empty.
  bool evict(KvCache& kv) noexcept;

  // Appends what every node holds. May throw bad_alloc.
  void list_slices(std::vector<KvSlice*>& slices);

  struct Usage {
    int64_t node_count = 0;
    int64_t held_bytes = 0;  // of blocks, those that others share included
    uint64_t lookup_count = 0, hit_count = 0, hit_tokens = 0, evicted_count = 0;  // of lend(), since the beginning
    Usage& operator+=(const Usage& other) {
      node_count += other.node_count;
      held_bytes += other.held_bytes;
      lookup_count += other.lookup_count;
      hit_count += other.hit_count;
      hit_tokens += other.hit_tokens;
      evicted_count += other.evicted_count;
      return *this;
    }
  };
  Usage usage() const;
  // Appends what each node holds as a sequence of its own: for tests.
  void collect(const KvCache& kv, std::vector<SequenceKv>& held) const;
  // Lists, table and counts agree: for tests.
  bool check_integrity() const;

 private:
  static constexpr uint32_t kNone = UINT32_MAX;
  using BlockText = std::array<int32_t, kBlockTokens>;
  struct Node {
    BlockText tokens{};
    KvSlice slice;
    uint32_t parent = kNone, next_in_bucket = kNone, older = kNone, newer = kNone;
    uint32_t child_count = 0;
  };
  uint32_t& bucket_of(uint32_t parent, std::span<const int32_t> tokens);
  uint32_t find(uint32_t parent, std::span<const int32_t> tokens);
  uint32_t add(uint32_t parent, std::span<const int32_t> tokens) noexcept;
  void unlink(uint32_t node) noexcept;
  void put_first(uint32_t node) noexcept;
  // A path was used: its nodes become the most recent ones, parents before children.
  void touch(uint32_t deepest) noexcept;
  // Nodes along `tokens`, as far as there are any, into path_; how many of them a sequence can use.
  size_t find_path(const KvCache& kv, std::span<const int32_t> tokens, int32_t token_count);

  std::vector<Node> nodes_;
  std::vector<uint32_t> free_, buckets_, path_;
  std::vector<KvSlice> slices_;  // of path_
  uint32_t newest_ = kNone, oldest_ = kNone;
  Usage usage_;
};

}  // namespace fastserve
