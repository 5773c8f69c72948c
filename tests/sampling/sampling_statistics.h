// Exact reference distributions in f64 and the chi-square test of draws against them.
#pragma once
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <numeric>
#include <random>
#include <span>
#include <vector>

namespace fastserve::testing {

inline std::vector<float> random_logits(size_t count, uint32_t seed, float spread = 3.0f) {
  std::mt19937 engine(seed);
  std::normal_distribution<float> normal(0.0f, spread);
  std::vector<float> logits(count);
  for (float& logit : logits) logit = normal(engine);
  return logits;
}

inline std::vector<double> softmax(std::span<const float> logits, double temperature = 1.0) {
  const double max = *std::max_element(logits.begin(), logits.end());
  std::vector<double> probabilities;
  for (const float logit : logits) probabilities.push_back(std::exp((logit - max) / temperature));
  const double sum = std::accumulate(probabilities.begin(), probabilities.end(), 0.0);
  for (double& p : probabilities) p /= sum;
  return probabilities;
}

// Ids by likelihood, ties by lowest id.
inline std::vector<int32_t> sorted_ids(std::span<const float> logits) {
  std::vector<int32_t> ids(logits.size());
  std::iota(ids.begin(), ids.end(), 0);
  std::stable_sort(ids.begin(), ids.end(), [&](int32_t a, int32_t b) {
    return logits[static_cast<size_t>(a)] > logits[static_cast<size_t>(b)];
  });
  return ids;
}

// Upper bound of a chi-square statistic that chance passes with a probability of about 1e-6 (Wilson-Hilferty).
inline double chi_square_limit(size_t degrees) {
  const double k = static_cast<double>(degrees);
  const double c = 1.0 - 2.0 / (9.0 * k) + 4.75 * std::sqrt(2.0 / (9.0 * k));
  return k * c * c * c;
}

// Statistic and limit; cells with few expected draws are pooled. `impossible` counts draws of probability 0.
struct ChiSquare {
  double statistic = 0;
  double limit = 0;
  uint64_t impossible = 0;
};
inline ChiSquare chi_square(std::span<const double> probabilities, std::span<const uint64_t> counts) {
  const double draws = static_cast<double>(std::accumulate(counts.begin(), counts.end(), uint64_t{0}));
  ChiSquare result;
  double rest_expected = 0, rest_seen = 0;
  size_t cells = 0;
  const auto add = [&](double expected, double seen) {
    result.statistic += (seen - expected) * (seen - expected) / expected;
    ++cells;
  };
  for (size_t i = 0; i < counts.size(); ++i) {
    if (probabilities[i] == 0.0) {
      result.impossible += counts[i];
    } else if (probabilities[i] * draws < 10.0) {
      rest_expected += probabilities[i] * draws;
      rest_seen += static_cast<double>(counts[i]);
    } else {
      add(probabilities[i] * draws, static_cast<double>(counts[i]));
    }
  }
  if (rest_expected >= 5.0) add(rest_expected, rest_seen);
  result.limit = chi_square_limit(std::max<size_t>(cells, 2) - 1);
  return result;
}

}  // namespace fastserve::testing
