// Both forms of what is left, and the draw from each.
#include "sampling/draw_state.h"

#include <algorithm>
#include <cmath>

#include "base/format.h"

namespace fastserve {

DrawState::DrawState(const LogitsRow& row, SamplerScratch& scratch)
    : scratch_(scratch), row_(row.logits), known_max_(row.block_max) {
  const size_t blocks = logit_block_count(row_.size());
  scratch.block_max.resize(blocks);
  scratch.block_work.resize(blocks);
  scratch.block_sums.resize(blocks);
}

Status DrawState::begin(std::span<const int32_t> banned) {
  if (row_.empty()) return Status::from_literal(StatusCode::kInternal, "sampling from an empty row of logits");
  for (const int32_t id : banned) {
    if (float* logit = find(id)) *logit = kImpossible;
  }
  const bool is_changed = row_.data() == scratch_.row.data();  // maxima are those of the row as it came
  FSV_TRY(scan_blocks(is_changed ? LogitsRow(row_) : LogitsRow(row_, known_max_), scratch_.block_max));
  return find_best();
}

float* DrawState::writable_row() {
  if (row_.data() != scratch_.row.data()) {
    scratch_.row.assign(row_.begin(), row_.end());
    row_ = scratch_.row;
  }
  return scratch_.row.data();
}

float* DrawState::find(int32_t token_id) {
  if (!listed_) {
    return token_id >= 0 && static_cast<size_t>(token_id) < row_.size() ? writable_row() + token_id : nullptr;
  }
  std::vector<Candidate>& candidates = scratch_.candidates;
  const auto found = std::lower_bound(candidates.begin(), candidates.end(), token_id,
                                      [](const Candidate& candidate, int32_t id) { return candidate.token_id < id; });
  return found != candidates.end() && found->token_id == token_id ? &found->logit : nullptr;
}

void DrawState::apply_scale() {
  if (scale_ == 1.0f) return;
  // Not relative to the best: penalties look at a logit's sign.
  constexpr float kLargest = std::numeric_limits<float>::max();
  const auto scaled = [&](float logit) { return std::min(logit * scale_, kLargest); };
  if (listed_) {
    for (Candidate& candidate : scratch_.candidates) candidate.logit = scaled(candidate.logit);
  } else {
    float* row = writable_row();
    for (size_t i = 0; i < row_.size(); ++i) row[i] = scaled(row[i]);
  }
  best_.logit = scaled(best_.logit);
  scale_ = 1.0f;
}

Status DrawState::changed() {
  if (!listed_) FSV_TRY(scan_blocks(row_, scratch_.block_max));
  return find_best();
}

Status DrawState::find_best() {
  if (!listed_) {
    best_ = find_most_likely(row_, scratch_.block_max);
  } else if (!scratch_.candidates.empty()) {
    best_ = *std::min_element(scratch_.candidates.begin(), scratch_.candidates.end(), more_likely);
  }
  if (best_.logit != kImpossible) return Status();
  return Status(StatusCode::kInternal,
                format("no token can be drawn: of ", row_.size(), " every logit is -inf or banned"));
}

std::vector<Candidate>& DrawState::list() {
  if (!listed_) keep_from({kImpossible, kAnyId});
  return scratch_.candidates;
}

double DrawState::total_weight() const {
  if (!listed_) return sum_exponentials(row_, best_.logit, scale_, {});
  double sum = 0;
  for (const Candidate& candidate : scratch_.candidates) sum += static_cast<double>(weight_of(candidate.logit));
  return sum;
}

bool DrawState::select_at_least(size_t wanted) {
  std::vector<Selected>& selection = scratch_.selection;
  std::vector<Candidate>& candidates = scratch_.candidates;
  bool everything = true;
  if (!listed_) {
    const float bound = lower_bound_of_kth(scratch_.block_max, wanted, scratch_.block_work);
    everything = bound == kImpossible;
    candidates.clear();
    gather_candidates(row_, scratch_.block_max, {bound, kAnyId}, candidates);
  }
  selection.clear();
  for (const Candidate& candidate : candidates) {
    selection.push_back({candidate.logit, candidate.token_id, weight_of(candidate.logit)});
  }
  return everything;
}

void DrawState::keep_from(const Candidate& worst) {
  std::vector<Candidate>& candidates = scratch_.candidates;
  if (listed_) {
    std::erase_if(candidates, [&](const Candidate& candidate) { return more_likely(worst, candidate); });
    return;
  }
  candidates.clear();
  gather_candidates(row_, scratch_.block_max, worst, candidates);
  listed_ = true;
}

void DrawState::keep_only_best() {
  scratch_.candidates.assign(1, best_);
  listed_ = true;
}

DrawState::Drawn DrawState::draw(double uniform) {
  if (!listed_) return draw_from_row(uniform);
  const double total = total_weight();
  const double target = uniform * total;
  double sum = 0;
  Drawn drawn{best_.token_id, 1.0 / total};
  for (const Candidate& candidate : scratch_.candidates) {
    const double weight = static_cast<double>(weight_of(candidate.logit));
    if (weight == 0.0) continue;
    drawn = {candidate.token_id, weight / total};
    sum += weight;
    if (sum > target) break;
  }
  return drawn;
}

DrawState::Drawn DrawState::draw_from_row(double uniform) {
  const std::span<double> sums(scratch_.block_sums);
  const double total = sum_exponentials(row_, best_.logit, scale_, sums);
  const double target = uniform * total;
  double sum = 0;
  size_t chosen = 0;
  double before = 0;
  for (size_t block = 0; block < sums.size(); ++block) {
    if (sums[block] == 0.0) continue;
    chosen = block;
    before = sum;
    sum += sums[block];
    if (sum > target) break;
  }
  Drawn drawn{best_.token_id, 1.0 / total};
  const size_t end = std::min(row_.size(), (chosen + 1) * kLogitBlock);
  for (size_t i = chosen * kLogitBlock; i < end; ++i) {
    const double weight = static_cast<double>(weight_of(row_[i]));
    if (weight == 0.0) continue;
    drawn = {static_cast<int32_t>(i), weight / total};
    before += weight;
    if (before > target) break;
  }
  return drawn;
}

}  // namespace fastserve
