// Workspace: the activations of one step, carved once from one buffer. A model says how wide, the engine how many rows.
#pragma once
#include <cstdint>

#include "kernels/device_kernels.h"
#include "memory/memory_resource.h"
#include "ops/matmul.h"
#include "tensor/weight.h"

namespace fastserve {

// Widths in floats; rows come from the engine's limits.
struct WorkspaceShape {
  int64_t hidden = 0;
  int64_t qkv = 0;            // q, k and v side by side
  int64_t attention_out = 0;  // heads x value_dim
  int64_t gate_up = 0;        // gate and up side by side
  int64_t input_max = 0;      // widest matmul input
  int64_t vocabulary = 0;
  int64_t rope_pairs = 0;      // of one set of angles
  int64_t rope_set_count = 1;  // distinct inv_freq
  int64_t expert_count = 0;    // of routed feed-forward blocks
  int64_t experts_used = 0;    // of each row
  bool rounds_input = true;    // matmul inputs are wanted in bf16 too
  // Of a device: it prepares inputs itself, in scratch of this size. Negative: computed by the CPU.
  int64_t scratch_bytes = -1;
};

// Room for routing rows to experts.
struct MoeScratch {
  float* normed = nullptr;       // [rows][hidden]
  float* gathered = nullptr;     // [rows][hidden]
  float* logits = nullptr;       // [rows][expert_count]
  int32_t* chosen = nullptr;     // [rows][experts_used]
  float* weights = nullptr;      // [rows][experts_used]
  int32_t* rows = nullptr;       // [rows]
  float* row_weights = nullptr;  // [rows]
};

class Workspace {
 public:
  static constexpr int kRopeSetsMax = 2;

  static Result<Workspace> create(MemoryResource& resource, const WorkspaceShape& shape, int64_t row_capacity,
                                  int64_t logit_row_capacity);
  // Bytes that create() would take.
  static uint64_t size_bytes(const WorkspaceShape& shape, int64_t row_capacity, int64_t logit_row_capacity);

  int64_t row_capacity() const { return row_capacity_; }
  int64_t logit_row_capacity() const { return logit_row_capacity_; }

  // What layers pass on: `count` rows of the current step from row `begin` on, and the angles of their positions.
  Rows hidden(int64_t count, int64_t begin = 0) const {
    return {hidden_ + begin * shape_.hidden, shape_.hidden, count, shape_.hidden};
  }
  float* cosines(int set, int64_t begin = 0) const { return cosines_[set] + begin * shape_.rope_pairs; }
  float* sines(int set, int64_t begin = 0) const { return sines_[set] + begin * shape_.rope_pairs; }
  // What a layer needs while it runs: room for `count` rows.
  Rows qkv(int64_t count) const { return {qkv_, shape_.qkv, count, shape_.qkv}; }
  Rows attention_out(int64_t count) const {
    return {attention_out_, shape_.attention_out, count, shape_.attention_out};
  }
  Rows gate_up(int64_t count) const { return {gate_up_, shape_.gate_up, count, shape_.gate_up}; }
  // Between layers, rows [begin, begin + count) of `total` leave the step: what layers pass on, the hidden rows and
  // the angles of rotary positions, moves up behind them.
  void remove_rows(const Device& device, int64_t begin, int64_t count, int64_t total) const;
  Rows residual(int64_t count) const { return {residual_, shape_.hidden, count, shape_.hidden}; }
  Rows selected(int64_t count) const { return {selected_, shape_.hidden, count, shape_.hidden}; }
  Rows logits(int64_t count) const { return {logits_, logit_stride(), count, shape_.vocabulary}; }
  int64_t logit_stride() const { return (shape_.vocabulary + 15) / 16 * 16; }  // rows begin where devices want them
  // The largest logit of each kernels::kLogitBlock, for families whose head fills them in.
  Rows logit_maxima(int64_t count) const { return {logit_maxima_, logit_blocks(shape_), count, logit_blocks(shape_)}; }
  const ops::InputScratch& input() const { return input_; }
  kernels::DeviceScratch device_scratch() const { return {scratch_, static_cast<uint64_t>(shape_.scratch_bytes)}; }
  const MoeScratch& moe() const { return moe_; }
  Buffer& buffer() { return buffer_; }  // all of them

 private:
  static int64_t logit_blocks(const WorkspaceShape& shape) {
    return (shape.vocabulary + kernels::kLogitBlock - 1) / kernels::kLogitBlock;
  }
  template <typename Place>
  static void carve_input(Workspace& workspace, const WorkspaceShape& shape, int64_t input_rows, Place&& place);
  template <typename Place>
  static void carve(Workspace& workspace, const WorkspaceShape& shape, Place&& place);

  WorkspaceShape shape_;
  int64_t row_capacity_ = 0, logit_row_capacity_ = 0;
  Buffer buffer_;
  float *hidden_ = nullptr, *qkv_ = nullptr, *attention_out_ = nullptr, *gate_up_ = nullptr, *residual_ = nullptr;
  float *selected_ = nullptr, *logits_ = nullptr, *logit_maxima_ = nullptr;
  float *cosines_[kRopeSetsMax] = {}, *sines_[kRopeSetsMax] = {};
  ops::InputScratch input_;
  MoeScratch moe_;
  uint8_t* scratch_ = nullptr;
};

}  // namespace fastserve
