// Copies of what a sequence has computed, to and from places outside the pool. A copy is made of whole blocks, in the
// layout of kernel_api.h; which blocks, follows from the number of tokens alone.
#include <algorithm>
#include <cstring>

#include "state/kv_cache.h"

namespace fastserve {
namespace {

using kernels::kKvBlockTokens;
using kernels::KvType;

int32_t block_end(int32_t token_count) { return (token_count + kKvBlockTokens - 1) / kKvBlockTokens; }

// Zeroes columns [slot, 16) of `rows` rows of 16 elements.
void clear_columns(uint8_t* data, int64_t rows, int64_t element_bytes, int32_t slot) {
  for (int64_t row = 0; row < rows; ++row) {
    std::memset(data + (row * kKvBlockTokens + slot) * element_bytes, 0,
                static_cast<size_t>((kKvBlockTokens - slot) * element_bytes));
  }
}

// The scales of kQ8 follow a head's values.
void clear_scales(uint8_t* head, KvType type, int32_t dim, int32_t slot) {
  if (type == KvType::kQ8) clear_columns(head + int64_t{dim} * kKvBlockTokens, 1, sizeof(float), slot);
}

void clear_keys(uint8_t* head, KvType type, int32_t dim, int32_t slot) {
  const bool is_paired = type == KvType::kBF16;  // an element is a pair of dimensions there
  const int64_t element_bytes = kernels::kv_element_bytes(type);
  clear_columns(head, is_paired ? (dim + 1) / 2 : dim, is_paired ? 2 * element_bytes : element_bytes, slot);
  clear_scales(head, type, dim, slot);
}

void clear_values(uint8_t* head, KvType type, int32_t dim, int32_t slot) {
  const int64_t slot_bytes = kernels::kv_element_bytes(type) * dim;
  clear_scales(head, type, dim, slot);
  if (type == KvType::kBF16 && slot % 2 != 0) {  // the second token of a pair
    uint8_t* pair = head + (slot - 1) * slot_bytes;
    for (int32_t i = 0; i < dim; ++i) std::memset(pair + 4 * i + 2, 0, 2);
    ++slot;
  }
  std::memset(head + slot * slot_bytes, 0, static_cast<size_t>((kKvBlockTokens - slot) * slot_bytes));
}

}  // namespace

int64_t KvCache::copy_bytes(int32_t token_count) const noexcept {
  int64_t bytes = 0;
  for (const Group& group : groups_) {
    bytes += (block_end(token_count) - first_block(group, token_count)) * group.block_bytes;
  }
  return bytes;
}

std::vector<KvPiece> KvCache::pieces(const SequenceKv& sequence) const {
  std::vector<KvPiece> pieces;
  for (size_t index = 0; index < sequence.groups.size(); ++index) {
    const Group& group = groups_[index];
    for (int32_t i = first_block(group, sequence.token_count); i < block_end(sequence.token_count); ++i) {
      uint8_t* address = sequence.groups[index].addresses[static_cast<size_t>(i)];
      const int32_t slots = std::min(sequence.token_count - i * kKvBlockTokens, int32_t{kKvBlockTokens});
      pieces.push_back({address, group.block_bytes, static_cast<int32_t>(index), slots});
    }
  }
  return pieces;
}

void KvCache::clear_slots(int32_t group, uint8_t* block, int32_t slot) const noexcept {
  for (size_t i = 0; i < layers_.size(); ++i) {
    if (layer_group_[i] != group) continue;
    const kernels::KvLayer& layer = layers_[i];
    for (int32_t head = 0; head < layer.kv_head_count; ++head) {
      uint8_t* keys = block + layer.k_offset_bytes + head * kernels::kv_head_bytes(layer.type, layer.head_dim);
      uint8_t* values = block + layer.v_offset_bytes + head * kernels::kv_head_bytes(layer.type, layer.value_dim);
      clear_keys(keys, layer.type, layer.head_dim, slot);
      clear_values(values, layer.type, layer.value_dim, slot);
    }
  }
}

void KvCache::make_slots(SequenceKv& sequence, int32_t token_count) noexcept {
  for (size_t index = 0; index < groups_.size(); ++index) {
    Group& group = groups_[index];
    SequenceKv::Group& held = sequence.groups[index];
    held.dropped = first_block(group, token_count);
    for (int32_t i = 0; i < block_end(token_count); ++i) {
      const int32_t block = i < held.dropped ? -1 : group.pool.acquire();
      held.blocks.push_back(block);  // within what admit() reserved and promised
      held.addresses.push_back(block >= 0 ? group.pool.address(block) : nullptr);
    }
  }
  sequence.token_count = token_count;
}

int64_t KvCache::slot_bytes() const noexcept {
  int64_t bytes = 0;
  for (const Group& group : groups_) bytes += group.block_bytes;
  return bytes;
}

bool KvCache::copy_out(const SequenceKv& sequence, int32_t index, uint8_t* slot,
                       std::array<int32_t, KvSlice::kGroupsMax>& first) const noexcept {
  const auto i = static_cast<size_t>(index);
  if (sequence.groups.empty() || groups_.size() > first.size()) return false;
  for (size_t group = 0; group < groups_.size(); ++group) {
    const SequenceKv::Group& held = sequence.groups[group];
    const auto size_bytes = static_cast<size_t>(groups_[group].block_bytes);
    if (i >= held.blocks.size()) return false;
    if (held.blocks[i] >= 0) {
      if (!mover_->read(slot, held.addresses[i], size_bytes).ok()) return false;
    } else {
      std::memset(slot, 0, size_bytes);
      first[group] = index + 1;
    }
    slot += size_bytes;
  }
  return true;
}

bool KvCache::copy_in(SequenceKv& sequence, int32_t index, const uint8_t* slot) noexcept {
  const auto i = static_cast<size_t>(index);
  for (size_t group = 0; group < groups_.size(); ++group) {
    SequenceKv::Group& held = sequence.groups[group];
    const auto size_bytes = static_cast<size_t>(groups_[group].block_bytes);
    const bool is_held = i < held.blocks.size() && held.blocks[i] >= 0;
    if (is_held && !mover_->write(held.addresses[i], slot, size_bytes).ok()) return false;
    slot += size_bytes;
  }
  return true;
}

int32_t KvCache::restorable_tokens(const std::array<int32_t, KvSlice::kGroupsMax>& first,
                                   int32_t count) const noexcept {
  const int32_t token_count = count * kKvBlockTokens;
  for (size_t group = 0; group < groups_.size(); ++group) {
    if (first[group] > first_block(groups_[group], token_count)) return 0;
  }
  return token_count;
}

int32_t KvCache::first_slot(int32_t token_count) const noexcept {
  int32_t slot = INT32_MAX;
  for (const Group& group : groups_) slot = std::min(slot, first_block(group, token_count));
  return slot;
}

}  // namespace fastserve
