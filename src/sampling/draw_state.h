// DrawState: what is left of a row of logits while the stages of one draw work on it. It stays a row (nothing copied)
// until a stage cuts it; then it is a list of candidates in id order.
#pragma once
#include <cstdint>
#include <limits>
#include <span>

#include "base/status.h"
#include "sampling/sampler.h"

namespace fastserve {

// The position of a draw and the text before it, for stages that look at them.
struct StageContext {
  const SamplingParameters& parameters;
  std::span<const int32_t> history;
  uint64_t draw_index;
  float mirostat_mu;
};

class DrawState {
 public:
  static constexpr float kImpossible = -std::numeric_limits<float>::infinity();
  static constexpr int32_t kAnyId = std::numeric_limits<int32_t>::max();

  DrawState(const LogitsRow& row, SamplerScratch& scratch);
  // Checks and scans the row; bans. Must come first.
  Status begin(std::span<const int32_t> banned);

  // Changes single logits: logit = change(logit). The temperature so far is worked in first. Call `changed` after.
  template <typename Change>
  void adjust(int32_t token_id, Change&& change) {
    apply_scale();
    if (float* logit = find(token_id)) *logit = change(*logit);
  }
  // Scans again. kInternal where nothing can be drawn any more.
  Status changed();

  // The most likely candidate. Others' weight is exp((logit - best.logit) * scale).
  const Candidate& best() const { return best_; }
  float scale() const { return scale_; }
  void multiply_scale(float factor) { scale_ *= factor; }
  float weight_of(float logit) const { return exp_nonpositive((logit - best_.logit) * scale_); }

  bool listed() const { return listed_; }
  size_t count() const { return listed_ ? scratch_.candidates.size() : row_.size(); }
  std::span<const float> row() const { return row_; }
  SamplerScratch& scratch() { return scratch_; }
  // Turns the row into a list of all that can be drawn.
  std::vector<Candidate>& list();
  double total_weight() const;

  // Fills scratch.selection with at least the `wanted` most likely (key: logit); returns whether it holds all.
  bool select_at_least(size_t wanted);
  // Drops what is less likely than `worst`.
  void keep_from(const Candidate& worst);
  void keep_only_best();

  struct Drawn {
    int32_t token_id;
    double probability;
  };
  // Walks weights in id order until their sum passes `uniform` of the whole.
  Drawn draw(double uniform);

 private:
  Drawn draw_from_row(double uniform);
  float* find(int32_t token_id);
  float* writable_row();
  void apply_scale();
  Status find_best();

  SamplerScratch& scratch_;
  std::span<const float> row_, known_max_;
  Candidate best_{kImpossible, 0};
  float scale_ = 1.0f;
  bool listed_ = false;
};

}  // namespace fastserve
