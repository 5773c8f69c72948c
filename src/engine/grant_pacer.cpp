// A controller, not a model: rows move towards the target by what the last ones took, which follows growing contexts,
// other clock rates and a busy machine alike.
#include "engine/grant_pacer.h"

#include <algorithm>

namespace fastserve {
namespace {

constexpr int32_t kFirstRows = 4;
constexpr int32_t kFirstPanels = 32;

// The mean of old and new, or the new one where there is no old one.
int64_t mixed(int64_t old_ns, int64_t new_ns) { return old_ns == 0 ? new_ns : (3 * old_ns + new_ns) / 4; }

int32_t clamped(int64_t value, int32_t maximum) {
  return static_cast<int32_t>(std::clamp<int64_t>(value, 1, std::max(maximum, 1)));
}

}  // namespace

int64_t GrantPacer::piece_target_ns(int64_t grant_ns) {
  constexpr int64_t kLongestNs = 2'500'000;
  return grant_ns / std::max<int64_t>((grant_ns + kLongestNs - 1) / kLongestNs, 1);
}

int32_t GrantPacer::rows(int64_t grant_ns, int32_t rows_max) const {
  if (grant_ns == kNoGrant) return rows_max;
  if (learned_rows_ == 0) return clamped(kFirstRows, rows_max);
  const int64_t target = piece_target_ns(grant_ns);
  const int64_t wanted = learned_rows_ * target / std::max<int64_t>(learned_layer_ns_, 1);
  return clamped(std::min<int64_t>(wanted, 2 * int64_t{learned_rows_}), rows_max);
}

int32_t GrantPacer::piece_rows(int64_t grant_ns, int32_t rows_left) const {
  if (rows_left <= 0) return 0;
  const int32_t fitting = rows(grant_ns, rows_left);
  const int32_t pieces = (rows_left + fitting - 1) / fitting;
  return (rows_left + pieces - 1) / pieces;
}

// Pieces of one step differ by little, so time counts as if it went with the rows.
void GrantPacer::record_layer(int32_t rows, int64_t duration_ns) {
  if (rows <= 0) return;
  if (piece_count_ == 0) step_rows_ = rows;
  if (piece_count_ < kPiecesMax) {
    piece_ns_[static_cast<size_t>(piece_count_++)] = duration_ns * step_rows_ / rows;
  }
}

// The median: interruptions by others are not to be learned from.
void GrantPacer::end_layers() {
  if (piece_count_ == 0) return;
  const auto median = piece_ns_.begin() + piece_count_ / 2;
  std::nth_element(piece_ns_.begin(), median, piece_ns_.begin() + piece_count_);
  const bool is_same_size = step_rows_ == learned_rows_;
  learned_layer_ns_ = is_same_size ? mixed(learned_layer_ns_, *median) : *median;
  learned_rows_ = step_rows_;
  piece_count_ = 0;
}

int64_t GrantPacer::expected_layer_ns(int32_t rows) const {
  if (piece_count_ > 0) return piece_ns_[static_cast<size_t>(piece_count_) - 1] * rows / step_rows_;
  return learned_rows_ == 0 ? 0 : learned_layer_ns_ * rows / learned_rows_;
}

int32_t GrantPacer::head_size_of(int32_t rows) {
  int32_t size = 0;
  while (size + 1 < kHeadSizes && (1 << size) < rows) ++size;
  return size;
}

int32_t GrantPacer::head_panels(int64_t grant_ns, int32_t rows, int32_t panels_max) const {
  if (grant_ns == kNoGrant) return panels_max;
  const int64_t panel_ns = panel_ns_[static_cast<size_t>(head_size_of(rows))];
  if (panel_ns == 0) return clamped(kFirstPanels, panels_max);
  return clamped(piece_target_ns(grant_ns) / panel_ns, panels_max);
}

void GrantPacer::record_head(int32_t rows, int32_t panels, int64_t duration_ns) {
  int64_t& panel_ns = panel_ns_[static_cast<size_t>(head_size_of(rows))];
  panel_ns = mixed(panel_ns, std::max<int64_t>(duration_ns / std::max(panels, 1), 1));
}

int64_t GrantPacer::expected_head_ns(int32_t rows, int32_t panels) const {
  return panel_ns_[static_cast<size_t>(head_size_of(rows))] * panels;
}

int32_t GrantPacer::sample_rows(int64_t grant_ns, int32_t rows_max) const {
  if (grant_ns == kNoGrant) return rows_max;
  if (sample_row_ns_ == 0) return 1;
  return clamped(piece_target_ns(grant_ns) / sample_row_ns_, rows_max);
}

void GrantPacer::record_sampling(int32_t rows, int64_t duration_ns) {
  sample_row_ns_ = mixed(sample_row_ns_, std::max<int64_t>(duration_ns / std::max(rows, 1), 1));
}

}  // namespace fastserve
