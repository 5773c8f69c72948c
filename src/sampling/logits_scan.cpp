// Lanes are written out as small arrays, so that the compiler may vectorise without reordering floating point.
#include "sampling/logits_scan.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <functional>
#include <limits>

#include "base/format.h"

namespace fastserve {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr size_t kLanes = 8;

// Maximum of a whole block; `valid` becomes 0 where a value is NaN or +inf.
float scan_block(const float* block, uint32_t& valid) {
  constexpr float kLargest = std::numeric_limits<float>::max();
  float largest[kLanes];
  uint32_t in_range[kLanes];
  for (size_t lane = 0; lane < kLanes; ++lane) {
    largest[lane] = -kInfinity;
    in_range[lane] = ~0u;
  }
  for (size_t start = 0; start < kLogitBlock; start += kLanes) {
    for (size_t lane = 0; lane < kLanes; ++lane) {
      const float value = block[start + lane];
      largest[lane] = value > largest[lane] ? value : largest[lane];
      in_range[lane] &= value <= kLargest ? ~0u : 0u;
    }
  }
  for (size_t lane = 0; lane < kLanes; ++lane) valid &= in_range[lane];
  for (size_t lane = 1; lane < kLanes; ++lane) largest[0] = largest[lane] > largest[0] ? largest[lane] : largest[0];
  return largest[0];
}

Status report_invalid(std::span<const float> row) {
  for (size_t i = 0; i < row.size(); ++i) {
    if (std::isnan(row[i])) return Status(StatusCode::kCorrupt, format("the logit of token ", i, " is NaN"));
    if (row[i] == kInfinity) return Status(StatusCode::kCorrupt, format("the logit of token ", i, " is infinite"));
  }
  return Status::from_literal(StatusCode::kCorrupt, "the logits are not finite");
}

// Inlined into the fixed-size loop of sum_block, which then vectorises.
inline float exponential(float x) {
  // x = n ln2 + r, |r| <= ln2 / 2; e^r by its Taylor polynomial, whose truncation error is below 1 ulp.
  constexpr float kInverseLn2 = 1.44269504f;
  constexpr float kLn2High = 0.693359375f;  // exact in few bits, so that n * kLn2High is exact
  constexpr float kLn2Low = -2.12194440e-4f;
  constexpr float kRoundingBias = 12582912.0f;  // 1.5 * 2^23: adding it rounds to an integer in the low bits
  const float biased = x * kInverseLn2 + kRoundingBias;
  const float n = biased - kRoundingBias;
  const float r = (x - n * kLn2High) - n * kLn2Low;
  float p = 1.0f / 5040.0f;
  p = p * r + 1.0f / 720.0f;
  p = p * r + 1.0f / 120.0f;
  p = p * r + 1.0f / 24.0f;
  p = p * r + 1.0f / 6.0f;
  p = p * r + 0.5f;
  const float e = (p * r) * r + r + 1.0f;
  // The low bits of `biased` hold n: moved into the exponent, above the bias of 127.
  const float power = std::bit_cast<float>((std::bit_cast<uint32_t>(biased) + 127u) << 23);
  // Below -87 (-inf too) all of this is nonsense; masked rather than branched over, so that the loop vectorises.
  const uint32_t representable = x > -87.0f ? ~0u : 0u;
  return std::bit_cast<float>(std::bit_cast<uint32_t>(e * power) & representable);
}

double sum_block(const float* block, float max, float scale) {
  float terms[kLogitBlock];
  for (size_t i = 0; i < kLogitBlock; ++i) terms[i] = exponential((block[i] - max) * scale);
  double sums[4] = {0, 0, 0, 0};
  for (size_t start = 0; start < kLogitBlock; start += 4) {
    for (size_t lane = 0; lane < 4; ++lane) sums[lane] += static_cast<double>(terms[start + lane]);
  }
  return (sums[0] + sums[1]) + (sums[2] + sums[3]);
}

// A block at the end of a row, filled up with -inf.
struct PaddedBlock {
  explicit PaddedBlock(std::span<const float> rest) {
    std::fill_n(values, kLogitBlock, -kInfinity);
    std::copy(rest.begin(), rest.end(), values);
  }
  float values[kLogitBlock];
};

}  // namespace

float exp_nonpositive(float x) { return exponential(x); }

Status scan_blocks(std::span<const float> row, std::span<float> block_max) {
  uint32_t valid = ~0u;
  const size_t whole = row.size() / kLogitBlock;
  for (size_t block = 0; block < whole; ++block) block_max[block] = scan_block(row.data() + block * kLogitBlock, valid);
  if (whole * kLogitBlock < row.size()) {
    const PaddedBlock padded(row.subspan(whole * kLogitBlock));
    block_max[whole] = scan_block(padded.values, valid);
  }
  return valid != 0 ? Status() : report_invalid(row);
}

Status scan_blocks(const LogitsRow& row, std::span<float> block_max) {
  if (row.block_max.empty()) return scan_blocks(row.logits, block_max);
  bool is_valid = true;
  for (size_t block = 0; block < block_max.size(); ++block) {
    block_max[block] = row.block_max[block];
    is_valid = is_valid && !std::isnan(block_max[block]);
  }
  return is_valid ? Status() : report_invalid(row.logits);
}

Candidate find_most_likely(std::span<const float> row, std::span<const float> block_max) {
  size_t best_block = 0;
  for (size_t block = 1; block < block_max.size(); ++block) {
    if (block_max[block] > block_max[best_block]) best_block = block;
  }
  const float best = block_max[best_block];
  size_t id = best_block * kLogitBlock;
  while (id + 1 < row.size() && row[id] != best) ++id;
  return {best, static_cast<int32_t>(id)};
}

double sum_exponentials(std::span<const float> row, float max, float scale, std::span<double> block_sums) {
  double total = 0;
  for (size_t start = 0; start < row.size(); start += kLogitBlock) {
    const double sum = row.size() - start >= kLogitBlock
                           ? sum_block(row.data() + start, max, scale)
                           : sum_block(PaddedBlock(row.subspan(start)).values, max, scale);
    if (!block_sums.empty()) block_sums[start / kLogitBlock] = sum;
    total += sum;
  }
  return total;
}

float lower_bound_of_kth(std::span<const float> block_max, size_t count, std::span<float> work) {
  // The count-th largest block maximum: so many blocks hold at least one logit that reaches it.
  if (count == 0 || count > block_max.size()) return -kInfinity;
  std::copy(block_max.begin(), block_max.end(), work.begin());
  const auto kth = work.begin() + static_cast<std::ptrdiff_t>(count - 1);
  std::nth_element(work.begin(), kth, work.begin() + static_cast<std::ptrdiff_t>(block_max.size()), std::greater<>());
  return *kth;
}

void gather_candidates(std::span<const float> row, std::span<const float> block_max, const Candidate& worst,
                       std::vector<Candidate>& out) {
  for (size_t block = 0; block < block_max.size(); ++block) {
    if (block_max[block] < worst.logit || block_max[block] == -kInfinity) continue;
    const size_t end = std::min(row.size(), (block + 1) * kLogitBlock);
    for (size_t i = block * kLogitBlock; i < end; ++i) {
      const Candidate candidate{row[i], static_cast<int32_t>(i)};
      if (candidate.logit > worst.logit || (candidate.logit == worst.logit && candidate.token_id <= worst.token_id)) {
        if (candidate.logit != -kInfinity) out.push_back(candidate);
      }
    }
  }
}

}  // namespace fastserve
