// GrantPacer: how large the pieces of a step may be so that they fit a time grant. It learns from the pieces that ran:
// one for each model, since models differ. No clock of its own, no allocation.
#pragma once
#include <algorithm>
#include <array>
#include <cstdint>

namespace fastserve {

// What a piece is made of: rows through one layer, panels of the head for some rows, or rows to sample.
class GrantPacer {
 public:
  static constexpr int64_t kNoGrant = INT64_MAX;

  // The time that one piece should take under a grant: a whole part of it, long enough that weights and keys are not
  // read for a row or two.
  static int64_t piece_target_ns(int64_t grant_ns);
  // Whether a piece expected to take `expected_ns` begins with `left_ns` left: where most of it fits, so that grants
  // are used up on average and hardly passed.
  static bool fits(int64_t expected_ns, int64_t left_ns) {
    return left_ns > std::max(expected_ns / 2, expected_ns - kPassedByMaxNs);
  }
  static constexpr int64_t kPassedByMaxNs = 400'000;

  // Rows of a layer that one piece should take under a grant, at most `rows_max`.
  int32_t rows(int64_t grant_ns, int32_t rows_max) const;
  // Of the `rows_left` of a layer, those of the next piece: pieces of one size as nearly as may be.
  int32_t piece_rows(int64_t grant_ns, int32_t rows_left) const;
  void record_layer(int32_t rows, int64_t duration_ns);
  // After the last layer of a step: what its layers took becomes the estimate.
  void end_layers();
  int64_t expected_layer_ns(int32_t rows) const;

  // Panels of the head's matrix for `rows` rows.
  int32_t head_panels(int64_t grant_ns, int32_t rows, int32_t panels_max) const;
  void record_head(int32_t rows, int32_t panels, int64_t duration_ns);
  int64_t expected_head_ns(int32_t rows, int32_t panels) const;

  int32_t sample_rows(int64_t grant_ns, int32_t rows_max) const;
  void record_sampling(int32_t rows, int64_t duration_ns);
  int64_t expected_sampling_ns(int32_t rows) const { return rows * sample_row_ns_; }

 private:
  static constexpr int32_t kPiecesMax = 256;
  static constexpr int32_t kHeadSizes = 8;  // rows in powers of two
  static int32_t head_size_of(int32_t rows);

  std::array<int64_t, kPiecesMax> piece_ns_{};  // of the step under way, as pieces of step_rows_
  int32_t piece_count_ = 0;
  int32_t step_rows_ = 0;     // of the first piece of the step under way
  int32_t learned_rows_ = 0;  // 0: nothing learned
  int64_t learned_layer_ns_ = 0;
  std::array<int64_t, kHeadSizes> panel_ns_{};  // by head_size_of(rows); 0: unknown
  int64_t sample_row_ns_ = 0;
};

}  // namespace fastserve
