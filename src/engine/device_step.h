// DeviceStep: what a model on a device has for its steps beside weights, KV and activations: the inputs of a step on
// the device and page-locked room to send them from, page-locked logits, and recorded graphs. Engine thread only.
#pragma once
#include <compare>
#include <map>
#include <memory>
#include <tuple>

#include "backend/device_memory.h"
#include "blocks/forward_pass.h"
#include "memory/budget.h"
#include "state/kv_cache.h"

namespace fastserve {

// Graphs serve the sizes that they were recorded for: a step is rounded up to one of these. Its further rows belong to
// no sequence: nobody reads what becomes of them.
struct StepBucket {
  int32_t rows = 0;  // 0: no graph for such a step
  int32_t sequences = 0;
  int32_t sequence_rows = 0;  // bound of sequence_rows_max: 1, or what sequences with drafts have
  int32_t keys = 0;           // bound of key_count_max
  // Only decode steps of few rows are worth it: in others kernels are long.
  static StepBucket of(const BatchView& view, int32_t rows_max, int32_t sequences_max, int32_t context_tokens);
  static constexpr int32_t kRowsMax = 64, kSequenceRowsMax = 8;
  static constexpr int32_t kKeysMin = 512;
  auto operator<=>(const StepBucket&) const = default;
};

class DeviceStep {
 public:
  struct Limits {
    int32_t rows = 0, sequences = 0, groups = 0;
    int32_t context_tokens = 0;
    int64_t logit_rows = 0, logit_stride = 0;
  };
  static constexpr int32_t kGraphsMax = 256;
  static constexpr int32_t kHeadRowsMax = 64;  // of one piece of the head
  static constexpr size_t kBannedMax = 64;

  static Result<std::unique_ptr<DeviceStep>> create(DeviceMemory& device, LimitResource& memory, const Limits& limits);
  // Of the device's memory.
  static uint64_t size_bytes(const Limits& limits);

  StepBucket bucket_of(const BatchView& view) const {
    return StepBucket::of(view, limits_.rows, limits_.sequences, limits_.context_tokens);
  }
  // Sends a step's inputs; the same view with the device's addresses, rounded up to `bucket` where that has rows.
  BatchView stage(DeviceStream& stream, const BatchView& view, int32_t group_count, const StepBucket& bucket);
  // Row numbers for the head; valid until the next stage().
  const int32_t* stage_rows(DeviceStream& stream, const int32_t* rows, int32_t count);

  // Rows [begin, end) of logits on their way to the host, there once the stream was waited for.
  void fetch_logits(DeviceStream& stream, const Rows& logits, size_t begin, size_t end);
  const float* logits(size_t row) const {
    return reinterpret_cast<const float*>(logits_.data()) + static_cast<int64_t>(row) * limits_.logit_stride;
  }
  // Sends what rows of logits are drawn by, at most kHeadRowsMax of them, and the tokens (at most kBannedMax) that
  // those cannot draw which count any.
  void stage_samples(DeviceStream& stream, std::span<const kernels::DeviceSampleRow> rows,
                     std::span<const int32_t> banned);
  // Draws from rows [begin, end) of logits; they are changed.
  void draw(DeviceStream& stream, const Rows& logits, size_t begin, size_t end);
  // What was drawn for the first `count` rows, there once the stream was waited for.
  void fetch_drawn(DeviceStream& stream, size_t count);
  int32_t drawn(size_t row) const { return reinterpret_cast<const int32_t*>(drawn_.data())[row]; }

  // The graph of these layers, recorded by `queue_work` when it is wanted first. False: there is none, and the work is
  // to be queued as it is.
  template <typename F>
  bool launch_graph(DeviceStream& stream, const StepBucket& bucket, int32_t layer_begin, int32_t layer_end,
                    F&& queue_work) {
    const GraphKey key{bucket, layer_begin, layer_end};
    auto found = graphs_.find(key);
    if (found == graphs_.end()) {
      if (graphs_.size() >= kGraphsMax || !stream.begin_capture()) return false;
      queue_work();
      found = graphs_.emplace(key, stream.end_capture()).first;
    }
    if (found->second == nullptr) return false;
    stream.launch_graph(*found->second);
    return true;
  }
  size_t graph_count() const { return graphs_.size(); }
  uint64_t size_bytes() const { return inputs_.size_bytes(); }  // of the device's memory, now

 private:
  using GraphKey = std::tuple<StepBucket, int32_t, int32_t>;
  // Where inputs lie, from the beginning of the device's buffer and of each of the host's slots.
  struct Layout {
    size_t positions = 0, row_ids = 0, samples = 0, banned = 0, drawn = 0, views = 0, tables = 0, total = 0;
  };
  static constexpr int kSlots = 4;
  static Layout layout_of(const Limits& limits, size_t table_entries);
  static size_t table_entries_at_first(const Limits& limits);
  Status make_room(size_t table_entries);
  uint8_t* next_slot(DeviceStream& stream);

  DeviceMemory* device_ = nullptr;
  LimitResource* memory_ = nullptr;
  Limits limits_;
  Layout layout_;
  size_t table_entries_ = 0;
  Buffer inputs_;       // on the device
  PinnedBuffer slots_;  // kSlots times as much
  int slots_used_ = 0;  // since the stream was idle
  PinnedBuffer logits_, drawn_;
  const kernels::KvView* view_pointers_[KvSlice::kGroupsMax] = {};  // of the view that stage() returned last
  std::map<GraphKey, std::shared_ptr<DeviceGraph>> graphs_;         // null: cannot be recorded
};

}  // namespace fastserve
