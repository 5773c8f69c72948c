// Streaming passes over one row of logits: maximum and validity by block, sums of exponentials, candidates above a
// threshold. Plain loops over fixed lanes that compilers turn into SIMD; results do not depend on the lane width.
#pragma once
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "base/status.h"

namespace fastserve {

// Logits are looked at in blocks of this many; the maximum of each lets later passes skip most of a vocabulary.
inline constexpr size_t kLogitBlock = 64;
inline size_t logit_block_count(size_t count) { return (count + kLogitBlock - 1) / kLogitBlock; }

struct Candidate {
  float logit;
  int32_t token_id;
};
// The order of likelihood: larger logit first, ties by lower id. Total, so that selection is deterministic.
inline bool more_likely(const Candidate& a, const Candidate& b) {
  return a.logit != b.logit ? a.logit > b.logit : a.token_id < b.token_id;
}

// e^x for x <= 0 by range reduction and a polynomial; relative error < 2e-7, 0 below -87. Same bits everywhere.
float exp_nonpositive(float x);

// A row of logits, and the maxima of its blocks where whoever computed it has them: NaN for a block with a NaN or +inf.
struct LogitsRow {
  LogitsRow() = default;
  LogitsRow(std::span<const float> row) : logits(row) {}  // NOLINT(google-explicit-constructor)
  LogitsRow(const std::vector<float>& row) : LogitsRow(std::span<const float>(row)) {}  // NOLINT
  LogitsRow(std::span<const float> row, std::span<const float> maxima) : logits(row), block_max(maxima) {}

  std::span<const float> logits;
  std::span<const float> block_max;  // empty: not known
};

// Fills block_max (logit_block_count(row) values). NaN and +inf: kCorrupt, named with the token id.
Status scan_blocks(std::span<const float> row, std::span<float> block_max);
// The same of a row whose maxima may be known.
Status scan_blocks(const LogitsRow& row, std::span<float> block_max);

// The most likely candidate of a scanned row; logit -inf if nothing can be drawn.
Candidate find_most_likely(std::span<const float> row, std::span<const float> block_max);

// sum of exp((x - max) * scale) over the row, accumulated in f64. `block_sums` (may be empty) receives each block's.
double sum_exponentials(std::span<const float> row, float max, float scale, std::span<double> block_sums);

// A value that at least `count` logits of the row reach, or -inf. `work` holds at least block_max.size() values.
float lower_bound_of_kth(std::span<const float> block_max, size_t count, std::span<float> work);

// Appends, in id order, the candidates not less likely than `worst`; -inf logits never.
void gather_candidates(std::span<const float> row, std::span<const float> block_max, const Candidate& worst,
                       std::vector<Candidate>& out);

}  // namespace fastserve
