// Log-probabilities of the raw logits, for reports and for the scoring of prompts.
#include <algorithm>
#include <cmath>
#include <limits>

#include "sampling/sampler.h"

namespace fastserve {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();

// log of the sum of exp(logit), f64; needs the largest logit.
double log_sum(std::span<const float> logits, float max) {
  return static_cast<double>(max) + std::log(sum_exponentials(logits, max, 1.0f, {}));
}

// Largest logit; NaN if one is NaN or +inf.
float largest_or_nan(const LogitsRow& row) {
  if (!row.block_max.empty()) {
    const bool is_valid =
        std::none_of(row.block_max.begin(), row.block_max.end(), [](float x) { return std::isnan(x); });
    return is_valid ? *std::max_element(row.block_max.begin(), row.block_max.end())
                    : std::numeric_limits<float>::quiet_NaN();
  }
  const std::span<const float> logits = row.logits;
  constexpr size_t kChunkBlocks = 64;
  float block_max[kChunkBlocks];
  float largest = -kInfinity;
  for (size_t start = 0; start < logits.size(); start += kChunkBlocks * kLogitBlock) {
    const auto chunk = logits.subspan(start, std::min(kChunkBlocks * kLogitBlock, logits.size() - start));
    const size_t blocks = logit_block_count(chunk.size());
    if (!scan_blocks(chunk, std::span(block_max, blocks)).ok()) return std::numeric_limits<float>::quiet_NaN();
    for (size_t block = 0; block < blocks; ++block) largest = std::max(largest, block_max[block]);
  }
  return largest;
}

}  // namespace

float log_probability(const LogitsRow& row, int32_t id) {
  const std::span<const float> logits = row.logits;
  if (id < 0 || static_cast<size_t>(id) >= logits.size()) return -kInfinity;
  const float max = largest_or_nan(row);
  if (std::isnan(max)) return max;
  const float logit = logits[static_cast<size_t>(id)];
  if (logit == -kInfinity) return -kInfinity;
  return static_cast<float>(static_cast<double>(logit) - log_sum(logits, max));
}

void top_log_probabilities(const LogitsRow& row, int32_t count, SamplerScratch& scratch,
                           std::vector<TokenLogprob>& out) {
  const std::span<const float> logits = row.logits;
  out.clear();
  if (count <= 0 || logits.empty()) return;
  const size_t wanted = std::min(static_cast<size_t>(count), logits.size());
  const size_t blocks = logit_block_count(logits.size());
  scratch.block_max.resize(blocks);
  scratch.block_work.resize(blocks);
  if (!scan_blocks(row, scratch.block_max).ok()) return;
  const float bound = lower_bound_of_kth(scratch.block_max, wanted, scratch.block_work);
  scratch.candidates.clear();
  gather_candidates(logits, scratch.block_max, {bound, std::numeric_limits<int32_t>::max()}, scratch.candidates);
  if (scratch.candidates.empty()) return;
  const auto end =
      scratch.candidates.begin() + static_cast<std::ptrdiff_t>(std::min(wanted, scratch.candidates.size()));
  std::partial_sort(scratch.candidates.begin(), end, scratch.candidates.end(), more_likely);
  scratch.candidates.erase(end, scratch.candidates.end());
  const double log_total = log_sum(logits, scratch.candidates.front().logit);
  for (const Candidate& candidate : scratch.candidates) {
    out.push_back({candidate.token_id, static_cast<float>(static_cast<double>(candidate.logit) - log_total)});
  }
}

}  // namespace fastserve
