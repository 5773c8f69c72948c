// One draw: scan the row, find the cut of each truncation, then walk what is left in id order.
#include "sampling/sampler.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "base/format.h"
#include "sampling/random.h"
#include "sampling/truncation.h"

namespace fastserve {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr float kTemperatureMin = 1e-20f;  // below: greedy; keeps 1 / temperature finite
constexpr Candidate kEveryCandidate{-kInfinity, std::numeric_limits<int32_t>::max()};

// A scanned row and the passes that share it.
struct ScannedRow {
  std::span<const float> row;
  std::span<const float> block_max;
  Candidate best;
};

// The first `count` or more candidates by likelihood.
void gather_at_least(const ScannedRow& scanned, size_t count, SamplerScratch& scratch) {
  const float bound = lower_bound_of_kth(scanned.block_max, count, scratch.block_work);
  scratch.candidates.clear();
  gather_candidates(scanned.row, scanned.block_max, {bound, kEveryCandidate.token_id}, scratch.candidates);
}

// top_p over the whole vocabulary: most mass sits in few tokens, so gather few first and more as needed.
void cut_by_mass(const ScannedRow& scanned, double top_p, SamplerScratch& scratch) {
  const float max = scanned.best.logit;
  const double mass = top_p * sum_exponentials(scanned.row, max, 1.0f, {});
  for (size_t count = 128;; count *= 8) {
    gather_at_least(scanned, count, scratch);
    const bool everything = count > scanned.block_max.size();
    if (everything || sum_exponentials(std::span<const Candidate>(scratch.candidates), max, 1.0f) >= mass) break;
  }
  keep_top_mass(scratch.candidates, max, mass);
}

// The candidates that survive top_k, top_p and min_p, in id order.
void truncate(const ScannedRow& scanned, const SamplingParameters& parameters, SamplerScratch& scratch) {
  const float max = scanned.best.logit;
  std::vector<Candidate>& candidates = scratch.candidates;
  const bool by_count = parameters.top_k > 0 && static_cast<size_t>(parameters.top_k) < scanned.row.size();
  const bool by_mass = parameters.top_p < 1.0f;
  if (by_count) {
    gather_at_least(scanned, static_cast<size_t>(parameters.top_k), scratch);
    keep_top_count(candidates, static_cast<size_t>(parameters.top_k));
    if (by_mass) {
      const double total = sum_exponentials(std::span<const Candidate>(candidates), max, 1.0f);
      keep_top_mass(candidates, max, static_cast<double>(parameters.top_p) * total);
    }
  } else if (by_mass) {
    cut_by_mass(scanned, static_cast<double>(parameters.top_p), scratch);
  }
  Candidate worst = kEveryCandidate;
  if (by_count || by_mass) worst = find_least_likely(candidates);
  if (parameters.min_p > 0.0f) {
    // p >= min_p * p_max, in logits; the most likely one always stays.
    const double bound = static_cast<double>(max) + std::log(static_cast<double>(parameters.min_p));
    float threshold = static_cast<float>(bound);
    if (static_cast<double>(threshold) < bound) threshold = std::nextafter(threshold, kInfinity);
    threshold = std::min(threshold, max);
    if (threshold > worst.logit) worst = {threshold, kEveryCandidate.token_id};
  }
  candidates.clear();
  gather_candidates(scanned.row, scanned.block_max, worst, candidates);
}

// Walks probabilities in id order until the sum passes `uniform` of the whole.
int32_t draw(std::span<const Candidate> candidates, float max, float scale, double uniform) {
  const double target = uniform * sum_exponentials(candidates, max, scale);
  double sum = 0;
  int32_t drawn = -1;
  for (const Candidate& candidate : candidates) {
    const double term = static_cast<double>(exp_nonpositive((candidate.logit - max) * scale));
    if (term == 0.0) continue;
    drawn = candidate.token_id;
    sum += term;
    if (sum > target) break;
  }
  return drawn;
}

// The same over the whole row, by blocks first.
int32_t draw_from_row(const ScannedRow& scanned, float scale, double uniform, SamplerScratch& scratch) {
  const std::span<double> sums(scratch.block_sums.data(), scanned.block_max.size());
  const float max = scanned.best.logit;
  const double target = uniform * sum_exponentials(scanned.row, max, scale, sums);
  double before = 0;
  size_t chosen = 0;
  for (size_t block = 0; block < sums.size(); ++block) {
    if (sums[block] == 0.0) continue;
    chosen = block;
    if (before + sums[block] > target) break;
    before += sums[block];
  }
  double sum = before;
  int32_t drawn = scanned.best.token_id;
  const size_t end = std::min(scanned.row.size(), (chosen + 1) * kLogitBlock);
  for (size_t i = chosen * kLogitBlock; i < end; ++i) {
    const double term = static_cast<double>(exp_nonpositive((scanned.row[i] - max) * scale));
    if (term == 0.0) continue;
    drawn = static_cast<int32_t>(i);
    sum += term;
    if (sum > target) break;
  }
  return drawn;
}

// Copies the row with banned ids at -inf; the row itself where nothing is banned.
std::span<const float> mask_banned(std::span<const float> logits, std::span<const int32_t> banned,
                                   SamplerScratch& scratch) {
  if (banned.empty()) return logits;
  scratch.row.assign(logits.begin(), logits.end());
  for (const int32_t id : banned) {
    if (id >= 0 && static_cast<size_t>(id) < logits.size()) scratch.row[static_cast<size_t>(id)] = -kInfinity;
  }
  return scratch.row;
}

void prepare_scratch(SamplerScratch& scratch, size_t vocabulary_size) {
  const size_t blocks = logit_block_count(vocabulary_size);
  scratch.block_max.resize(blocks);
  scratch.block_work.resize(blocks);
  scratch.block_sums.resize(blocks);
}

Status check_field(bool good, const char* field, float value, const char* expected) {
  if (good) return Status();
  return Status(StatusCode::kInvalidArgument, format("sampling: ", field, " is ", value, ", expected ", expected));
}

}  // namespace

Status check_sampling(const SamplingParameters& parameters) {
  FSV_TRY(check_field(std::isfinite(parameters.temperature) && parameters.temperature >= 0.0f, "temperature",
                      parameters.temperature, "a finite number >= 0"));
  FSV_TRY(check_field(std::isfinite(parameters.top_p) && parameters.top_p >= 0.0f, "top_p", parameters.top_p,
                      "a finite number >= 0"));
  return check_field(parameters.min_p >= 0.0f && parameters.min_p <= 1.0f, "min_p", parameters.min_p,
                     "a number from 0 to 1");
}

Status SamplerScratch::reserve(int32_t vocabulary_size) {
  if (vocabulary_size <= 0) {
    return Status(StatusCode::kInvalidArgument, format("vocabulary of ", vocabulary_size, " tokens"));
  }
  return guarded([&]() -> Status {
    candidates.reserve(static_cast<size_t>(vocabulary_size));
    row.reserve(static_cast<size_t>(vocabulary_size));
    prepare_scratch(*this, static_cast<size_t>(vocabulary_size));
    return Status();
  });
}

Result<SampleResult> Sampler::sample(std::span<const float> logits, std::span<const int32_t> banned,
                                     uint64_t draw_index, bool want_logprob, SamplerScratch& scratch) const {
  if (logits.empty()) return Status::from_literal(StatusCode::kInternal, "sampling from an empty row of logits");
  prepare_scratch(scratch, logits.size());
  ScannedRow scanned{mask_banned(logits, banned, scratch), scratch.block_max, {}};
  FSV_TRY(scan_blocks(scanned.row, scratch.block_max));
  scanned.best = find_most_likely(scanned.row, scanned.block_max);
  const float max = scanned.best.logit;
  if (max == -kInfinity) {
    return Status(StatusCode::kInternal, format("no token can be drawn: every logit is -inf or banned (", logits.size(),
                                                " logits, ", banned.size(), " banned)"));
  }
  SampleResult result;
  if (parameters_.temperature < kTemperatureMin || parameters_.top_k == 1) {
    result.token_id = scanned.best.token_id;
  } else {
    const float scale = 1.0f / parameters_.temperature;
    const double uniform = uniform_random(parameters_.seed, draw_index, RandomPurpose::kToken);
    if (parameters_.top_k <= 0 && parameters_.top_p >= 1.0f && parameters_.min_p <= 0.0f) {
      result.token_id = draw_from_row(scanned, scale, uniform, scratch);
    } else {
      truncate(scanned, parameters_, scratch);
      result.token_id = draw(scratch.candidates, max, scale, uniform);
    }
  }
  if (want_logprob) result.logprob = log_probability(logits, result.token_id);
  return result;
}

}  // namespace fastserve
