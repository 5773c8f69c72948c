// Lossless packing of file-format rows into the panel layouts of kernel_api.h. Pure functions over caller's memory.
#pragma once
#include <cstdint>

#include "base/status.h"
#include "kernels/kernel_api.h"
#include "tensor/dtype.h"

namespace fastserve {

using kernels::PackedLayout;
using kernels::PackedMatrix;

// The packed layout that serves a source type, kNone if none does.
PackedLayout packed_layout_for(DType type);
const char* packed_layout_name(PackedLayout layout);
int64_t packed_panel_bytes(PackedLayout layout, int64_t cols);
inline int64_t packed_panel_count(int64_t rows) { return (rows + kernels::kPanelRows - 1) / kernels::kPanelRows; }
inline int64_t packed_bytes(PackedLayout layout, int64_t rows, int64_t cols) {
  return packed_panel_count(rows) * packed_panel_bytes(layout, cols);
}
// kUnsupported / kInvalidArgument when a shape does not fit the type (cols not a multiple of its block).
Status check_packable(DType type, int64_t rows, int64_t cols);

// Packs one panel: rows [16p, 16p+16) of the matrix. `source` points at row 16p in file format; row_count (1..16)
// rows are real, the rest becomes zero. destination: packed_panel_bytes, 64-byte aligned.
void pack_panel(DType type, const void* source, int64_t row_count, int64_t cols, void* destination);

}  // namespace fastserve
