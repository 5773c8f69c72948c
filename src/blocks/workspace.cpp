// Workspace: one pass over the list of buffers computes the size, a second one places them.
#include "blocks/workspace.h"

#include <algorithm>

#include "ops/elementwise.h"

namespace fastserve {
namespace {

constexpr uint64_t kAlignment = 64;
constexpr int64_t kDeviceAlignment = 256;  // of scratch
uint64_t aligned(uint64_t size_bytes) { return (size_bytes + kAlignment - 1) / kAlignment * kAlignment; }

}  // namespace

template <typename Place>
void Workspace::carve_input(Workspace& w, const WorkspaceShape& shape, int64_t input_rows, Place&& place) {
  const int64_t blocks = (shape.input_max + kernels::kActivationBlock - 1) / kernels::kActivationBlock;
  place(w.input_.floats, input_rows * shape.input_max);
  place(w.input_.values, input_rows * blocks * kernels::kActivationBlock);
  place(w.input_.scales, input_rows * blocks);
  place(w.input_.sums, input_rows * blocks);
  const int64_t tiled_rows = (input_rows + 15) / 16 * 16;
  place(w.input_.tile_scales, tiled_rows * blocks);
  place(w.input_.tile_sums, tiled_rows * blocks);
  if (shape.rounds_input) place(w.input_.rounded, input_rows * ops::bf16_stride(shape.input_max));
}

template <typename Place>
void Workspace::carve(Workspace& w, const WorkspaceShape& shape, Place&& place) {
  const int64_t rows = w.row_capacity_, logit_rows = w.logit_row_capacity_;
  place(w.hidden_, rows * shape.hidden);
  place(w.qkv_, rows * shape.qkv);
  place(w.attention_out_, rows * shape.attention_out);
  place(w.gate_up_, rows * shape.gate_up);
  place(w.residual_, rows * shape.hidden);
  place(w.selected_, logit_rows * shape.hidden);
  place(w.logits_, logit_rows * w.logit_stride());
  place(w.logit_maxima_, logit_rows * logit_blocks(shape));
  const int64_t input_rows = std::max(rows, logit_rows);
  if (shape.scratch_bytes < 0) {
    carve_input(w, shape, input_rows, place);
  } else {
    place(w.scratch_, shape.scratch_bytes + kDeviceAlignment);
  }
  if (shape.expert_count > 0) {
    place(w.moe_.normed, rows * shape.hidden);
    place(w.moe_.gathered, rows * shape.hidden);
    place(w.moe_.logits, rows * shape.expert_count);
    place(w.moe_.chosen, rows * shape.experts_used);
    place(w.moe_.weights, rows * shape.experts_used);
    place(w.moe_.rows, rows);
    place(w.moe_.row_weights, rows);
  }
  for (int64_t set = 0; set < shape.rope_set_count; ++set) {
    place(w.cosines_[set], rows * shape.rope_pairs);
    place(w.sines_[set], rows * shape.rope_pairs);
  }
}

uint64_t Workspace::size_bytes(const WorkspaceShape& shape, int64_t row_capacity, int64_t logit_row_capacity) {
  Workspace sizing;
  sizing.shape_ = shape;
  sizing.row_capacity_ = row_capacity;
  sizing.logit_row_capacity_ = logit_row_capacity;
  uint64_t total = 0;
  carve(sizing, shape,
        [&]<typename T>(T*&, int64_t count) { total += aligned(static_cast<uint64_t>(count) * sizeof(T)); });
  return total;
}

Result<Workspace> Workspace::create(MemoryResource& resource, const WorkspaceShape& shape, int64_t row_capacity,
                                    int64_t logit_row_capacity) {
  Workspace workspace;
  workspace.shape_ = shape;
  workspace.row_capacity_ = row_capacity;
  workspace.logit_row_capacity_ = logit_row_capacity;
  const uint64_t total = size_bytes(shape, row_capacity, logit_row_capacity);
  FSV_ASSIGN(workspace.buffer_, Buffer::allocate(resource, total, MemoryUse::kActivations));
  uint8_t* next = workspace.buffer_.data();
  carve(workspace, shape, [&]<typename T>(T*& pointer, int64_t count) {
    pointer = reinterpret_cast<T*>(next);
    next += aligned(static_cast<uint64_t>(count) * sizeof(T));
  });
  const auto misplaced = reinterpret_cast<uintptr_t>(workspace.scratch_) % kDeviceAlignment;
  if (misplaced != 0) workspace.scratch_ += kDeviceAlignment - misplaced;
  return workspace;
}

void Workspace::remove_rows(const Device& device, int64_t begin, int64_t count, int64_t total) const {
  ops::remove_rows(device, hidden(total), begin, count);
  for (int set = 0; set < static_cast<int>(shape_.rope_set_count); ++set) {
    ops::remove_rows(device, {cosines(set), shape_.rope_pairs, total, shape_.rope_pairs}, begin, count);
    ops::remove_rows(device, {sines(set), shape_.rope_pairs, total, shape_.rope_pairs}, begin, count);
  }
}

}  // namespace fastserve
