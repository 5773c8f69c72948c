#include "engine/device_plan.h"

#include <algorithm>
#include <vector>

namespace fastserve {
namespace {

// Hands out addresses that nobody follows.
class NoMemory final : public MemoryResource {
 public:
  void* allocate(size_t, size_t, MemoryUse) noexcept override { return reinterpret_cast<void*>(uintptr_t{4096}); }
  void deallocate(void*, size_t, size_t, MemoryUse) noexcept override {}
};

}  // namespace

Result<uint64_t> plan_device_scratch(const ModelDef& def, const kernels::DeviceKernels& kernels, const KvLayout& kv,
                                     const DeviceStepSizes& sizes) {
  NoMemory memory;
  DeviceStream stream(kernels);
  Device device;
  device.exact = sizes.exact;
  device.stream = &stream;
  device.product_flags = sizes.product_flags;
  WorkspaceShape shape = def.shape().workspace;
  shape.scratch_bytes = 0;
  FSV_ASSIGN(const Workspace workspace, Workspace::create(memory, shape, sizes.rows_max, sizes.logit_rows));
  FSV_ASSIGN(const KvCache cache, KvCache::create(kv, memory, 0));
  const std::vector<int32_t> ids(static_cast<size_t>(sizes.rows_max));
  const std::vector<kernels::KvView> sequences(static_cast<size_t>(sizes.rows_max));
  const std::vector<const kernels::KvView*> views(static_cast<size_t>(cache.group_count()), sequences.data());
  auto visit = [&](int32_t rows, int32_t sequence_count) {
    ForwardPass pass;
    pass.device = &device;
    pass.workspace = &workspace;
    pass.kv = {cache.layers(), cache.layer_groups()};
    pass.batch = {
        0, ids.data(), ids.data(), rows, sequence_count, views.data(), sizes.context_tokens, rows - sequence_count + 1};
    def.embed(pass);
    for (int32_t layer = 0; layer < def.shape().layer_count; ++layer) def.layer(pass, layer);
    def.head(pass, ids.data(), static_cast<int32_t>(std::min<int64_t>(rows, sizes.logit_rows)));
  };
  // Kernels choose by the number of rows: every power of two, and the most, alone and in as many sequences.
  for (int32_t rows = 1;; rows = std::min(2 * rows, sizes.rows_max)) {
    visit(rows, 1);
    visit(rows, std::min(rows, sizes.sequences_max));
    if (rows == sizes.rows_max) break;
  }
  FSV_TRY(stream.wait());
  return stream.scratch_bytes_max();
}

}  // namespace fastserve
