// One draw: the stages in their order, then a random number on what is left.
#include "sampling/sampler.h"

#include <algorithm>
#include <cmath>

#include "base/format.h"
#include "sampling/draw_state.h"
#include "sampling/random.h"
#include "sampling/stages.h"

namespace fastserve {
namespace {

using Parameters = SamplingParameters;

constexpr StageEntry kStages[kSamplerStageCount] = {
    {[](const Parameters& p) { return !p.logit_bias.empty(); }, apply_logit_bias, false},
    {penalties_active, apply_penalties, false},
    {[](const Parameters& p) { return p.dry_multiplier > 0; }, apply_dry, false},
    {[](const Parameters& p) { return p.top_n_sigma > 0; }, apply_top_n_sigma, true},
    {[](const Parameters& p) { return p.top_k > 0; }, apply_top_k, true},
    {[](const Parameters& p) { return p.typical_p < 1; }, apply_typical, true},
    {[](const Parameters& p) { return p.top_p < 1; }, apply_top_p, true},
    {[](const Parameters& p) { return p.min_p > 0; }, apply_min_p, true},
    {[](const Parameters& p) { return p.xtc_probability > 0 && p.xtc_threshold <= 0.5f; }, apply_xtc, true},
    {[](const Parameters& p) { return p.temperature != 1.0f || p.dynamic_temperature_range > 0; }, apply_temperature,
     false},
};

// With temperature 0 the cuts that always keep the most likely token change nothing.
bool skips_for_greedy(SamplerStage stage) {
  return stage == SamplerStage::kTopNSigma || stage == SamplerStage::kTopK || stage == SamplerStage::kTopP ||
         stage == SamplerStage::kMinP;
}

bool is_greedy(const Parameters& parameters) {
  const std::span<const SamplerStage> order = parameters.order.view();
  return parameters.temperature == 0 && parameters.dynamic_temperature_range <= 0 && !order.empty() &&
         order.back() == SamplerStage::kTemperature && parameters.typical_p >= 1 && parameters.xtc_probability <= 0;
}

bool looks_at_text(SamplerStage stage) {
  return stage == SamplerStage::kLogitBias || stage == SamplerStage::kPenalties || stage == SamplerStage::kDry;
}

// scratch.row = log softmax(logits).
Status log_softmax(std::span<const float> logits, SamplerScratch& scratch) {
  if (logits.empty()) return Status::from_literal(StatusCode::kInternal, "scores of an empty row of logits");
  return guarded([&]() -> Status {
    scratch.block_max.resize(logit_block_count(logits.size()));
    FSV_TRY(scan_blocks(logits, scratch.block_max));
    const float max = find_most_likely(logits, scratch.block_max).logit;
    const double log_total = static_cast<double>(max) + std::log(sum_exponentials(logits, max, 1.0f, {}));
    scratch.row.resize(logits.size());
    std::transform(logits.begin(), logits.end(), scratch.row.begin(),
                   [&](float logit) { return static_cast<float>(static_cast<double>(logit) - log_total); });
    return Status();
  });
}

}  // namespace

const StageEntry& stage_entry(SamplerStage stage) { return kStages[static_cast<size_t>(stage)]; }

Status SamplerScratch::reserve(int32_t vocabulary_size, int32_t history_tokens) {
  if (vocabulary_size <= 0 || history_tokens < 0) {
    return Status(StatusCode::kInvalidArgument,
                  format("sampler scratch for ", vocabulary_size, " tokens and a history of ", history_tokens));
  }
  return guarded([&]() -> Status {
    const auto count = static_cast<size_t>(vocabulary_size);
    candidates.reserve(count);
    selection.reserve(count);
    row.reserve(count);
    block_max.reserve(logit_block_count(count));
    block_work.reserve(logit_block_count(count));
    block_sums.reserve(logit_block_count(count));
    if (history_tokens > 0) token_marks.resize(count);
    match_lengths.reserve(static_cast<size_t>(history_tokens));
    return Status();
  });
}

uint64_t SamplerScratch::size_bytes(int32_t vocabulary_size, int32_t history_tokens) {
  const auto count = static_cast<uint64_t>(vocabulary_size), history = static_cast<uint64_t>(history_tokens);
  const uint64_t token_bytes = sizeof(Candidate) + sizeof(Selected) + sizeof(float) + sizeof(int32_t);
  const uint64_t block_bytes = 2 * sizeof(float) + sizeof(double);
  return count * token_bytes + logit_block_count(count) * block_bytes + history * sizeof(int32_t);
}

Status Sampler::apply_stages(DrawState& state, uint64_t draw_index) const {
  const StageContext context{parameters_, history_, draw_index, mirostat_mu_};
  const bool greedy = is_greedy(parameters_);
  for (const SamplerStage stage : parameters_.order.view()) {
    const StageEntry& entry = stage_entry(stage);
    if (!entry.active(parameters_) || (entry.cuts && parameters_.mirostat != 0)) continue;
    if (greedy && skips_for_greedy(stage)) continue;
    FSV_TRY(entry.apply(state, context));
  }
  if (parameters_.mirostat != 0) apply_mirostat(state, context);
  return Status();
}

Status Sampler::distribution(std::span<const float> logits, std::span<const int32_t> banned, uint64_t draw_index,
                             SamplerScratch& scratch, std::vector<TokenProbability>& out) const {
  DrawState state(logits, scratch);
  FSV_TRY(state.begin(banned));
  FSV_TRY(apply_stages(state, draw_index));
  return guarded([&]() -> Status {
    const double total = state.total_weight();
    out.clear();
    for (const Candidate& candidate : state.list()) {
      const double weight = static_cast<double>(state.weight_of(candidate.logit));
      if (weight > 0) out.push_back({candidate.token_id, weight / total});
    }
    return Status();
  });
}

Result<SampleResult> Sampler::sample(const LogitsRow& row, std::span<const int32_t> banned, uint64_t draw_index,
                                     bool want_logprob, SamplerScratch& scratch) const {
  DrawState state(row, scratch);
  FSV_TRY(state.begin(banned));
  FSV_TRY(apply_stages(state, draw_index));
  const DrawState::Drawn drawn =
      state.draw(uniform_random(parameters_.seed, draw_index, RandomPurpose::kToken, parameters_.stream));
  SampleResult result;
  result.token_id = drawn.token_id;
  if (want_logprob) result.logprob = log_probability(row, result.token_id);
  if (parameters_.mirostat != 0)
    result.surprise_bits = static_cast<float>(std::max(0.0, -std::log2(drawn.probability)));
  return result;
}

Status Sampler::top_scores(std::span<const float> logits, std::span<const int32_t> banned, size_t count,
                           SamplerScratch& scratch, std::vector<TokenLogprob>& out) const {
  out.clear();
  FSV_TRY(log_softmax(logits, scratch));
  DrawState state(scratch.row, scratch);
  FSV_TRY(state.begin(banned));
  const StageContext context{parameters_, history_, 0, mirostat_mu_};
  for (const SamplerStage stage : parameters_.order.view()) {
    const StageEntry& entry = stage_entry(stage);
    if (looks_at_text(stage) && entry.active(parameters_)) FSV_TRY(entry.apply(state, context));
  }
  return guarded([&]() -> Status {
    state.keep_from({lower_bound_of_kth(scratch.block_max, count, scratch.block_work), DrawState::kAnyId});
    std::vector<Candidate>& candidates = scratch.candidates;
    const auto end = candidates.begin() + static_cast<std::ptrdiff_t>(std::min(count, candidates.size()));
    std::partial_sort(candidates.begin(), end, candidates.end(), more_likely);
    for (auto candidate = candidates.begin(); candidate != end; ++candidate) {
      out.push_back({candidate->token_id, candidate->logit});
    }
    return Status();
  });
}

bool Sampler::needs_history() const {
  return parameters_.mirostat != 0 || parameters_.dry_multiplier > 0 || penalties_active(parameters_);
}

Status Sampler::reserve_history(int32_t token_count) {
  if (token_count < 0) return Status(StatusCode::kInvalidArgument, format("a history of ", token_count, " tokens"));
  return guarded([&]() -> Status {
    history_.reserve(static_cast<size_t>(token_count));
    if (parameters_.mirostat != 0) mu_changes_.reserve(static_cast<size_t>(token_count));
    return Status();
  });
}

Status Sampler::accept_prompt(std::span<const int32_t> token_ids) {
  return guarded([&]() -> Status {
    history_.insert(history_.end(), token_ids.begin(), token_ids.end());
    return Status();
  });
}

void Sampler::accept(const SampleResult& result) {
  if (parameters_.mirostat != 0 && result.surprise_bits >= 0) {
    mu_changes_.push_back({history_.size(), mirostat_mu_});
    mirostat_mu_ -= parameters_.mirostat_eta * (result.surprise_bits - parameters_.mirostat_tau);
  }
  history_.push_back(result.token_id);
}

void Sampler::replace_history(std::span<const int32_t> token_ids) {
  history_.assign(token_ids.begin(), token_ids.end());
  mu_changes_.clear();
}

void Sampler::rollback(size_t count) {
  history_.resize(history_.size() - std::min(count, history_.size()));
  while (!mu_changes_.empty() && mu_changes_.back().history_size >= history_.size()) {
    mirostat_mu_ = mu_changes_.back().previous;
    mu_changes_.pop_back();
  }
}

}  // namespace fastserve
