// Batch assembly, and removal between layers.
#include "engine/batch.h"

#include <algorithm>
#include <cstring>

namespace fastserve {

void Batch::reserve(int32_t row_capacity, int32_t sequence_capacity) {
  token_ids_.resize(static_cast<size_t>(row_capacity));
  positions_.resize(static_cast<size_t>(row_capacity));
  sequences_.reserve(static_cast<size_t>(sequence_capacity));
  for (auto& views : views_) views.reserve(static_cast<size_t>(sequence_capacity));
  for (auto& views : some_views_) views.reserve(static_cast<size_t>(sequence_capacity));
}

void Batch::begin(LoadedModel& model) {
  model_ = &model;
  row_count_ = 0;
  sequences_.clear();
}

void Batch::add(Sequence& sequence, int32_t token_count) {
  const auto draft_count = static_cast<int32_t>(sequence.draft.size());
  const int32_t row_count = token_count + draft_count;
  sequences_.push_back({&sequence, row_count_, row_count, sequence.computed, draft_count});
  for (int32_t i = 0; i < row_count; ++i) {
    const auto row = static_cast<size_t>(row_count_ + i);
    token_ids_[row] = i < token_count ? sequence.tokens[static_cast<size_t>(sequence.computed + i)]
                                      : sequence.draft[static_cast<size_t>(i - token_count)];
    positions_[row] = sequence.computed + i;
  }
  row_count_ += row_count;
}

void Batch::clear() {
  model_ = nullptr;
  row_count_ = 0;
  sequences_.clear();
}

void Batch::remove(const Device& device, int32_t sequence_index) {
  const BatchSequence removed = sequences_[static_cast<size_t>(sequence_index)];
  const int32_t tail_begin = removed.row_begin + removed.row_count;
  const auto tail_count = static_cast<size_t>(row_count_ - tail_begin);
  if (tail_count > 0) {
    auto move_up = [&](int32_t* data) {
      std::memmove(data + removed.row_begin, data + tail_begin, tail_count * sizeof(*data));
    };
    move_up(token_ids_.data());
    move_up(positions_.data());
    model_->workspace.remove_rows(device, removed.row_begin, removed.row_count, row_count_);
  }
  sequences_.erase(sequences_.begin() + sequence_index);
  row_count_ -= removed.row_count;
  for (BatchSequence& sequence : sequences_) {
    if (sequence.row_begin > removed.row_begin) sequence.row_begin -= removed.row_count;
  }
  rebuild_views();
}

int32_t Batch::group_count() const { return std::min(model_->kv.group_count(), kKvGroupsMax); }

void Batch::rebuild_views() {
  ++version_;
  for (int32_t group = 0; group < group_count(); ++group) {
    auto& views = views_[group];
    views.clear();
    for (const BatchSequence& entry : sequences_) {
      const SequenceKv::Group& held = entry.sequence->kv.groups[static_cast<size_t>(group)];
      views.push_back({held.addresses.data(), entry.row_begin, entry.row_count, entry.position_begin});
    }
    view_pointers_[group] = views.data();
  }
}

// All groups describe the same rows.
void Batch::bound(BatchView& view) {
  for (int32_t s = 0; s < view.sequence_count; ++s) {
    const kernels::KvView& sequence = view.views[0][s];
    view.key_count_max = std::max(view.key_count_max, sequence.position_begin + sequence.row_count);
    view.sequence_rows_max = std::max(view.sequence_rows_max, sequence.row_count);
  }
}

BatchView Batch::view() const {
  BatchView view;
  view.token_ids = token_ids_.data();
  view.positions = positions_.data();
  view.row_count = row_count_;
  view.sequence_count = static_cast<int32_t>(sequences_.size());
  view.views = view_pointers_;
  bound(view);
  return view;
}

BatchView Batch::view(int32_t row_begin, int32_t row_count) {
  BatchView view;
  view.row_begin = row_begin;
  view.token_ids = token_ids_.data() + row_begin;
  view.positions = positions_.data() + row_begin;
  view.row_count = row_count;
  view.views = some_view_pointers_;
  for (int32_t group = 0; group < group_count(); ++group) {
    std::vector<kernels::KvView>& views = some_views_[group];
    views.clear();
    for (const kernels::KvView& whole : views_[group]) {
      if (const kernels::KvView some = rows_of(whole, row_begin, row_count); some.row_count > 0) {
        views.push_back(some);
      }
    }
    some_view_pointers_[group] = views.data();
    view.sequence_count = static_cast<int32_t>(views.size());
  }
  bound(view);
  return view;
}

}  // namespace fastserve
