// The merges of a BPE vocabulary: from a pair of ids to rank and id, by open addressing.
#pragma once
#include <cstddef>
#include <cstdint>
#include <vector>

#include "text/bpe_merge.h"

namespace fastserve {

class MergeTable {
 public:
  // Room for `count` merges.
  explicit MergeTable(size_t count = 0) {
    size_t capacity = 16;
    while (capacity < count * 3 / 2) capacity *= 2;
    slots_.assign(capacity, Slot{});
  }
  // A later merge of the same pair replaces an earlier one.
  void insert(int32_t left, int32_t right, BpeMerge merge) {
    const uint64_t key = key_of(left, right);
    slots_[slot_of(key)] = {key, merge};
  }
  BpeMerge find(int32_t left, int32_t right) const { return slots_[slot_of(key_of(left, right))].merge; }

 private:
  static constexpr uint64_t kEmptyKey = ~uint64_t{0};  // no pair of ids has it
  struct Slot {
    uint64_t key = kEmptyKey;
    BpeMerge merge;
  };
  static uint64_t key_of(int32_t left, int32_t right) {
    return static_cast<uint64_t>(static_cast<uint32_t>(left)) << 32 | static_cast<uint32_t>(right);
  }
  size_t slot_of(uint64_t key) const {
    const size_t mask = slots_.size() - 1;
    uint64_t mixed = key * 0x9E3779B97F4A7C15u;
    mixed ^= mixed >> 32;
    size_t at = static_cast<size_t>(mixed) & mask;
    while (slots_[at].key != key && slots_[at].key != kEmptyKey) at = (at + 1) & mask;
    return at;
  }

  std::vector<Slot> slots_;
};

}  // namespace fastserve
