// The byte shape of each PackedLayout of kernel_api.h as one table, for packing and for every reader of panels.
#pragma once
#include "kernels/kernel_api.h"

namespace fastserve::kernels {

// A quantised panel: header, then groups of `group_blocks` K-blocks (the last group may be part full, padded with
// zeros). A group holds its scales first, then each K-block's quants: low bits, then high bits.
struct LayoutShape {
  int group_blocks;   // K-blocks of 32 in a group; 0: a float layout
  int group_bytes;    // a multiple of 64
  int quants_offset;  // of the first K-block's quants in the group
  int low_bits;       // 8: bytes, 4: nibbles, 2: pairs
  int high_bits;      // 0, 1 or 2 more above them
  int block_bytes;    // quants of one K-block
  int scale_parts;    // 1: a scale for 32 values, 2: one for 16
  bool has_min;
  int offset;  // value = scale * (q - offset) (+ min)
  int header_bytes;
};

static constexpr LayoutShape layout_shape(PackedLayout layout) {
  switch (layout) {
    case PackedLayout::kQ8:
      return {2, 64 + 2 * 512, 64, 8, 0, 512, 1, false, 128, 0};
    case PackedLayout::kQ4:
      return {2, 64 + 2 * 256, 64, 4, 0, 256, 1, false, 8, 0};
    case PackedLayout::kQ4Min:
      return {1, 64 + 256, 64, 4, 0, 256, 1, true, 0, 0};
    case PackedLayout::kQ5:
      return {2, 64 + 2 * 320, 64, 4, 1, 320, 1, false, 16, 0};
    case PackedLayout::kQ5Min:
      return {1, 64 + 320, 64, 4, 1, 320, 1, true, 0, 0};
    case PackedLayout::kQ4K:
      return {8, 64 + 256 + 8 * 256, 64 + 256, 4, 0, 256, 1, true, 0, 0};
    case PackedLayout::kQ5K:
      return {8, 64 + 256 + 8 * 320, 64 + 256, 4, 1, 320, 1, true, 0, 0};
    case PackedLayout::kQ6K:
      return {8, 64 + 256 + 8 * 384, 64 + 256, 4, 2, 384, 2, false, 32, 0};
    case PackedLayout::kQ3K:
      return {8, 64 + 256 + 8 * 192, 64 + 256, 2, 1, 192, 2, false, 4, 0};
    case PackedLayout::kQ2K:
      return {8, 64 + 256 + 8 * 128, 64 + 256, 2, 0, 128, 2, true, 0, 0};
    case PackedLayout::kQ4Table:
      return {1, 64 + 256, 64, 4, 0, 256, 1, false, 128, 64};
    default:
      return {};
  }
}

static constexpr int64_t layout_panel_bytes(PackedLayout layout, int64_t cols) {
  switch (layout) {
    case PackedLayout::kF32:
      return cols * kPanelRows * 4;
    case PackedLayout::kF16:
    case PackedLayout::kBF16:
      return (cols + 1) / 2 * kPanelRows * 4;
    default:
      break;
  }
  const LayoutShape shape = layout_shape(layout);
  if (shape.group_blocks == 0) return 0;
  const int64_t group_cols = int64_t{shape.group_blocks} * kActivationBlock;
  return shape.header_bytes + (cols + group_cols - 1) / group_cols * shape.group_bytes;
}

}  // namespace fastserve::kernels
