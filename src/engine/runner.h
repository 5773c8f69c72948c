// Runner: drives a family over a batch one piece at a time (embedding, each layer, each run of logits), so that the
// engine can look at time grants and cancels in between. Engine thread only.
#pragma once
#include <cstdint>
#include <vector>

#include "engine/batch.h"

namespace fastserve {

// A row whose logits are wanted.
struct LogitRow {
  int32_t row = 0;
  Sequence* sequence = nullptr;
  int32_t position = 0;  // of the row's token
};

class Runner {
 public:
  enum class Phase : uint32_t { kIdle, kEmbed, kLayers, kHead };

  explicit Runner(const Device& device) : device_(device) {}
  void reserve(int32_t logit_row_capacity) { logit_rows_.reserve(static_cast<size_t>(logit_row_capacity)); }

  void begin(const Batch& batch);
  // Computes the next piece. After kHead pieces, chunk() holds the rows whose logits lie in the workspace.
  Phase advance();
  bool active() const { return phase_ != Phase::kIdle; }
  // All layers are done: keys and values of the whole batch are in the cache.
  bool layers_done() const { return phase_ == Phase::kHead || phase_ == Phase::kIdle; }
  // Call once the batch's tokens are committed: the rows whose logits are wanted are known then.
  void begin_head();
  // Call between pieces when the batch changed; with no row left the step ends.
  void batch_changed();
  void stop() { phase_ = Phase::kIdle; }

  std::span<const LogitRow> chunk() const {
    return std::span(logit_rows_).subspan(chunk_begin_, chunk_end_ - chunk_begin_);
  }

 private:
  ForwardPass pass() const;
  void collect_logit_rows(const BatchSequence& entry);

  const Device& device_;
  const Batch* batch_ = nullptr;
  Phase phase_ = Phase::kIdle;
  int32_t next_layer_ = 0;
  std::vector<LogitRow> logit_rows_;
  size_t chunk_begin_ = 0, chunk_end_ = 0;
};

}  // namespace fastserve
