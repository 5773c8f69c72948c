// Batch: the rows of one step, sequence after sequence, and where they find their keys and values. Engine thread only;
// all capacity is taken at creation.
#pragma once
#include <cstdint>
#include <vector>

#include "blocks/forward_pass.h"
#include "engine/request.h"

namespace fastserve {

struct BatchSequence {
  Sequence* sequence = nullptr;
  int32_t row_begin = 0;
  int32_t row_count = 0;
  int32_t position_begin = 0;
  int32_t draft_count = 0;  // of the rows, the last ones
  int32_t known_count() const { return row_count - draft_count; }
};

// A row whose logits are wanted.
struct LogitRow {
  int32_t row = 0;
  Sequence* sequence = nullptr;
  int32_t position = 0;  // of the row's token
};

class Batch {
 public:
  static constexpr int32_t kKvGroupsMax = KvSlice::kGroupsMax;

  void reserve(int32_t row_capacity, int32_t sequence_capacity);
  void begin(LoadedModel& model);
  // The next `token_count` uncomputed tokens of a sequence, and its draft, whose KV slots are reserved.
  void add(Sequence& sequence, int32_t token_count);
  // After the last add().
  void seal() { rebuild_views(); }
  // Takes a sequence out between layers: later rows move up, in the model's workspace too.
  void remove(const Device& device, int32_t sequence_index);
  // Forgets everything, so that nothing ended can be reached.
  void clear();

  LoadedModel* model() const { return model_; }
  // Another one whenever the rows are others.
  uint64_t version() const { return version_; }
  int32_t row_count() const { return row_count_; }
  const std::vector<BatchSequence>& sequences() const { return sequences_; }
  int32_t group_count() const;
  BatchView view() const;
  // Some of the rows; valid until the next call.
  BatchView view(int32_t row_begin, int32_t row_count);

 private:
  void rebuild_views();
  static void bound(BatchView& view);

  LoadedModel* model_ = nullptr;
  int32_t row_count_ = 0;
  uint64_t version_ = 0;
  std::vector<BatchSequence> sequences_;
  std::vector<int32_t> token_ids_, positions_;
  std::vector<kernels::KvView> views_[kKvGroupsMax], some_views_[kKvGroupsMax];
  const kernels::KvView *view_pointers_[kKvGroupsMax] = {}, *some_view_pointers_[kKvGroupsMax] = {};
};

}  // namespace fastserve
