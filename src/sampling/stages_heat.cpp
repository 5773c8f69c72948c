// Temperature, static or by entropy, and mirostat.
#include <algorithm>
#include <cmath>

#include "sampling/stages.h"

namespace fastserve {
namespace {

constexpr float kTemperatureMin = 1e-20f;  // below: greedy; keeps 1 / temperature finite

// Entropy over its largest possible value, 0 .. 1.
double normalised_entropy(DrawState& state) {
  const std::vector<Candidate>& candidates = state.list();
  if (candidates.size() < 2) return 0;
  const double total = state.total_weight();
  double entropy = 0;
  for (const Candidate& candidate : candidates) {
    const double p = static_cast<double>(state.weight_of(candidate.logit)) / total;
    if (p > 0) entropy -= p * std::log(p);
  }
  return std::clamp(entropy / std::log(static_cast<double>(candidates.size())), 0.0, 1.0);
}

// Mirostat 1: how many to keep, by the exponent of Zipf's law estimated from the most likely.
size_t estimate_count(DrawState& state, float mu) {
  constexpr size_t kEstimatedFrom = 100;
  const size_t vocabulary = state.count();
  state.select_at_least(kEstimatedFrom);
  std::vector<Selected>& selection = state.scratch().selection;
  keep_top_count(selection, kEstimatedFrom);
  std::sort(selection.begin(), selection.end(), comes_before);
  double products = 0;
  double squares = 0;
  for (size_t i = 0; i + 1 < selection.size(); ++i) {
    const double t = std::log(static_cast<double>(i + 2) / static_cast<double>(i + 1));
    const double b = (static_cast<double>(selection[i].key) - static_cast<double>(selection[i + 1].key)) *
                     static_cast<double>(state.scale());
    products += t * b;
    squares += t * t;
  }
  if (squares == 0 || products <= 0) return selection.size();
  const double exponent = products / squares;
  const double epsilon = exponent - 1;
  const double limit = std::exp2(static_cast<double>(mu));
  // The limit of epsilon / (1 - n^-epsilon) towards epsilon = 0 is 1 / ln n.
  const double ratio = std::fabs(epsilon) < 1e-9 ? 1.0 / std::log(static_cast<double>(std::max<size_t>(vocabulary, 2)))
                                                 : epsilon / (1 - std::pow(static_cast<double>(vocabulary), -epsilon));
  const double k = std::pow(ratio * limit, 1 / exponent);
  if (!(k < static_cast<double>(vocabulary))) return vocabulary;
  return std::max<size_t>(static_cast<size_t>(k), 1);
}

}  // namespace

Status apply_temperature(DrawState& state, const StageContext& context) {
  const SamplingParameters& parameters = context.parameters;
  double temperature = static_cast<double>(parameters.temperature);
  if (parameters.dynamic_temperature_range > 0) {
    const double range = static_cast<double>(parameters.dynamic_temperature_range);
    const double low = std::max(0.0, temperature - range);
    const double high = temperature + range;
    if (state.list().size() < 2) return Status();
    const double share =
        std::pow(normalised_entropy(state), static_cast<double>(parameters.dynamic_temperature_exponent));
    temperature = low + (high - low) * share;
  }
  if (temperature < static_cast<double>(kTemperatureMin)) {
    state.keep_only_best();
  } else {
    state.multiply_scale(static_cast<float>(1.0 / temperature));
  }
  return Status();
}

void apply_mirostat(DrawState& state, const StageContext& context) {
  if (context.parameters.mirostat == 1) {
    const size_t count = estimate_count(state, context.mirostat_mu);
    if (count >= state.count()) return;
    state.select_at_least(count);
    std::vector<Selected>& selection = state.scratch().selection;
    keep_top_count(selection, count);
    const Selected last = find_last(selection);
    state.keep_from({last.key, last.token_id});
    return;
  }
  // Drop what is more surprising than mu bits: ln p >= -mu ln 2.
  const double ln2 = 0.69314718055994530942;
  const double margin = static_cast<double>(context.mirostat_mu) * ln2 - std::log(state.total_weight());
  const double bound = static_cast<double>(state.best().logit) - margin / static_cast<double>(state.scale());
  state.keep_from({std::min(static_cast<float>(bound), state.best().logit), DrawState::kAnyId});
}

}  // namespace fastserve
