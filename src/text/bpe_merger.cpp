// Short words by scanning an array of ranks, long ones by a heap over a linked list.
#include "text/bpe_merger.h"

#include <algorithm>

namespace fastserve {
namespace {

constexpr size_t kShortWordSymbols = 32;
constexpr uint64_t kEmptyKey = ~uint64_t{0};

uint64_t key_of(int32_t left, int32_t right) {
  return static_cast<uint64_t>(static_cast<uint32_t>(left)) << 32 | static_cast<uint32_t>(right);
}

// Makes the heap's top the candidate of lowest rank, leftmost first.
bool after(const BpeMerger::Candidate& a, const BpeMerger::Candidate& b) {
  return a.rank != b.rank ? a.rank > b.rank : a.position > b.position;
}

}  // namespace

BpeMerger::BpeMerger(size_t count) {
  size_t capacity = 16;
  while (capacity < count * 3 / 2) capacity *= 2;
  slots_.assign(capacity, Slot{kEmptyKey, {}});
}

size_t BpeMerger::slot_of(uint64_t key) const {
  const size_t mask = slots_.size() - 1;
  uint64_t mixed = key * 0x9E3779B97F4A7C15u;
  mixed ^= mixed >> 32;
  size_t at = static_cast<size_t>(mixed) & mask;
  while (slots_[at].key != key && slots_[at].key != kEmptyKey) at = (at + 1) & mask;
  return at;
}

void BpeMerger::insert(int32_t left, int32_t right, Merge merge) {
  const uint64_t key = key_of(left, right);
  slots_[slot_of(key)] = {key, merge};
}

BpeMerger::Merge BpeMerger::find(int32_t left, int32_t right) const {
  return slots_[slot_of(key_of(left, right))].merge;
}

void BpeMerger::merge(std::vector<int32_t>& ids, Scratch& scratch) const {
  if (ids.size() < 2) return;
  if (ids.size() <= kShortWordSymbols) {
    merge_short(ids, scratch);
  } else {
    merge_long(ids, scratch);
  }
}

void BpeMerger::merge_short(std::vector<int32_t>& ids, Scratch& scratch) const {
  constexpr int32_t kNever = INT32_MAX;
  std::vector<int32_t>& ranks = scratch.ranks;
  const auto rank_at = [&](size_t i) {
    const int32_t rank = find(ids[i], ids[i + 1]).rank;
    return rank < 0 ? kNever : rank;
  };
  ranks.clear();
  for (size_t i = 0; i + 1 < ids.size(); ++i) ranks.push_back(rank_at(i));
  while (!ranks.empty()) {
    const auto lowest = std::min_element(ranks.begin(), ranks.end());
    if (*lowest == kNever) return;
    const size_t at = static_cast<size_t>(lowest - ranks.begin());
    ids[at] = find(ids[at], ids[at + 1]).id;
    ids.erase(ids.begin() + static_cast<ptrdiff_t>(at) + 1);
    ranks.erase(lowest);
    if (at > 0) ranks[at - 1] = rank_at(at - 1);
    if (at < ranks.size()) ranks[at] = rank_at(at);
  }
}

void BpeMerger::push_candidate(Scratch& scratch, int32_t position) const {
  if (position < 0) return;
  const Symbol& symbol = scratch.symbols[static_cast<size_t>(position)];
  if (symbol.next < 0) return;
  const int32_t right = scratch.symbols[static_cast<size_t>(symbol.next)].id;
  const Merge merge = find(symbol.id, right);
  if (merge.rank < 0) return;
  scratch.heap.push_back({merge.rank, static_cast<uint32_t>(position), symbol.id, right, merge.id});
  std::push_heap(scratch.heap.begin(), scratch.heap.end(), after);
}

void BpeMerger::merge_long(std::vector<int32_t>& ids, Scratch& scratch) const {
  std::vector<Symbol>& symbols = scratch.symbols;
  const int32_t count = static_cast<int32_t>(ids.size());
  symbols.clear();
  scratch.heap.clear();
  for (int32_t i = 0; i < count; ++i) {
    symbols.push_back({ids[static_cast<size_t>(i)], i - 1, i + 1 < count ? i + 1 : -1});
  }
  for (int32_t i = 0; i < count; ++i) push_candidate(scratch, i);
  while (!scratch.heap.empty()) {
    std::pop_heap(scratch.heap.begin(), scratch.heap.end(), after);
    const Candidate best = scratch.heap.back();
    scratch.heap.pop_back();
    Symbol& left = symbols[best.position];
    // A candidate goes stale when a neighbour was merged meanwhile; a symbol merged away has id -1.
    if (left.id != best.left || left.next < 0) continue;
    Symbol& right = symbols[static_cast<size_t>(left.next)];
    if (right.id != best.right) continue;
    left.id = best.id;
    right.id = -1;
    left.next = right.next;
    if (left.next >= 0) symbols[static_cast<size_t>(left.next)].previous = static_cast<int32_t>(best.position);
    push_candidate(scratch, left.previous);
    push_candidate(scratch, static_cast<int32_t>(best.position));
  }
  ids.clear();
  for (int32_t i = 0; i >= 0; i = symbols[static_cast<size_t>(i)].next)
    ids.push_back(symbols[static_cast<size_t>(i)].id);
}

}  // namespace fastserve
