// Recursive least squares in information form: sums that decay, and a quadratic program of five unknowns that may not
// be negative, solved by coordinate descent from the last solution. Unlike clipping the gain form's result, this is the
// least-squares answer under the constraint.
#include "scheduler/cost_model.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace fastserve {
namespace {

// Features of usual steps are of the order of 1, so that no term drowns in another.
constexpr std::array<double, 5> kScales = {1, 1.0 / 128, 1.0 / 8, 1.0 / 8192, 1.0 / 65536};
constexpr double kForgetting = 0.995;    // a step counts half after about 140 others
constexpr double kPriorWeight = 1e-4;    // of the observations of a term; for terms that no step told apart
constexpr double kDampedBeyond = 3;      // times the usual error
constexpr double kSmallestError = 0.05;  // relative; closer than this nothing is an outlier
constexpr uint64_t kTrustedFrom = 8;     // observations, before which none is called an outlier
constexpr int kSweeps = 24;

}  // namespace

CostModel::CostModel(const Coefficients& prior) {
  prior_ = {prior.step_ns, prior.prefill_token_ns, prior.decode_row_ns, prior.context_token_ns,
            prior.prefill_context_ns};
  for (size_t i = 0; i < kTerms; ++i) prior_[i] = std::max(prior_[i], 0.0) / kScales[i];
  solution_ = prior_;
}

CostModel::Vector CostModel::features(const StepWork& work) {
  return {1, static_cast<double>(work.prefill_tokens) * kScales[1], static_cast<double>(work.decode_rows) * kScales[2],
          static_cast<double>(work.context_tokens) * kScales[3],
          static_cast<double>(work.prefill_context_tokens) * kScales[4]};
}

double CostModel::predict_ns(const StepWork& work) const {
  const Vector x = features(work);
  double sum = 0;
  for (size_t i = 0; i < kTerms; ++i) sum += x[i] * solution_[i];
  return sum;
}

void CostModel::observe(const StepWork& work, int64_t duration_ns) {
  if (duration_ns <= 0) return;
  const auto duration = static_cast<double>(duration_ns);
  const double predicted = std::max(predict_ns(work), 1.0);
  // Errors are relative. One that is unusually large (the process was suspended, pages were read in) pulls no harder
  // than one at the border; but it pulls, so that a machine that has become slower for good is followed.
  double weight = 1 / (duration * duration);
  const double excess = duration / predicted - 1;
  const double border = kDampedBeyond * std::max(error_scale_, kSmallestError);
  // What was hardly seen yet is no outlier: its terms are unknown.
  const bool has_prompt = work.prefill_tokens > 0;
  prompt_steps_ = kForgetting * prompt_steps_ + (has_prompt ? 1 : 0);
  const bool is_usual = observation_count_ >= kTrustedFrom && (!has_prompt || prompt_steps_ >= kTrustedFrom / 2.0);
  if (is_usual && excess > border) weight = border / excess / (predicted * duration);
  const Vector x = features(work);
  for (size_t i = 0; i < kTerms; ++i) {
    for (size_t j = 0; j < kTerms; ++j) information_[i][j] = kForgetting * information_[i][j] + weight * x[i] * x[j];
    target_[i] = kForgetting * target_[i] + weight * x[i] * duration;
  }
  constexpr double kErrorShare = 0.05;
  error_scale_ += kErrorShare * (std::min(std::abs(predicted - duration) / duration, 1.0) - error_scale_);
  ++observation_count_;
  solve();
}

void CostModel::solve() {
  for (int sweep = 0; sweep < kSweeps; ++sweep) {
    for (size_t i = 0; i < kTerms; ++i) {
      // Of the term's own observations: a few long steps weigh little beside many short ones.
      const double ridge = kPriorWeight * information_[i][i];
      double numerator = target_[i] + ridge * prior_[i];
      for (size_t j = 0; j < kTerms; ++j) numerator -= j == i ? 0 : information_[i][j] * solution_[j];
      const double denominator = information_[i][i] + ridge;
      if (denominator > 0) solution_[i] = std::max(0.0, numerator / denominator);
    }
  }
}

// Of n further tokens the i-th sees computed + i keys: what they take is quadratic in n.
int64_t CostModel::prefill_tokens_within(const StepWork& work, double budget_ns, int64_t computed) const {
  const double left = budget_ns - predict_ns(work);
  if (left <= 0) return 0;
  const Coefficients cost = coefficients();
  const double linear = cost.prefill_token_ns + cost.prefill_context_ns * (static_cast<double>(computed) + 0.5);
  // The root of half * n^2 + linear * n = left, in the form that bears a `half` of 0.
  const double half = 0.5 * cost.prefill_context_ns;
  const double divisor = linear + std::sqrt(linear * linear + 4 * half * left);
  if (divisor <= 0) return std::numeric_limits<int32_t>::max();
  return static_cast<int64_t>(std::min<double>(2 * left / divisor, std::numeric_limits<int32_t>::max()));
}

CostModel::Coefficients CostModel::coefficients() const {
  return {solution_[0] * kScales[0], solution_[1] * kScales[1], solution_[2] * kScales[2], solution_[3] * kScales[3],
          solution_[4] * kScales[4]};
}

}  // namespace fastserve
