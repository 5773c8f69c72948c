// CostModel: what a step takes, t = a + b*prefill_tokens + c*decode_rows + d*context_tokens, fitted to the steps that
// ran. Least squares of relative errors, older steps forgotten, outliers damped, no coefficient ever below zero. No
// allocation, no clock.
#pragma once
#include <array>
#include <cstddef>
#include <cstdint>

namespace fastserve {

// What a step computes, as far as its time depends on it.
struct StepWork {
  int64_t prefill_tokens = 0;
  int64_t decode_rows = 0;
  int64_t context_tokens = 0;  // keys that its sequences see: the sum of their lengths
};

class CostModel {
 public:
  // Nanoseconds for each term of the formula.
  struct Coefficients {
    double step_ns = 0, prefill_token_ns = 0, decode_row_ns = 0, context_token_ns = 0;
  };

  // Until something was observed, a guess of the right order for a small model.
  CostModel() : CostModel({2e6, 2e5, 5e5, 0}) {}
  explicit CostModel(const Coefficients& prior);

  // A step ran. Durations of zero or less are passed over.
  void observe(const StepWork& work, int64_t duration_ns);

  double predict_ns(const StepWork& work) const;
  // Prefill tokens that fit `budget_ns` beside `work`; 0 where nothing does.
  int64_t prefill_tokens_within(const StepWork& work, double budget_ns) const;
  Coefficients coefficients() const;
  uint64_t observation_count() const { return observation_count_; }

 private:
  static constexpr size_t kTerms = 4;
  using Vector = std::array<double, kTerms>;
  static Vector features(const StepWork& work);
  void solve();

  Vector prior_{}, solution_{};               // of scaled features
  std::array<Vector, kTerms> information_{};  // sum of weight * x * x^T
  Vector target_{};                           // sum of weight * x * t
  double error_scale_ = 0;                    // mean relative error
  uint64_t observation_count_ = 0;
};

}  // namespace fastserve
