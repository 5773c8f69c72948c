// How much memory a model takes in an engine: asked before a load (estimates) and by the load itself, so that the two
// agree.
#pragma once
#include <vector>

#include "engine/loaded_model.h"
#include "engine/options.h"
#include "formats/model_source.h"
#include "models/model_def.h"

namespace fastserve {

// In memory, packed and aligned.
uint64_t loaded_bytes(const TensorSpec& spec, const TensorInfo& tensor);
uint64_t weight_bytes(const std::vector<TensorSpec>& specs, const ModelSource& source);

// Loading reads and packs runs of panels of about a mebibyte: they keep workers busy, progress smooth, cancels prompt.
// Smaller ones in pumped mode, where each is to fit a grant.
int64_t panels_in_chunk(const TensorSpec& spec, const TensorInfo& tensor, EngineMode mode);
// The most that all workers together read at once.
uint64_t read_bytes_max(const std::vector<TensorSpec>& specs, const ModelSource& source, const EngineOptions& options);

// The most that a worker packs at once, for a device.
size_t packed_piece_bytes_max(const std::vector<TensorSpec>& specs, const ModelSource& source,
                              const EngineOptions& options);
// Workers of a load.
uint32_t load_worker_count(const EngineOptions& options);
// Gives every weight its address from `base` on (device memory, for a model on a device; `host_base` then has the
// vectors that stay), its layout and shape; then def.bind().
void place_weights(ModelDef& def, const std::vector<TensorSpec>& specs, const ModelSource& source, uint8_t* base,
                   uint8_t* host_base);
// Of vectors that stay in the host's memory though a device computes.
uint64_t host_weight_bytes(const std::vector<TensorSpec>& specs, const ModelSource& source);

// Whether kernels of this table compute any of the weights from activations rounded to bf16.
bool rounds_input(const std::vector<TensorSpec>& specs, const ModelSource& source, const kernels::KernelTable& kernels,
                  const EngineOptions& options);

// KV and activations of a model in an engine.
struct RuntimePlan {
  static constexpr int64_t kLogitRows = 32;
  int32_t context_tokens = 0;
  KvLayout kv_layout;
  KvCapacity kv;
  uint64_t kv_bytes = 0;  // from the beginning
  WorkspaceShape workspace;
  DeviceStep::Limits device_step;
  uint64_t activation_bytes = 0;
  uint32_t sampling_parts = 0;  // of the executor
  uint64_t sampling_bytes = 0;  // of all of them
};
// kBudgetTooSmall where they do not fit into `available_bytes`; with a device kUnsupported where it lacks a kernel.
Result<RuntimePlan> plan_runtime(const ModelDef& def, bool rounds_input, const EngineOptions& options,
                                 uint64_t available_bytes);

// Activations, and KV for one context: what a load wants to find, if others can do without.
uint64_t runtime_bytes_wanted(const ModelDef& def, bool rounds_input, const EngineOptions& options, bool with_kv);

struct MemoryEstimate {
  uint64_t weight_bytes = 0, kv_bytes = 0, activation_bytes = 0, other_bytes = 0;
  uint64_t peak_bytes = 0;  // while loading
};
// Opens the model and builds its tokeniser, to see what it takes; reads no weights.
Result<MemoryEstimate> estimate_memory(const std::shared_ptr<ModelFiles>& files, const std::string& path,
                                       const LoadOptions& load_options, const EngineOptions& options);

}  // namespace fastserve
