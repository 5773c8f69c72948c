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
  uint64_t activation_bytes = 0;
};
// kBudgetTooSmall where they do not fit into `available_bytes`.
Result<RuntimePlan> plan_runtime(const ModelShape& shape, bool rounds_input, const EngineOptions& options,
                                 uint64_t available_bytes);

struct MemoryEstimate {
  uint64_t weight_bytes = 0, kv_bytes = 0, activation_bytes = 0, other_bytes = 0;
  uint64_t peak_bytes = 0;  // while loading
};
// Opens the model and builds its tokeniser, to see what it takes; reads no weights.
Result<MemoryEstimate> estimate_memory(const std::shared_ptr<ModelFiles>& files, const std::string& path,
                                       const LoadOptions& load_options, const EngineOptions& options);

}  // namespace fastserve
