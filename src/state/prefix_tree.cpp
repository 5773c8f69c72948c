// Nodes lie in one array and are found by a hash of parent and tokens; a list orders them by use. Whoever uses a node
// uses its ancestors too and they are put before it, so the last of the list has no children.
#include "state/prefix_tree.h"

#include <algorithm>
#include <bit>

namespace fastserve {

void PrefixTree::reserve(const KvCache& kv) {
  const int32_t blocks = kv.block_count_max();
  if (blocks == 0 || kv.group_count() > KvSlice::kGroupsMax) return;
  const auto count = static_cast<size_t>(blocks);
  nodes_.resize(count);
  path_.reserve(count);
  slices_.reserve(count);
  free_.reserve(count);
  for (size_t i = count; i-- > 0;) free_.push_back(static_cast<uint32_t>(i));
  buckets_.assign(std::bit_ceil(count), kNone);
}

uint32_t& PrefixTree::bucket_of(uint32_t parent, std::span<const int32_t> tokens) {
  uint64_t hash = 0x9E3779B97F4A7C15ULL ^ parent;
  for (int32_t i = 0; i < kBlockTokens; ++i) {
    hash = (hash ^ static_cast<uint32_t>(tokens[static_cast<size_t>(i)])) * 0xFF51AFD7ED558CCDULL;
    hash ^= hash >> 32;
  }
  return buckets_[hash & (buckets_.size() - 1)];
}

uint32_t PrefixTree::find(uint32_t parent, std::span<const int32_t> tokens) {
  uint32_t node = bucket_of(parent, tokens);
  while (node != kNone) {
    const Node& candidate = nodes_[node];
    if (candidate.parent == parent && std::equal(candidate.tokens.begin(), candidate.tokens.end(), tokens.begin())) {
      return node;
    }
    node = candidate.next_in_bucket;
  }
  return kNone;
}

uint32_t PrefixTree::add(uint32_t parent, std::span<const int32_t> tokens) noexcept {
  if (free_.empty()) return kNone;
  const uint32_t index = free_.back();
  free_.pop_back();
  Node& node = nodes_[index];
  node = {};
  std::copy_n(tokens.begin(), kBlockTokens, node.tokens.begin());
  node.parent = parent;
  uint32_t& bucket = bucket_of(parent, tokens);
  node.next_in_bucket = bucket;
  bucket = index;
  if (parent != kNone) ++nodes_[parent].child_count;
  put_first(index);
  ++usage_.node_count;
  return index;
}

void PrefixTree::put_first(uint32_t index) noexcept {
  Node& node = nodes_[index];
  node.newer = kNone;
  node.older = newest_;
  if (newest_ != kNone) nodes_[newest_].newer = index;
  newest_ = index;
  if (oldest_ == kNone) oldest_ = index;
}

void PrefixTree::unlink(uint32_t index) noexcept {
  const Node& node = nodes_[index];
  (node.newer != kNone ? nodes_[node.newer].older : newest_) = node.older;
  (node.older != kNone ? nodes_[node.older].newer : oldest_) = node.newer;
}

void PrefixTree::touch(uint32_t deepest) noexcept {
  for (uint32_t node = deepest; node != kNone; node = nodes_[node].parent) {
    unlink(node);
    put_first(node);
  }
}

void PrefixTree::insert(KvCache& kv, const SequenceKv& idle, std::span<const int32_t> tokens) noexcept {
  if (!is_on()) return;
  const size_t known = std::min(tokens.size(), static_cast<size_t>(idle.token_count));
  uint32_t parent = kNone;
  for (size_t block = 0; (block + 1) * kBlockTokens <= known; ++block) {
    const std::span<const int32_t> text = tokens.subspan(block * kBlockTokens, kBlockTokens);
    uint32_t node = find(parent, text);
    if (node == kNone) node = add(parent, text);
    if (node == kNone) break;
    usage_.held_bytes += kv.hold_slice(idle, static_cast<int32_t>(block), nodes_[node].slice);
    parent = node;
  }
  touch(parent);
}

size_t PrefixTree::find_path(const KvCache& kv, std::span<const int32_t> tokens, int32_t token_count) {
  path_.clear();
  slices_.clear();
  if (!is_on()) return 0;
  const size_t wanted = std::min(tokens.size(), static_cast<size_t>(std::max(token_count, 0)));
  uint32_t parent = kNone;
  for (size_t begin = 0; begin + kBlockTokens <= wanted; begin += kBlockTokens) {
    const uint32_t node = find(parent, tokens.subspan(begin, kBlockTokens));
    if (node == kNone) break;
    path_.push_back(node);
    slices_.push_back(nodes_[node].slice);
    parent = node;
  }
  return kv.usable_slices(slices_);
}

int32_t PrefixTree::match(const KvCache& kv, std::span<const int32_t> tokens, int32_t token_count) {
  return static_cast<int32_t>(find_path(kv, tokens, token_count)) * kBlockTokens;
}

int32_t PrefixTree::lend(KvCache& kv, std::span<const int32_t> tokens, int32_t token_count, SequenceKv& sequence) {
  if (!is_on()) return 0;
  ++usage_.lookup_count;
  const size_t usable = find_path(kv, tokens, token_count);
  if (usable == 0) return 0;
  kv.assemble(sequence, std::span(slices_).first(usable));
  touch(path_[usable - 1]);
  ++usage_.hit_count;
  usage_.hit_tokens += usable * kBlockTokens;
  return sequence.token_count;
}

bool PrefixTree::evict(KvCache& kv) noexcept {
  if (oldest_ == kNone) return false;
  const uint32_t index = oldest_;
  Node& node = nodes_[index];
  uint32_t* link = &bucket_of(node.parent, node.tokens);
  while (*link != index) link = &nodes_[*link].next_in_bucket;
  *link = node.next_in_bucket;
  unlink(index);
  if (node.parent != kNone) --nodes_[node.parent].child_count;
  usage_.held_bytes -= kv.release_slice(node.slice);
  free_.push_back(index);
  --usage_.node_count;
  ++usage_.evicted_count;
  return true;
}

void PrefixTree::list_slices(std::vector<KvSlice*>& slices) {
  for (uint32_t node = newest_; node != kNone; node = nodes_[node].older) slices.push_back(&nodes_[node].slice);
}

PrefixTree::Usage PrefixTree::usage() const { return usage_; }

void PrefixTree::collect(const KvCache& kv, std::vector<SequenceKv>& held) const {
  for (uint32_t node = newest_; node != kNone; node = nodes_[node].older) {
    held.emplace_back();
    for (int32_t group = 0; group < kv.group_count(); ++group) {
      const int32_t block = nodes_[node].slice.blocks[static_cast<size_t>(group)];
      SequenceKv::Group& own = held.back().groups.emplace_back();
      own.blocks = {block};
      own.addresses = {block >= 0 ? kv.pool(group).address(block) : nullptr};
      own.dropped = block >= 0 ? 0 : 1;
      own.pinned = 1;
    }
  }
}

bool PrefixTree::check_integrity() const {
  std::vector<uint32_t> children(nodes_.size());
  std::vector<bool> is_seen(nodes_.size());
  int64_t count = 0;
  uint32_t newer = kNone;
  for (uint32_t index = newest_; index != kNone; newer = index, index = nodes_[index].older, ++count) {
    const Node& node = nodes_[index];
    if (is_seen[index] || node.newer != newer) return false;
    is_seen[index] = true;
    if (node.parent == kNone) continue;
    if (!is_seen[node.parent]) return false;  // parents come first
    ++children[node.parent];
  }
  if (newer != oldest_ || count != usage_.node_count) return false;
  if (static_cast<size_t>(count) + free_.size() != nodes_.size()) return false;
  size_t chained = 0;
  for (const uint32_t bucket : buckets_) {
    for (uint32_t index = bucket; index != kNone; index = nodes_[index].next_in_bucket, ++chained) {
      if (!is_seen[index] || nodes_[index].child_count != children[index]) return false;
    }
  }
  return chained == static_cast<size_t>(count);
}

}  // namespace fastserve
