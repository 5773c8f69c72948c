// Runner: the resumable forward pass.
#include "engine/runner.h"

#include <algorithm>
#include <array>

namespace fastserve {

void Runner::begin(Batch& batch) {
  batch_ = &batch;
  if (device_.stream != nullptr && batch.model() != nullptr) {
    device_.stream->use_scratch(batch.model()->workspace.device_scratch());
  }
  phase_ = batch.row_count() > 0 ? Phase::kEmbed : Phase::kIdle;
  next_layer_ = next_row_ = 0;
  head_panel_ = 0;
  chunk_ready_ = false;
}

void Runner::rows_removed(int32_t row_begin, int32_t row_count) {
  next_row_ -= std::clamp(next_row_ - row_begin, 0, row_count);
  if (batch_->row_count() == 0) phase_ = Phase::kIdle;
}

void Runner::stop() {
  phase_ = Phase::kIdle;
  chunk_ready_ = false;
  // Whatever is still queued must not meet what comes next; who waited before knows of failures.
  if (device_.stream != nullptr) (void)device_.stream->wait();
}

void Runner::finish() {
  if (device_.stream == nullptr) return;
  Status done = device_.stream->wait();
  if (!done.ok()) throw StatusException{std::move(done)};
}

// The rows as kernels are to see them: on a device its inputs are sent, unless they are there already.
BatchView Runner::staged(const BatchView& rows) {
  LoadedModel& model = *batch_->model();
  if (model.device_step == nullptr) return rows;
  const bool is_there = staged_version_ == batch_->version() && staged_from_.row_begin == rows.row_begin &&
                        staged_from_.row_count == rows.row_count && staged_batch_ == batch_;
  if (is_there) return staged_;
  // Rounded up only as a whole: beside some of the rows lie others.
  bucket_ = rows.row_count == batch_->row_count() ? model.device_step->bucket_of(rows) : StepBucket{};
  staged_ = model.device_step->stage(*device_.stream, rows, batch_->group_count(), bucket_);
  staged_from_ = rows;
  staged_version_ = batch_->version();
  staged_batch_ = batch_;
  return staged_;
}

ForwardPass Runner::pass(const BatchView& rows) {
  const LoadedModel& model = *batch_->model();
  ForwardPass pass;
  pass.device = &device_;
  pass.workspace = &model.workspace;
  pass.kv = {model.kv.layers(), model.kv.layer_groups()};
  pass.batch = staged(rows);
  return pass;
}

Runner::Phase Runner::advance(int32_t layer_rows_max, int32_t head_panels_max, int32_t layers_max) {
  const Phase ran = phase_;
  chunk_ready_ = false;
  switch (phase_) {
    case Phase::kIdle:
      break;
    case Phase::kEmbed:
      batch_->model()->def->embed(pass(batch_->view()));
      phase_ = Phase::kLayers;
      break;
    case Phase::kLayers:
      if (device_.stream != nullptr) {
        queue_layers(layer_rows_max, layers_max);
      } else {
        advance_layer(layer_rows_max);
      }
      break;
    case Phase::kHead:
      advance_head(head_panels_max);
      break;
  }
  return ran;
}

void Runner::advance_layer(int32_t rows_max) {
  const ModelDef& def = *batch_->model()->def;
  const int32_t left = layer_rows_left(), count = std::min(left, rows_max);
  if (count == batch_->row_count()) {
    def.layer(pass(batch_->view()), next_layer_);
  } else if (count > 0) {  // none where the rows that were left are gone
    def.layer(pass(batch_->view(next_row_, count)), next_layer_);
  }
  next_row_ += count;
  if (count < left) return;
  next_row_ = 0;
  if (++next_layer_ == def.shape().layer_count) phase_ = Phase::kHead;
}

int32_t Runner::layers_left() const { return batch_->model()->def->shape().layer_count - next_layer_; }

// A device's layers: of all rows several at once, from a graph where there is one.
void Runner::queue_layers(int32_t rows_max, int32_t layers_max) {
  if (layer_rows_left() != batch_->row_count() || rows_max < batch_->row_count()) {
    advance_layer(rows_max);
    return;
  }
  const LoadedModel& model = *batch_->model();
  const ForwardPass whole = pass(batch_->view());
  const int32_t end = next_layer_ + std::clamp(layers_max, 1, layers_left());
  auto queue_work = [&] {
    for (int32_t layer = next_layer_; layer < end; ++layer) model.def->layer(whole, layer);
  };
  const bool is_queued =
      bucket_.rows > 0 && model.device_step->launch_graph(*device_.stream, bucket_, next_layer_, end, queue_work);
  if (!is_queued) queue_work();
  next_layer_ = end;
  if (next_layer_ == model.def->shape().layer_count) phase_ = Phase::kHead;
}

std::optional<int32_t> Runner::drawn_token(size_t chunk_row) const {
  const LoadedModel& model = *batch_->model();
  if (model.device_step == nullptr) return std::nullopt;
  return draws_.token(*model.device_step, chunk_row);
}

std::span<const float> Runner::logits(size_t chunk_row) const {
  const LoadedModel& model = *batch_->model();
  const Rows logits = model.workspace.logits(model.workspace.logit_row_capacity());
  const float* row =
      model.device_step != nullptr ? model.device_step->logits(chunk_row) : logits.row(static_cast<int64_t>(chunk_row));
  return {row, static_cast<size_t>(logits.cols)};
}

std::span<const float> Runner::logit_maxima(size_t chunk_row) const {
  const LoadedModel& model = *batch_->model();
  if (!model.def->shape().has_logit_maxima || model.device_step != nullptr) return {};
  const Rows maxima = model.workspace.logit_maxima(model.workspace.logit_row_capacity());
  return {maxima.row(static_cast<int64_t>(chunk_row)), static_cast<size_t>(maxima.cols)};
}

void Runner::advance_head(int32_t panels_max) {
  std::array<int32_t, kChunkRowsMax> rows;
  const int32_t row_count = head_row_count();
  if (head_panel_ == 0) {
    chunk_begin_ = chunk_end_;
    chunk_end_ += static_cast<size_t>(row_count);
  }
  for (size_t i = chunk_begin_; i < chunk_end_; ++i) rows[i - chunk_begin_] = logit_rows_[i].row;
  constexpr int32_t kBlockPanels = kernels::kLogitBlock / kernels::kPanelRows;
  const int32_t left = head_panels_left();
  const int32_t whole_blocks = std::max(panels_max / kBlockPanels, 1) * kBlockPanels;
  const int32_t count = panels_max >= left ? left : std::min(left, whole_blocks);
  const LoadedModel& model = *batch_->model();
  const ForwardPass whole = pass(batch_->view());
  const int32_t* row_ids = rows.data();
  if (model.device_step != nullptr) row_ids = model.device_step->stage_rows(*device_.stream, row_ids, row_count);
  model.def->head(whole, row_ids, row_count, {head_panel_, head_panel_ + count});
  head_panel_ += count;
  if (count < left) return;
  head_panel_ = 0;
  chunk_ready_ = true;
  if (model.device_step != nullptr) {
    draws_.queue(*device_.stream, *model.device_step, model.workspace.logits(row_count), chunk());
  }
  if (chunk_end_ == logit_rows_.size()) phase_ = Phase::kIdle;
}

int32_t Runner::head_row_count() const {
  if (head_panel_ != 0) return static_cast<int32_t>(chunk_end_ - chunk_begin_);
  const size_t capacity = std::min(kChunkRowsMax, static_cast<size_t>(batch_->model()->workspace.logit_row_capacity()));
  return static_cast<int32_t>(std::min(capacity, logit_rows_.size() - chunk_end_));
}

int32_t Runner::head_panels_left() const {
  const int32_t words = batch_->model()->def->shape().vocabulary_size;
  return (words + kernels::kPanelRows - 1) / kernels::kPanelRows - head_panel_;
}

void Runner::begin_head() {
  logit_rows_.clear();
  chunk_begin_ = chunk_end_ = 0;
  for (const BatchSequence& entry : batch_->sequences()) collect_logit_rows(entry);
  if (logit_rows_.empty()) phase_ = Phase::kIdle;
}

// Generating sequences need the last row once all their tokens are computed and those of their draft, the first of a
// request for every one that shares its prompt; scored ones need every row but the last.
void Runner::collect_logit_rows(const BatchSequence& entry) {
  Sequence& sequence = *entry.sequence;
  const int32_t end = entry.position_begin + entry.known_count();
  if (sequence.request->parameters.kind == RequestKind::kScore) {
    const int32_t scored = std::min(end, sequence.token_count() - 1) - entry.position_begin;
    for (int32_t i = 0; i < scored; ++i)
      logit_rows_.push_back({entry.row_begin + i, &sequence, entry.position_begin + i});
    return;
  }
  if (end != sequence.token_count() || sequence.request->parameters.kind == RequestKind::kPrefill) return;
  const int32_t last_row = entry.row_begin + entry.known_count() - 1;
  for (int32_t i = 0; i <= entry.draft_count; ++i) logit_rows_.push_back({last_row + i, &sequence, end - 1 + i});
  if (sequence.choice != 0 || sequence.generated > 0) return;
  for (Sequence& other : sequence.request->sequences) {
    if (&other != &sequence && other.computed == end) logit_rows_.push_back({last_row, &other, end - 1});
  }
}

}  // namespace fastserve
