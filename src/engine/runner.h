// Runner: drives a family over a batch one piece at a time (embedding, each layer, each run of logits), so that the
// engine can look at time grants and cancels in between. Engine thread only.
#pragma once
#include <cstdint>
#include <vector>

#include "engine/batch.h"
#include "engine/device_draws.h"

namespace fastserve {

class Runner {
 public:
  enum class Phase : uint32_t { kIdle, kEmbed, kLayers, kHead };

  explicit Runner(const Device& device) : device_(device) {}
  void reserve(int32_t logit_row_capacity) { logit_rows_.reserve(static_cast<size_t>(logit_row_capacity)); }

  void begin(Batch& batch);
  // Computes the next piece: the embedding, some rows of a layer, or some panels of the head for a chunk of rows. When
  // the last panels of a chunk are done, chunk() holds the rows whose logits lie in the workspace, until the next
  // piece. On a device pieces are only queued: finish() waits for them. `layers_max` layers of all rows make one piece
  // there.
  Phase advance(int32_t layer_rows_max = INT32_MAX, int32_t head_panels_max = INT32_MAX, int32_t layers_max = 1);
  // Everything that was queued is done; throws StatusException for what failed in it.
  void finish();
  bool active() const { return phase_ != Phase::kIdle; }
  Phase phase() const { return phase_; }
  size_t ready_count() const { return chunk_ready_ ? chunk_end_ - chunk_begin_ : 0; }  // of chunk()
  int32_t layer_rows_left() const { return batch_->row_count() - next_row_; }          // of the layer under way
  int32_t layers_left() const;                                                         // it included
  // The token that the device has drawn from a row of the chunk, or a kernels::DeviceSampleError. Nothing: logits() has
  // the row.
  std::optional<int32_t> drawn_token(size_t chunk_row) const;
  // One row of the chunk's logits.
  std::span<const float> logits(size_t chunk_row) const;
  // The largest logit of each kernels::kLogitBlock, where the head has found them out; else nothing.
  std::span<const float> logit_maxima(size_t chunk_row) const;
  // Of the next head piece: its rows, and the panels that are left of them.
  int32_t head_row_count() const;
  int32_t head_panels_left() const;
  // All layers are done: keys and values of the whole batch are in the cache.
  bool layers_done() const { return phase_ == Phase::kHead || phase_ == Phase::kIdle; }
  // Call once the batch's tokens are committed: the rows whose logits are wanted are known then.
  void begin_head();
  // Call between pieces for rows that left the batch; with no row left the step ends.
  void rows_removed(int32_t row_begin, int32_t row_count);
  void stop();

  std::span<const LogitRow> chunk() const {
    return std::span(logit_rows_).subspan(chunk_begin_, chunk_end_ - chunk_begin_);
  }

 private:
  static constexpr size_t kChunkRowsMax = DeviceStep::kHeadRowsMax;
  ForwardPass pass(const BatchView& rows);
  BatchView staged(const BatchView& rows);
  void advance_layer(int32_t rows_max);
  void queue_layers(int32_t rows_max, int32_t layers_max);
  void advance_head(int32_t panels_max);
  void collect_logit_rows(const BatchSequence& entry);

  const Device& device_;
  Batch* batch_ = nullptr;
  Phase phase_ = Phase::kIdle;
  int32_t next_layer_ = 0, next_row_ = 0;  // of that layer
  std::vector<LogitRow> logit_rows_;
  size_t chunk_begin_ = 0, chunk_end_ = 0;
  int32_t head_panel_ = 0;  // next of the chunk; 0: the next piece begins a chunk
  bool chunk_ready_ = false;
  // On a device: what its inputs hold.
  BatchView staged_, staged_from_;
  const Batch* staged_batch_ = nullptr;
  uint64_t staged_version_ = 0;
  StepBucket bucket_;
  DeviceDraws draws_;
};

}  // namespace fastserve
