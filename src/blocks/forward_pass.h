// ForwardPass: all that a block needs to compute one step of a batch. Assembled by the runner, borrowed by blocks.
#pragma once
#include <cstdint>

#include "backend/device.h"
#include "blocks/workspace.h"
#include "kernels/kernel_api.h"

namespace fastserve {

// Rows of all sequences, one sequence after the other.
struct BatchView {
  const int32_t* token_ids = nullptr;  // [row_count]
  const int32_t* positions = nullptr;  // [row_count]
  int32_t row_count = 0;
  int32_t sequence_count = 0;
  // Paged KV of the sequences: views[group][sequence]; all groups describe the same rows.
  const kernels::KvView* const* views = nullptr;
};

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

  const kernels::KvView* layer_views(int32_t layer) const { return batch.views[kv.layer_group[layer]]; }
};

}  // namespace fastserve
