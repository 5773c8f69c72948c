// What sequences do with their blocks: promises at admission, growth, windows, truncation, and sharing (copy-on-write).
//
// Why no step fails after admission: a block in use is pinned, or held unpinned by an admitted sequence, each of which
// holds no more unpinned blocks than its promise; promises and pins together never pass the pool. A copy is made of a
// block with a second holder only, which is counted twice until then.
#include <algorithm>

#include "state/kv_cache.h"

namespace fastserve {
namespace {

using kernels::kKvBlockTokens;

int32_t block_count_for(int32_t token_count) { return (token_count + kKvBlockTokens - 1) / kKvBlockTokens; }

int32_t size_of(const SequenceKv::Group& held) { return static_cast<int32_t>(held.blocks.size()); }

int32_t unpinned_count(const SequenceKv::Group& held) { return size_of(held) - std::max(held.pinned, held.dropped); }

// Pins the leading `count` blocks and no other.
void set_pinned(BlockPool& pool, SequenceKv::Group& held, int32_t count) noexcept {
  auto block = [&](int32_t index) { return held.blocks[static_cast<size_t>(index)]; };
  for (int32_t i = std::max(count, held.dropped); i < held.pinned; ++i) pool.unpin(block(i));
  for (int32_t i = std::max(held.pinned, held.dropped); i < count; ++i) pool.pin(block(i));
  held.pinned = count;
}

// Drops the blocks from index `count` on.
void drop_from(BlockPool& pool, SequenceKv::Group& held, int32_t count) noexcept {
  if (held.pinned > count) set_pinned(pool, held, count);
  while (size_of(held) > count) {
    if (held.blocks.back() >= 0) pool.release(held.blocks.back());
    held.blocks.pop_back();
    held.addresses.pop_back();
  }
  held.dropped = std::min(held.dropped, count);
}

void push_block(const BlockPool& pool, SequenceKv::Group& held, int32_t block) noexcept {
  held.blocks.push_back(block);
  held.addresses.push_back(block >= 0 ? pool.address(block) : nullptr);
}

void end_admission(BlockPool& pool, SequenceKv::Group& held) noexcept {
  set_pinned(pool, held, size_of(held));
  pool.withdraw(held.promised);
  held.promised = held.to_share = 0;
}

}  // namespace

// A windowed sequence holds at most its window, the rows of the step that is being written, and one block at each end.
int32_t KvCache::blocks_needed(const Group& group, int32_t token_count, int32_t step_rows_max) const {
  int32_t tokens = token_count;
  if (group.window > 0) {
    const int64_t held = int64_t{group.window} + step_rows_max + 2 * kKvBlockTokens;
    tokens = static_cast<int32_t>(std::min<int64_t>(tokens, held));
  }
  return block_count_for(tokens);
}

// Of the first `token_count` tokens: full blocks that stay as they are, whoever else holds them.
int32_t KvCache::blocks_shared(const Group& group, int32_t token_count, const KvSharing& sharing) {
  return group.window == 0 && !sharing.may_rewind ? token_count / kKvBlockTokens : 0;
}

int32_t KvCache::first_block(const Group& group, int32_t next_position) {
  return group.window == 0 ? 0 : std::max(0, next_position - group.window + 1) / kKvBlockTokens;
}

KvDemand KvCache::demand(int32_t token_count, int32_t step_rows_max, const KvSharing& sharing, int32_t count) const {
  KvDemand demand;
  for (size_t index = 0; index < groups_.size() && index < demand.blocks.size(); ++index) {
    const int64_t needed = blocks_needed(groups_[index], token_count, step_rows_max);
    const int64_t own = needed - blocks_shared(groups_[index], sharing.tokens, sharing);
    demand.blocks[index] = static_cast<int32_t>(std::min<int64_t>(needed + (count - 1) * own, INT32_MAX / 2));
  }
  return demand;
}

bool KvCache::could_admit(int32_t token_count, int32_t step_rows_max) const {
  return std::all_of(groups_.begin(), groups_.end(), [&](const Group& group) {
    return blocks_needed(group, token_count, step_rows_max) <= group.pool.block_count() - group.pool.promised_count();
  });
}

void KvCache::loosen(SequenceKv& sequence) noexcept {
  for (size_t index = 0; index < sequence.groups.size(); ++index) {
    set_pinned(groups_[index].pool, sequence.groups[index], 0);
  }
}

bool KvCache::hold_again(SequenceKv& sequence) noexcept {
  for (size_t index = 0; index < sequence.groups.size(); ++index) {
    const SequenceKv::Group& held = sequence.groups[index];
    const BlockPool& pool = groups_[index].pool;
    const auto unpinned = std::count_if(held.blocks.begin() + held.dropped, held.blocks.end(),
                                        [&](int32_t block) { return pool.pin_count(block) == 0; });
    if (unpinned > pool.unpromised_count()) return false;
  }
  suspend(sequence);
  return true;
}

// Full blocks stay as they are until the end, so they stay pinned and need no promise. All others may be dropped or
// replaced by a copy: they count as the sequence's own, whoever else holds them.
bool KvCache::admit_group(Group& group, SequenceKv::Group& held, const SequenceKv& sequence, int32_t needed,
                          const KvSharing& sharing) noexcept {
  const int32_t had_pinned = held.pinned;
  const int32_t kept = blocks_shared(group, sequence.token_count, sharing);
  const int32_t shared = sequence.token_count > 0 ? kept : blocks_shared(group, sharing.tokens, sharing);
  set_pinned(group.pool, held, std::min(kept, had_pinned));
  const int32_t promised = std::max(needed - shared, unpinned_count(held));
  if (!group.pool.promise(promised)) {
    set_pinned(group.pool, held, had_pinned);
    return false;
  }
  held.promised = promised;
  held.to_share = shared;
  return true;
}

bool KvCache::admit(SequenceKv& sequence, int32_t token_count, int32_t step_rows_max, const KvSharing& sharing) {
  sequence.groups.resize(groups_.size());
  for (SequenceKv::Group& held : sequence.groups) {
    held.blocks.reserve(static_cast<size_t>(block_count_for(token_count)));
    held.addresses.reserve(static_cast<size_t>(block_count_for(token_count)));
  }
  for (size_t index = 0; index < groups_.size(); ++index) {
    Group& group = groups_[index];
    const int32_t needed = blocks_needed(group, token_count, step_rows_max);
    if (admit_group(group, sequence.groups[index], sequence, needed, sharing)) continue;
    while (index-- > 0) end_admission(groups_[index].pool, sequence.groups[index]);
    return false;
  }
  sequence.admitted = true;
  sequence.may_rewind = sharing.may_rewind;
  return true;
}

void KvCache::suspend(SequenceKv& sequence) noexcept {
  for (size_t index = 0; index < sequence.groups.size(); ++index) {
    end_admission(groups_[index].pool, sequence.groups[index]);
  }
  sequence.admitted = false;
}

// The block that holds the last of `token_count` tokens is about to be written: no one else may hold it.
bool KvCache::own_tail_block(Group& group, SequenceKv::Group& held, int32_t token_count) noexcept {
  if (token_count % kKvBlockTokens == 0) return true;
  const auto tail = static_cast<size_t>(token_count / kKvBlockTokens);
  const int32_t shared = held.blocks[tail];
  if (group.pool.reference_count(shared) == 1) return true;
  const int32_t copy = group.pool.acquire();
  if (copy < 0) return false;
  group.pool.copy(shared, copy);
  group.pool.release(shared);
  held.blocks[tail] = copy;
  held.addresses[tail] = group.pool.address(copy);
  return true;
}

bool KvCache::reserve(SequenceKv& sequence, int32_t token_count) noexcept {
  if (token_count <= sequence.token_count) return true;
  const int32_t wanted = block_count_for(token_count);
  for (size_t index = 0; index < groups_.size(); ++index) {
    Group& group = groups_[index];
    SequenceKv::Group& held = sequence.groups[index];
    if (!own_tail_block(group, held, sequence.token_count)) return false;
    while (size_of(held) < wanted) {
      if (unpinned_count(held) >= held.promised || held.blocks.size() == held.blocks.capacity()) return false;
      const int32_t block = group.pool.acquire();
      if (block < 0) return false;
      push_block(group.pool, held, block);
    }
  }
  sequence.token_count = token_count;
  return true;
}

void KvCache::drop_outside_window(SequenceKv& sequence, int32_t next_position) noexcept {
  for (size_t index = 0; index < groups_.size(); ++index) {
    Group& group = groups_[index];
    if (group.window == 0) continue;
    SequenceKv::Group& held = sequence.groups[index];
    const int32_t drop_end = std::min(first_block(group, next_position), size_of(held));
    for (; held.dropped < drop_end; ++held.dropped) {
      const auto block = static_cast<size_t>(held.dropped);
      if (held.dropped < held.pinned) group.pool.unpin(held.blocks[block]);
      group.pool.release(held.blocks[block]);
      held.blocks[block] = -1;
      held.addresses[block] = nullptr;
    }
  }
}

int32_t KvCache::reusable_prefix(const SequenceKv& sequence, int32_t token_count) const noexcept {
  const int32_t kept = std::clamp(token_count, 0, sequence.token_count);
  for (size_t index = 0; kept > 0 && index < groups_.size(); ++index) {
    const Group& group = groups_[index];
    if (group.window == 0) continue;
    // Where a key that the next row needs is gone, it is for every shorter prefix too.
    if (first_block(group, kept) < sequence.groups[index].dropped) return 0;
  }
  return kept;
}

int32_t KvCache::truncate(SequenceKv& sequence, int32_t token_count) noexcept {
  const int32_t kept = reusable_prefix(sequence, token_count);
  const int32_t full_blocks = kept / kKvBlockTokens;
  for (size_t index = 0; index < sequence.groups.size(); ++index) {
    SequenceKv::Group& held = sequence.groups[index];
    BlockPool& pool = groups_[index].pool;
    const int32_t had_pinned = held.pinned;
    drop_from(pool, held, block_count_for(kept));
    if (!sequence.admitted || had_pinned <= full_blocks) continue;
    // What was pinned has to be filled again, from a promise now.
    set_pinned(pool, held, full_blocks);
    for (int32_t i = full_blocks; i < had_pinned && pool.promise(1); ++i) ++held.promised;
    held.to_share = full_blocks;
  }
  sequence.token_count = kept;
  return kept;
}

bool KvCache::can_share(const SequenceKv& source, const SequenceKv& target, int32_t token_count) const noexcept {
  for (size_t index = 0; index < groups_.size(); ++index) {
    const SequenceKv::Group& from = source.groups[index];
    const BlockPool& pool = groups_[index].pool;
    const int32_t count = block_count_for(token_count);
    const int32_t pinned = target.admitted ? target.groups[index].to_share : count;
    if (target.admitted) {
      const SequenceKv::Group& to = target.groups[index];
      if (pinned * kKvBlockTokens > token_count || to.blocks.capacity() < static_cast<size_t>(count)) return false;
      if (count - std::max(pinned, from.dropped) > to.promised) return false;
    }
    int32_t newly_pinned = 0;
    for (int32_t i = from.dropped; i < pinned; ++i) {
      if (pool.pin_count(from.blocks[static_cast<size_t>(i)]) > 0) continue;
      const bool moves = moves_promise(groups_[index], source) && i < token_count / kKvBlockTokens;
      newly_pinned += moves ? 0 : 1;
    }
    if (newly_pinned > pool.unpromised_count()) return false;
  }
  return true;
}

void KvCache::share_group(Group& group, SequenceKv::Group& from, SequenceKv::Group& to, bool pins_all, bool moves,
                          int32_t token_count) noexcept {
  const int32_t count = block_count_for(token_count);
  for (int32_t i = 0; i < count; ++i) {
    const int32_t block = from.blocks[static_cast<size_t>(i)];
    if (block >= 0) group.pool.retain(block);
    push_block(group.pool, to, block);
  }
  to.dropped = std::min(from.dropped, count);
  const int32_t pinned = pins_all ? count : to.to_share;
  set_pinned(group.pool, to, pinned);
  const int32_t moved = std::min(pinned, token_count / kKvBlockTokens) - from.pinned;
  if (!moves || moved <= 0) return;
  set_pinned(group.pool, from, from.pinned + moved);
  from.promised -= moved;
  from.to_share = from.pinned;
  group.pool.withdraw(moved);
}

int32_t KvCache::fork(SequenceKv& source, SequenceKv& target, int32_t token_count) {
  for (size_t index = 0; index < target.groups.size(); ++index) {
    drop_from(groups_[index].pool, target.groups[index], 0);
  }
  target.token_count = 0;
  const int32_t kept = reusable_prefix(source, token_count);
  if (kept == 0) return 0;
  if (!target.admitted) {
    target.groups.resize(groups_.size());
    for (SequenceKv::Group& to : target.groups) {
      to.blocks.reserve(static_cast<size_t>(block_count_for(kept)));
      to.addresses.reserve(static_cast<size_t>(block_count_for(kept)));
    }
  }
  if (!can_share(source, target, kept)) return 0;
  for (size_t index = 0; index < groups_.size(); ++index) {
    share_group(groups_[index], source.groups[index], target.groups[index], !target.admitted,
                moves_promise(groups_[index], source), kept);
  }
  target.token_count = kept;
  return kept;
}

void KvCache::release(SequenceKv& sequence) noexcept {
  for (size_t index = 0; index < sequence.groups.size(); ++index) {
    drop_from(groups_[index].pool, sequence.groups[index], 0);
    end_admission(groups_[index].pool, sequence.groups[index]);
  }
  sequence.token_count = 0;
  sequence.admitted = false;
}

int64_t KvCache::unpromised_tokens() const noexcept {
  int64_t least = INT64_MAX;
  for (const Group& group : groups_) {
    least = std::min<int64_t>(least, group.pool.block_count() - group.pool.promised_count());
  }
  return groups_.empty() ? 0 : least * kKvBlockTokens;
}

int64_t KvCache::held_bytes(const SequenceKv& sequence) const noexcept {
  int64_t bytes = 0;
  for (size_t index = 0; index < sequence.groups.size(); ++index) {
    const SequenceKv::Group& held = sequence.groups[index];
    bytes += (size_of(held) - held.dropped) * groups_[index].block_bytes;
  }
  return bytes;
}

}  // namespace fastserve
