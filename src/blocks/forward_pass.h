// ForwardPass: all that a block needs to compute one step of a batch. Assembled by the runner, borrowed by blocks.
#pragma once
#include <algorithm>
#include <cstdint>

#include "backend/device.h"
#include "blocks/workspace.h"
#include "kernels/kernel_api.h"
#include "ops/attention.h"

namespace fastserve {

// Rows of all sequences, one sequence after the other; or some of these rows, from `row_begin` on: rows depend on none
// that come after them, so a layer may be computed for some rows after the other. On a device everything pointed to is
// its memory, but for `views` itself.
struct BatchView {
  int32_t row_begin = 0;
  const int32_t* token_ids = nullptr;  // [row_count]
  const int32_t* positions = nullptr;  // [row_count]
  int32_t row_count = 0;
  int32_t sequence_count = 0;
  // Paged KV of the sequences: views[group][sequence]; all groups describe the same rows.
  const kernels::KvView* const* views = nullptr;
  int32_t key_count_max = 0;  // as in ops::KvViews
  int32_t sequence_rows_max = 0;
};

// What of a sequence lies in rows [row_begin, row_begin + row_count) of its batch, numbered from there on; maybe
// nothing.
inline kernels::KvView rows_of(const kernels::KvView& view, int32_t row_begin, int32_t row_count) {
  const int32_t begin = std::max(view.row_begin, row_begin);
  const int32_t end = std::min(view.row_begin + view.row_count, row_begin + row_count);
  return {view.blocks, begin - row_begin, std::max(end - begin, 0), view.position_begin + (begin - view.row_begin)};
}

// Where a model's layers find their keys and values.
struct KvBinding {
  const kernels::KvLayer* layers = nullptr;  // [layer]
  const int32_t* layer_group = nullptr;      // [layer]
};

struct ForwardPass {
  const Device* device = nullptr;
  const Workspace* workspace = nullptr;
  KvBinding kv;
  BatchView batch;

  ops::KvViews layer_views(int32_t layer) const {
    return {batch.views[kv.layer_group[layer]], batch.sequence_count, batch.key_count_max, batch.sequence_rows_max};
  }
  // What layers pass on of these rows.
  Rows hidden() const { return workspace->hidden(batch.row_count, batch.row_begin); }
  const float* cosines(int set) const { return workspace->cosines(set, batch.row_begin); }
  const float* sines(int set) const { return workspace->sines(set, batch.row_begin); }
};

}  // namespace fastserve
