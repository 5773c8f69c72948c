// Runner: the resumable forward pass.
#include "engine/runner.h"

#include <algorithm>
#include <array>

namespace fastserve {

void Runner::begin(const Batch& batch) {
  batch_ = &batch;
  phase_ = batch.row_count() > 0 ? Phase::kEmbed : Phase::kIdle;
  next_layer_ = 0;
}

void Runner::batch_changed() {
  if (batch_->row_count() == 0) phase_ = Phase::kIdle;
}

ForwardPass Runner::pass() const {
  const LoadedModel& model = *batch_->model();
  ForwardPass pass;
  pass.device = &device_;
  pass.workspace = &model.workspace;
  pass.kv = {model.kv.layers(), model.kv.layer_groups()};
  pass.batch = batch_->view();
  return pass;
}

Runner::Phase Runner::advance() {
  const ModelDef& def = *batch_->model()->def;
  const Phase ran = phase_;
  switch (phase_) {
    case Phase::kIdle:
      break;
    case Phase::kEmbed:
      def.embed(pass());
      phase_ = Phase::kLayers;
      break;
    case Phase::kLayers:
      def.layer(pass(), next_layer_);
      if (++next_layer_ == def.shape().layer_count) {
        collect_logit_rows();
        phase_ = logit_rows_.empty() ? Phase::kIdle : Phase::kHead;
      }
      break;
    case Phase::kHead: {
      std::array<int32_t, 64> rows;
      const size_t capacity =
          std::min(rows.size(), static_cast<size_t>(batch_->model()->workspace.logit_row_capacity()));
      chunk_begin_ = chunk_end_;
      chunk_end_ = std::min(chunk_begin_ + capacity, logit_rows_.size());
      for (size_t i = chunk_begin_; i < chunk_end_; ++i) rows[i - chunk_begin_] = logit_rows_[i].row;
      def.head(pass(), rows.data(), static_cast<int32_t>(chunk_end_ - chunk_begin_));
      if (chunk_end_ == logit_rows_.size()) phase_ = Phase::kIdle;
      break;
    }
  }
  return ran;
}

// Generating sequences need the last row once all their tokens are computed; scored ones every row but the last.
void Runner::collect_logit_rows() {
  logit_rows_.clear();
  chunk_begin_ = chunk_end_ = 0;
  for (const BatchSequence& entry : batch_->sequences()) {
    Sequence& sequence = *entry.sequence;
    const int32_t end = entry.position_begin + entry.row_count;
    const bool is_score = sequence.request->parameters.kind == RequestKind::kScore;
    for (int32_t i = 0; i < entry.row_count; ++i) {
      const int32_t position = entry.position_begin + i;
      const bool wanted =
          is_score ? position + 1 < sequence.token_count() : position + 1 == end && end == sequence.token_count();
      if (wanted) logit_rows_.push_back({entry.row_begin + i, &sequence, position});
    }
  }
}

}  // namespace fastserve
