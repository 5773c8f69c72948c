// Byte pair merging: repeatedly joins the adjacent pair of lowest rank, the leftmost of equals.
#pragma once
#include <cstddef>
#include <cstdint>
#include <vector>

namespace fastserve {

class BpeMerger {
 public:
  struct Merge {
    int32_t rank = -1;  // -1: the two do not merge
    int32_t id = -1;
  };

  // Room for `count` merges.
  explicit BpeMerger(size_t count);
  // A later merge of the same pair replaces an earlier one.
  void insert(int32_t left, int32_t right, Merge merge);
  Merge find(int32_t left, int32_t right) const;

  // Working memory, one a call so that threads may share the merger.
  struct Symbol {
    int32_t id = 0, previous = 0, next = 0;
  };
  struct Candidate {
    int32_t rank = 0;
    uint32_t position = 0;
    int32_t left = 0, right = 0, id = 0;
  };
  struct Scratch {
    std::vector<int32_t> ranks;
    std::vector<Symbol> symbols;
    std::vector<Candidate> heap;
  };
  // Replaces `ids` by what they merge to. O(n log n).
  void merge(std::vector<int32_t>& ids, Scratch& scratch) const;

 private:
  void merge_short(std::vector<int32_t>& ids, Scratch& scratch) const;
  void merge_long(std::vector<int32_t>& ids, Scratch& scratch) const;
  void push_candidate(Scratch& scratch, int32_t position) const;
  struct Slot {
    uint64_t key = 0;
    Merge merge;
  };
  size_t slot_of(uint64_t key) const;

  std::vector<Slot> slots_;
};

}  // namespace fastserve
