// The cuts. Each keeps at least one candidate; probabilities are those of what is left, at the temperature so far.
#include <algorithm>
#include <cmath>

#include "sampling/random.h"
#include "sampling/stages.h"

namespace fastserve {
namespace {

// Drops logits below best - margin (margin >= 0, f64).
void keep_within(DrawState& state, double margin) {
  const double bound = static_cast<double>(state.best().logit) - margin;
  float threshold = static_cast<float>(bound);
  if (static_cast<double>(threshold) < bound) {
    threshold = std::nextafter(threshold, std::numeric_limits<float>::infinity());
  }
  state.keep_from({std::min(threshold, state.best().logit), DrawState::kAnyId});
}

// A distance from the entropy as a key that larger is closer.
float typical_key(const DrawState& state, float logit, double log_total, double entropy) {
  const double surprise = log_total - (static_cast<double>(logit) - static_cast<double>(state.best().logit)) *
                                          static_cast<double>(state.scale());
  return static_cast<float>(-std::fabs(surprise - entropy));
}

}  // namespace

Status apply_top_n_sigma(DrawState& state, const StageContext& context) {
  // Population standard deviation over the possible logits, in two passes around the best for precision.
  const double best = static_cast<double>(state.best().logit);
  double sum = 0;
  double squares = 0;
  size_t count = 0;
  const auto add = [&](float logit) {
    if (logit == DrawState::kImpossible) return;
    const double difference = static_cast<double>(logit) - best;
    sum += difference;
    squares += difference * difference;
    ++count;
  };
  if (state.listed()) {
    for (const Candidate& candidate : state.list()) add(candidate.logit);
  } else {
    for (const float logit : state.row()) add(logit);
  }
  const double mean = sum / static_cast<double>(count);
  const double deviation = std::sqrt(std::max(0.0, squares / static_cast<double>(count) - mean * mean));
  keep_within(state, static_cast<double>(context.parameters.top_n_sigma) * deviation);
  return Status();
}

Status apply_top_k(DrawState& state, const StageContext& context) {
  const auto wanted = static_cast<size_t>(context.parameters.top_k);
  if (wanted >= state.count()) return Status();
  state.select_at_least(wanted);
  std::vector<Selected>& selection = state.scratch().selection;
  keep_top_count(selection, wanted);
  const Selected last = find_last(selection);
  state.keep_from({last.key, last.token_id});
  return Status();
}

Status apply_top_p(DrawState& state, const StageContext& context) {
  // Most mass sits in few tokens: select few first and more as needed.
  const double mass = static_cast<double>(context.parameters.top_p) * state.total_weight();
  std::vector<Selected>& selection = state.scratch().selection;
  for (size_t wanted = 128; !state.select_at_least(wanted); wanted *= 8) {
    if (sum_weights(selection) >= mass) break;
  }
  keep_top_mass(selection, mass);
  const Selected last = find_last(selection);
  state.keep_from({last.key, last.token_id});
  return Status();
}

Status apply_min_p(DrawState& state, const StageContext& context) {
  // p >= min_p * p_best, in logits.
  keep_within(state, -std::log(static_cast<double>(context.parameters.min_p)) / static_cast<double>(state.scale()));
  return Status();
}

Status apply_typical(DrawState& state, const StageContext& context) {
  std::vector<Candidate>& candidates = state.list();
  const double total = state.total_weight();
  const double log_total = std::log(total);
  double entropy = 0;
  for (const Candidate& candidate : candidates) {
    const double scaled = (static_cast<double>(candidate.logit) - static_cast<double>(state.best().logit)) *
                          static_cast<double>(state.scale());
    entropy += static_cast<double>(state.weight_of(candidate.logit)) / total * (log_total - scaled);
  }
  std::vector<Selected>& selection = state.scratch().selection;
  selection.clear();
  for (const Candidate& candidate : candidates) {
    selection.push_back({typical_key(state, candidate.logit, log_total, entropy), candidate.token_id,
                         state.weight_of(candidate.logit)});
  }
  keep_top_mass(selection, static_cast<double>(context.parameters.typical_p) * total);
  const Selected last = find_last(selection);
  std::erase_if(candidates, [&](const Candidate& candidate) {
    return comes_before(last, {typical_key(state, candidate.logit, log_total, entropy), candidate.token_id, 0});
  });
  return state.changed();
}

Status apply_xtc(DrawState& state, const StageContext& context) {
  const SamplingParameters& parameters = context.parameters;
  const double chance = uniform_random(parameters.seed, context.draw_index, RandomPurpose::kXtc, parameters.stream);
  if (chance >= static_cast<double>(parameters.xtc_probability)) return Status();
  std::vector<Candidate>& candidates = state.list();
  const double bound = static_cast<double>(parameters.xtc_threshold) * state.total_weight();
  Candidate survivor = state.best();
  for (const Candidate& candidate : candidates) {
    const bool above = static_cast<double>(state.weight_of(candidate.logit)) >= bound;
    if (above && more_likely(survivor, candidate)) survivor = candidate;
  }
  std::erase_if(candidates, [&](const Candidate& candidate) { return more_likely(candidate, survivor); });
  return state.changed();
}

}  // namespace fastserve
