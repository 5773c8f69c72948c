// CostModel: what a step takes, t = a + b*prefill_tokens + c*decode_rows + d*context_tokens + e*prefill_context_tokens,
// fitted to the steps that ran. Least squares of relative errors, older steps forgotten, outliers damped, no
// coefficient ever below zero. No allocation, no clock.
#pragma once
#include <array>
#include <cstddef>
#include <cstdint>

namespace fastserve {

// What a step computes, as far as its time depends on it.
struct StepWork {
  int64_t prefill_tokens = 0;
  int64_t decode_rows = 0;
  int64_t context_tokens = 0;          // keys that its decoding rows see: the sum of their sequences' lengths
  int64_t prefill_context_tokens = 0;  // keys that its rows of prompts see, each row's counted

  // `rows` rows of a prompt of which `computed` tokens are done.
  void add_prompt(int64_t rows, int64_t computed) {
    prefill_tokens += rows;
    prefill_context_tokens += rows * computed + rows * (rows + 1) / 2;
  }
};

class CostModel {
 public:
  // Nanoseconds for each term of the formula.
  struct Coefficients {
    double step_ns = 0, prefill_token_ns = 0, decode_row_ns = 0, context_token_ns = 0, prefill_context_ns = 0;
    double predict_ns(const StepWork& work) const {
      return step_ns + prefill_token_ns * static_cast<double>(work.prefill_tokens) +
             decode_row_ns * static_cast<double>(work.decode_rows) +
             context_token_ns * static_cast<double>(work.context_tokens) +
             prefill_context_ns * static_cast<double>(work.prefill_context_tokens);
    }
  };

  // Until something was observed, a guess of the right order for a small model.
  CostModel() : CostModel({2e6, 2e5, 5e5, 0, 0}) {}
  explicit CostModel(const Coefficients& prior);

  // A step ran. Durations of zero or less are passed over.
  void observe(const StepWork& work, int64_t duration_ns);

  double predict_ns(const StepWork& work) const;
  // Tokens that fit `budget_ns` beside `work`, of a prompt of which `computed` are done; 0 where nothing does.
  int64_t prefill_tokens_within(const StepWork& work, double budget_ns, int64_t computed = 0) const;
  Coefficients coefficients() const;
  uint64_t observation_count() const { return observation_count_; }

 private:
  static constexpr size_t kTerms = 5;
  using Vector = std::array<double, kTerms>;
  static Vector features(const StepWork& work);
  void solve();

  Vector prior_{}, solution_{};               // of scaled features
  std::array<Vector, kTerms> information_{};  // sum of weight * x * x^T
  Vector target_{};                           // sum of weight * x * t
  double error_scale_ = 0;                    // mean relative error
  double prompt_steps_ = 0;                   // steps with prompts, older ones forgotten
  uint64_t observation_count_ = 0;
};

}  // namespace fastserve
