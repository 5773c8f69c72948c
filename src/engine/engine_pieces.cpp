// The pieces of a step: embedding, layers, panels of the head, rows to sample. Under a grant each is sized to fit,
// begins only where it does, and is timed for the next.
#include <algorithm>
#include <bit>

#include "engine/engine.h"

namespace fastserve {

// Decoding rows are taken whole and a few rows of prompts beside them, so that neither waits for the other for ever.
// Prompts alone take a few pieces' rows: the pieces of a layer find its weights and keys in the caches.
int32_t Engine::step_rows_max(const LoadedModel& model) const {
  constexpr int32_t kPromptRowsMin = 4, kPromptPieces = 4;
  const auto rows_max = static_cast<int32_t>(options_.max_batch_tokens);
  const int32_t fitting = model.pacer.rows(grant_.total_ns, rows_max);
  const auto decoding = std::count_if(running_views_.begin(), running_views_.end(),
                                      [](const SequenceView& view) { return view.decoding; });
  const bool has_prompts = !waiting_views_.empty() || static_cast<size_t>(decoding) < running_views_.size();
  if (decoding == 0) return static_cast<int32_t>(std::min<int64_t>(rows_max, int64_t{kPromptPieces} * fitting));
  const int32_t needed = static_cast<int32_t>(decoding) + (has_prompts ? kPromptRowsMin : 0);
  return std::min(rows_max, std::max(fitting, needed));
}

bool Engine::may_begin(int64_t expected_ns) {
  if (grant_.deadline_ns == INT64_MAX) return true;
  if (grant_.is_used && !GrantPacer::fits(expected_ns, grant_.deadline_ns - clock_.now_ns())) return false;
  grant_.is_used = true;
  return true;
}

// Computes the next piece. False where it does not fit the grant any more.
bool Engine::run_piece() {
  const int64_t began_ns = clock_.now_ns();
  const bool has_run = run_next_piece();
  step_busy_ns_ += clock_.now_ns() - began_ns;
  return has_run;
}

bool Engine::run_next_piece() {
  GrantPacer& pacer = batch_.model()->pacer;
  if (sampled_count_ < runner_.ready_count()) return run_sampling(pacer);
  if (runner_.phase() == Runner::Phase::kHead) return run_head(pacer);
  return run_layer(pacer);
}

// On a device layers are queued together: all that a grant has time for, in groups of a power of two, since each group
// is a graph of its own.
int32_t Engine::layers_of_piece(const GrantPacer& pacer, int32_t rows) const {
  if (device_.stream == nullptr || rows < runner_.layer_rows_left()) return 1;
  const int32_t left = runner_.layers_left();
  if (grant_.total_ns == GrantPacer::kNoGrant) return left;
  const int64_t expected_ns = pacer.expected_layer_ns(rows);
  if (expected_ns <= 0) return 1;
  const auto fitting =
      static_cast<uint64_t>(std::clamp<int64_t>(GrantPacer::piece_target_ns(grant_.total_ns) / expected_ns, 1, left));
  return static_cast<int32_t>(std::bit_floor(fitting));
}

bool Engine::run_layer(GrantPacer& pacer) {
  const bool is_layer = runner_.phase() == Runner::Phase::kLayers;
  const int32_t rows = pacer.piece_rows(grant_.total_ns, runner_.layer_rows_left());
  if (!may_begin(is_layer ? pacer.expected_layer_ns(rows) : 0)) return false;
  const int64_t began_ns = clock_.now_ns();
  const int32_t layers = is_layer ? layers_of_piece(pacer, rows) : 1;
  (void)runner_.advance(rows, 0, layers);
  if (grant_.total_ns != GrantPacer::kNoGrant) runner_.finish();  // a grant covers what runs, not what is queued
  if (!is_layer) return true;
  pacer.record_layer(rows, (clock_.now_ns() - began_ns) / layers);
  if (!runner_.layers_done()) return true;
  pacer.end_layers();
  runner_.finish();  // keys that count as computed are there: others may copy them from now on
  commit_computed();
  return true;
}

bool Engine::run_head(GrantPacer& pacer) {
  const int32_t rows = runner_.head_row_count();
  const int32_t panels = pacer.head_panels(grant_.total_ns, rows, runner_.head_panels_left());
  if (!may_begin(pacer.expected_head_ns(rows, panels))) return false;
  sampled_count_ = 0;
  const int64_t began_ns = clock_.now_ns();
  (void)runner_.advance(0, panels);
  if (runner_.ready_count() > 0 || grant_.total_ns != GrantPacer::kNoGrant) runner_.finish();
  pacer.record_head(rows, panels, clock_.now_ns() - began_ns);
  if (grant_.total_ns != GrantPacer::kNoGrant) return true;
  sampled_count_ = runner_.ready_count();
  process_logits(0, sampled_count_);
  return true;
}

bool Engine::run_sampling(GrantPacer& pacer) {
  const auto left = static_cast<int32_t>(runner_.ready_count() - sampled_count_);
  const int32_t rows = pacer.sample_rows(grant_.total_ns, left);
  if (!may_begin(pacer.expected_sampling_ns(rows))) return false;
  const int64_t began_ns = clock_.now_ns();
  const size_t begin = sampled_count_;
  sampled_count_ += static_cast<size_t>(rows);
  process_logits(begin, sampled_count_);
  pacer.record_sampling(rows, clock_.now_ns() - began_ns);
  return true;
}

}  // namespace fastserve
