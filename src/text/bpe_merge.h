// Byte pair merging: repeatedly joins the adjacent pair of lowest rank, the leftmost of equals. O(n log n).
#pragma once
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace fastserve {

struct BpeSymbol {
  int32_t id = -1;
  uint32_t start = 0, size_bytes = 0;  // of the piece that is merged
};

struct BpeMerge {
  int32_t rank = -1;  // -1: the two do not merge
  int32_t id = -1;
};

// Working memory, reused from piece to piece.
struct BpeScratch {
  struct Link {
    int32_t previous = -1, next = -1;
  };
  struct Candidate {
    int32_t rank = 0;
    int32_t id = 0;
    uint32_t position = 0;
    uint32_t left_bytes = 0, right_bytes = 0;
  };
  std::vector<BpeSymbol> symbols;
  std::vector<BpeMerge> merges;
  std::vector<Link> links;
  std::vector<Candidate> heap;
};

namespace bpe_internal {

constexpr size_t kShortWordSymbols = 32;

// Short words: scan an array of the ranks of adjacent pairs.
template <typename FindMerge>
void merge_short(BpeScratch& scratch, const FindMerge& find) {
  std::vector<BpeSymbol>& symbols = scratch.symbols;
  std::vector<BpeMerge>& merges = scratch.merges;
  merges.clear();
  for (size_t i = 0; i + 1 < symbols.size(); ++i) merges.push_back(find(symbols[i], symbols[i + 1]));
  for (;;) {
    size_t at = merges.size();
    for (size_t i = 0; i < merges.size(); ++i) {
      if (merges[i].rank >= 0 && (at == merges.size() || merges[i].rank < merges[at].rank)) at = i;
    }
    if (at == merges.size()) return;
    symbols[at].id = merges[at].id;
    symbols[at].size_bytes += symbols[at + 1].size_bytes;
    symbols.erase(symbols.begin() + static_cast<ptrdiff_t>(at) + 1);
    merges.erase(merges.begin() + static_cast<ptrdiff_t>(at));
    if (at > 0) merges[at - 1] = find(symbols[at - 1], symbols[at]);
    if (at < merges.size()) merges[at] = find(symbols[at], symbols[at + 1]);
  }
}

// Puts the candidate of lowest rank, leftmost first, on top of the heap.
inline bool comes_after(const BpeScratch::Candidate& a, const BpeScratch::Candidate& b) {
  return a.rank != b.rank ? a.rank > b.rank : a.position > b.position;
}

template <typename FindMerge>
void push_candidate(BpeScratch& scratch, int32_t position, const FindMerge& find) {
  if (position < 0) return;
  const int32_t next = scratch.links[static_cast<size_t>(position)].next;
  if (next < 0) return;
  const BpeSymbol& left = scratch.symbols[static_cast<size_t>(position)];
  const BpeSymbol& right = scratch.symbols[static_cast<size_t>(next)];
  const BpeMerge merge = find(left, right);
  if (merge.rank < 0) return;
  scratch.heap.push_back({merge.rank, merge.id, static_cast<uint32_t>(position), left.size_bytes, right.size_bytes});
  std::push_heap(scratch.heap.begin(), scratch.heap.end(), comes_after);
}

// Long words: a heap of candidates over a linked list. Symbols only grow, so a candidate is stale exactly when one of
// its two has another size by now (0: merged away).
template <typename FindMerge>
void merge_long(BpeScratch& scratch, const FindMerge& find) {
  std::vector<BpeSymbol>& symbols = scratch.symbols;
  std::vector<BpeScratch::Link>& links = scratch.links;
  const int32_t count = static_cast<int32_t>(symbols.size());
  links.clear();
  scratch.heap.clear();
  for (int32_t i = 0; i < count; ++i) links.push_back({i - 1, i + 1 < count ? i + 1 : -1});
  for (int32_t i = 0; i < count; ++i) push_candidate(scratch, i, find);
  while (!scratch.heap.empty()) {
    std::pop_heap(scratch.heap.begin(), scratch.heap.end(), comes_after);
    const BpeScratch::Candidate best = scratch.heap.back();
    scratch.heap.pop_back();
    const int32_t position = static_cast<int32_t>(best.position);
    const int32_t next = links[best.position].next;
    BpeSymbol& left = symbols[best.position];
    if (next < 0 || left.size_bytes != best.left_bytes) continue;
    BpeSymbol& right = symbols[static_cast<size_t>(next)];
    if (right.size_bytes != best.right_bytes) continue;
    left.id = best.id;
    left.size_bytes += right.size_bytes;
    right.size_bytes = 0;
    const int32_t after = links[static_cast<size_t>(next)].next;
    links[best.position].next = after;
    if (after >= 0) links[static_cast<size_t>(after)].previous = position;
    push_candidate(scratch, links[best.position].previous, find);
    push_candidate(scratch, position, find);
  }
  std::erase_if(symbols, [](const BpeSymbol& symbol) { return symbol.size_bytes == 0; });
}

}  // namespace bpe_internal

// Merges scratch.symbols in place. `find(left, right)` says what two adjacent symbols merge to. Sizes are above 0.
template <typename FindMerge>
void merge_symbols(BpeScratch& scratch, const FindMerge& find) {
  if (scratch.symbols.size() <= bpe_internal::kShortWordSymbols) {
    bpe_internal::merge_short(scratch, find);
  } else {
    bpe_internal::merge_long(scratch, find);
  }
}

}  // namespace fastserve
