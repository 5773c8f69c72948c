// One step: pool, rank, end, and whether to go on.
#include "engine/beam_search.h"

#include <algorithm>
#include <cmath>

namespace fastserve {
namespace {

bool is_better(const BeamSearch::Extension& a, const BeamSearch::Extension& b) {
  if (a.score != b.score) return a.score > b.score;
  return a.beam != b.beam ? a.beam < b.beam : a.token_id < b.token_id;
}

}  // namespace

BeamSearch::BeamSearch(const BeamParameters& parameters, int32_t length_max, size_t end_token_count)
    : parameters_(parameters),
      length_max_(length_max),
      keep_count_(std::max<size_t>(2, 1 + end_token_count) * parameters.beam_count),
      ended_(parameters.beam_count + 1) {
  const auto length = static_cast<size_t>(length_max);
  for (Text& text : ended_) {
    text.tokens.reserve(length);
    text.logprobs.reserve(length);
  }
  pool_.reserve(keep_count_ * parameters.beam_count);
  next_.reserve(parameters.beam_count);
  running_scores_.reserve(parameters.beam_count);
}

double BeamSearch::penalised(double score, int32_t length) const {
  return score / std::pow(static_cast<double>(length), static_cast<double>(parameters_.length_penalty));
}

// Keeps the best beam_count; among equals those that ended first.
void BeamSearch::add(const BeamView& parent, const Extension& extension, bool has_stopped) {
  Text& text = ended_[ended_count_];
  text.tokens.assign(parent.tokens.begin(), parent.tokens.end());
  text.tokens.push_back(extension.token_id);
  text.logprobs.assign(parent.logprobs.begin(), parent.logprobs.end());
  text.logprobs.push_back(extension.logprob);
  text.cumulative_logprob = extension.score;
  text.score = penalised(extension.score, length_);
  text.has_stopped = has_stopped;
  for (size_t i = ended_count_; i > 0 && ended_[i].score > ended_[i - 1].score; --i)
    std::swap(ended_[i], ended_[i - 1]);
  ended_count_ = std::min<size_t>(ended_count_ + 1, parameters_.beam_count);
}

bool BeamSearch::step(std::span<const BeamView> beams, const std::function<bool(int32_t)>& is_end) {
  pool_.clear();
  for (size_t beam = 0; beam < beams.size(); ++beam) {
    for (const TokenLogprob& candidate : beams[beam].candidates) {
      pool_.push_back({static_cast<uint32_t>(beam), candidate.token_id, candidate.logprob,
                       running_scores_[beam] + static_cast<double>(candidate.logprob)});
    }
  }
  const size_t kept = std::min(keep_count_, pool_.size());
  std::partial_sort(pool_.begin(), pool_.begin() + static_cast<std::ptrdiff_t>(kept), pool_.end(), is_better);
  ++length_;
  next_.clear();
  // Continuations beyond the best beam_count are there to go on with; they cannot end.
  for (size_t i = 0; i < kept; ++i) {
    const Extension& extension = pool_[i];
    const bool stops = is_end(extension.token_id);
    if (!stops && length_ < length_max_) {
      if (next_.size() < parameters_.beam_count) next_.push_back(extension);
    } else if (i < parameters_.beam_count) {
      add(beams[extension.beam], extension, stops);
    }
  }
  running_scores_.clear();
  for (const Extension& extension : next_) running_scores_.push_back(extension.score);
  if (next_.empty()) return false;
  if (!is_full()) return true;
  if (parameters_.early_stopping == EarlyStopping::kOn) return false;
  const bool looks_ahead = parameters_.early_stopping == EarlyStopping::kNever && parameters_.length_penalty > 0;
  return penalised(running_scores_[0], looks_ahead ? length_max_ : length_) > ended_[ended_count_ - 1].score;
}

}  // namespace fastserve
