// Selection among candidates: the k first, or the shortest prefix of some probability mass. No cut sorts a
// vocabulary: the k-th is selected, and mass is found by halving.
#pragma once
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "sampling/logits_scan.h"

namespace fastserve {

// A candidate under selection. Order: larger key first, ties by lower id; total, so that selection is deterministic.
struct Selected {
  float key;
  int32_t token_id;
  float weight;  // its probability, times any constant
};
inline bool comes_before(const Selected& a, const Selected& b) {
  return a.key != b.key ? a.key > b.key : a.token_id < b.token_id;
}

// Keeps the `count` first, in no particular order.
void keep_top_count(std::vector<Selected>& selection, size_t count);

// Keeps the shortest prefix, in order, whose weights sum to `mass` or more; at least one, all if the sum stays below.
// In no particular order.
void keep_top_mass(std::vector<Selected>& selection, double mass);

double sum_weights(std::span<const Selected> selection);

// The last in order of a selection that is not empty.
Selected find_last(std::span<const Selected> selection);

}  // namespace fastserve
