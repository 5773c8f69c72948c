// The merges of a BPE vocabulary: from a pair of ids to rank and id, by open addressing.
#pragma once
#include <cstddef>
#include <cstdint>

#include "text/bpe_merge.h"
#include "text/slot_array.h"

namespace fastserve {

class MergeTable {
 public:
  // Room for `count` merges. Call fill_part() until it is true, before anything else.
  explicit MergeTable(size_t count) : slots_(count) {}
  bool fill_part() { return slots_.fill_part(); }
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
    uint64_t mixed = key * 0x9E3779B97F4A7C15u;
    mixed ^= mixed >> 32;
    size_t at = static_cast<size_t>(mixed) & slots_.mask();
    while (slots_[at].key != key && slots_[at].key != kEmptyKey) at = (at + 1) & slots_.mask();
    return at;
  }

  SlotArray<Slot> slots_;
};

}  // namespace fastserve
