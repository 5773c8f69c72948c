// Sizes of weights, KV and activations.
#include "engine/model_sizing.h"

#include <algorithm>

#include "base/format.h"
#include "base/heap.h"
#include "engine/device_plan.h"
#include "engine/model_facts.h"
#include "engine/model_text.h"
#include "engine/weight_upload.h"
#include "formats/quantizing_source.h"
#include "tensor/packing.h"

namespace fastserve {
namespace {

constexpr uint64_t kWeightAlignment = 64;
constexpr uint64_t kKvDefaultBytes = uint64_t{1} << 30;
// By which KV pools give memory back. Larger ones than two huge pages ask for such; in pumped mode moving what is in
// one is to take no longer than other pieces.
constexpr int64_t kSegmentBytes = int64_t{16} << 20, kPumpedSegmentBytes = int64_t{4} << 20;

uint64_t aligned(uint64_t size_bytes) {
  return (size_bytes + kWeightAlignment - 1) / kWeightAlignment * kWeightAlignment;
}

int64_t panel_source_bytes(const TensorSpec& spec, const TensorInfo& tensor) {
  return row_bytes(static_cast<DType>(tensor.type), spec.cols) * kernels::kPanelRows;
}

// As Engine::create makes it.
uint32_t executor_width(const EngineOptions& options) {
  return options.executor != nullptr ? options.executor->width() : load_worker_count(options);
}

// Page-locked buffers between workers and a device.
uint64_t upload_bytes(const std::vector<TensorSpec>& specs, const ModelSource& source, const EngineOptions& options) {
  if (options.device == nullptr) return 0;
  return WeightUpload::buffer_bytes(packed_piece_bytes_max(specs, source, options), load_worker_count(options));
}

// What steps on a device take beside the CPU's activations.
Status plan_device_step(const ModelDef& def, const EngineOptions& options, RuntimePlan& plan) {
  const auto rows = static_cast<int32_t>(options.max_batch_tokens);
  const auto sequences = static_cast<int32_t>(std::min(options.max_sequences, options.max_batch_tokens));
  const DeviceStepSizes sizes{rows,
                              sequences,
                              RuntimePlan::kLogitRows,
                              plan.context_tokens,
                              options.reference_kernels,
                              options.device->product_flags()};
  FSV_ASSIGN(const uint64_t scratch_bytes, plan_device_scratch(def, options.device->kernels(), plan.kv_layout, sizes));
  plan.workspace.scratch_bytes = static_cast<int64_t>(scratch_bytes);
  plan.device_step.rows = rows;
  plan.device_step.sequences = sequences;
  plan.device_step.groups = KvSlice::kGroupsMax;
  plan.device_step.context_tokens = plan.context_tokens;
  plan.device_step.logit_rows = RuntimePlan::kLogitRows;
  plan.device_step.logit_stride = (plan.workspace.vocabulary + 15) / 16 * 16;
  return {};
}

}  // namespace

uint64_t loaded_bytes(const TensorSpec& spec, const TensorInfo& tensor) {
  if (spec.role == TensorRole::kVector) return aligned(static_cast<uint64_t>(spec.rows) * sizeof(float));
  const PackedLayout layout = packed_layout_for(static_cast<DType>(tensor.type));
  return aligned(static_cast<uint64_t>(packed_bytes(layout, spec.rows, spec.cols) * spec.stack));
}

uint64_t weight_bytes(const std::vector<TensorSpec>& specs, const ModelSource& source) {
  uint64_t total = 0;
  for (const TensorSpec& spec : specs) {
    const TensorInfo* tensor = source.find_tensor(spec.name);
    if (tensor != nullptr) total += loaded_bytes(spec, *tensor);
  }
  return total;
}

int64_t panels_in_chunk(const TensorSpec& spec, const TensorInfo& tensor, EngineMode mode) {
  const int64_t chunk_bytes = mode == EngineMode::kPumped ? int64_t{1} << 17 : int64_t{1} << 20;
  return std::max<int64_t>(1, chunk_bytes / std::max<int64_t>(panel_source_bytes(spec, tensor), 1));
}

uint64_t read_bytes_max(const std::vector<TensorSpec>& specs, const ModelSource& source, const EngineOptions& options) {
  uint64_t largest = 0;
  for (const TensorSpec& spec : specs) {
    const TensorInfo* tensor = source.find_tensor(spec.name);
    if (tensor == nullptr) continue;
    uint64_t read = tensor->size_bytes;
    if (spec.role == TensorRole::kMatrix) {
      const int64_t chunk = panels_in_chunk(spec, *tensor, options.mode) * panel_source_bytes(spec, *tensor);
      read = std::min(read, static_cast<uint64_t>(chunk));
    }
    largest = std::max(largest, read);
  }
  return largest * load_worker_count(options) + upload_bytes(specs, source, options);
}

uint32_t load_worker_count(const EngineOptions& options) {
  return options.mode == EngineMode::kPumped ? 1 : std::max<uint32_t>(options.thread_count, 1);
}

size_t packed_piece_bytes_max(const std::vector<TensorSpec>& specs, const ModelSource& source,
                              const EngineOptions& options) {
  int64_t largest = 0;
  for (const TensorSpec& spec : specs) {
    const TensorInfo* tensor = spec.role == TensorRole::kMatrix ? source.find_tensor(spec.name) : nullptr;
    if (tensor == nullptr) continue;
    const int64_t panels = std::min(panels_in_chunk(spec, *tensor, options.mode), packed_panel_count(spec.rows));
    const PackedLayout layout = packed_layout_for(static_cast<DType>(tensor->type));
    largest = std::max(largest, panels * packed_panel_bytes(layout, spec.cols));
  }
  return static_cast<size_t>(largest);
}

uint64_t host_weight_bytes(const std::vector<TensorSpec>& specs, const ModelSource& source) {
  uint64_t total = 0;
  for (const TensorSpec& spec : specs) {
    const TensorInfo* tensor = spec.on_host ? source.find_tensor(spec.name) : nullptr;
    if (tensor != nullptr) total += loaded_bytes(spec, *tensor);
  }
  return total;
}

void place_weights(ModelDef& def, const std::vector<TensorSpec>& specs, const ModelSource& source, uint8_t* base,
                   uint8_t* host_base) {
  for (const TensorSpec& spec : specs) {
    const TensorInfo* tensor = source.find_tensor(spec.name);
    if (tensor == nullptr) continue;
    uint8_t*& next = spec.on_host && host_base != nullptr ? host_base : base;
    Weight& weight = *spec.weight;
    weight.rows = spec.rows;
    weight.cols = spec.cols;
    if (spec.role == TensorRole::kVector) {
      weight.vector = reinterpret_cast<const float*>(next);
    } else {
      const PackedLayout layout = packed_layout_for(static_cast<DType>(tensor->type));
      weight.matrix = {next, layout, 0, spec.rows, spec.cols, packed_panel_bytes(layout, spec.cols)};
    }
    next += loaded_bytes(spec, *tensor);
  }
  def.bind();
}

bool rounds_input(const std::vector<TensorSpec>& specs, const ModelSource& source, const kernels::KernelTable& kernels,
                  const EngineOptions& options) {
  if (kernels.matmul_bf16 == nullptr || options.reference_kernels) return false;
  return std::any_of(specs.begin(), specs.end(), [&](const TensorSpec& spec) {
    const TensorInfo* tensor = spec.role == TensorRole::kMatrix ? source.find_tensor(spec.name) : nullptr;
    return tensor != nullptr && packed_layout_for(static_cast<DType>(tensor->type)) == kernels::PackedLayout::kBF16;
  });
}

Result<RuntimePlan> plan_runtime(const ModelDef& def, bool rounds_input, const EngineOptions& options,
                                 uint64_t available_bytes) {
  const ModelShape& shape = def.shape();
  RuntimePlan plan;
  plan.workspace = shape.workspace;
  plan.workspace.rounds_input = rounds_input;
  const uint32_t wanted = options.context_tokens;
  plan.context_tokens = wanted != 0
                            ? static_cast<int32_t>(std::min<uint32_t>(wanted, 1U << 24))
                            : std::min(shape.context_tokens, static_cast<int32_t>(EngineOptions::kContextDefaultMax));
  if (shape.context_is_hard) plan.context_tokens = std::min(plan.context_tokens, shape.context_tokens);
  plan.kv_layout = {shape.kv_layers, options.kv_type};
  if (options.device != nullptr) FSV_TRY(plan_device_step(def, options, plan));
  const auto token_bytes = static_cast<uint64_t>(std::max<int64_t>(kv_token_bytes(plan.kv_layout), 1));
  // In whole blocks, so that every sequence has room for a full context.
  const auto context = (static_cast<uint64_t>(plan.context_tokens) + kernels::kKvBlockTokens - 1) /
                       kernels::kKvBlockTokens * kernels::kKvBlockTokens;
  uint64_t kv_bytes = options.kv_bytes;
  if (kv_bytes == 0) {
    kv_bytes = std::clamp(context * options.max_sequences * token_bytes, context * token_bytes,
                          std::max(kKvDefaultBytes, context * token_bytes));
  }
  constexpr uint64_t kBlockTokens = kernels::kKvBlockTokens;
  auto whole_blocks = [&](uint64_t bytes) { return bytes / token_bytes / kBlockTokens * kBlockTokens; };
  plan.kv.tokens_max = static_cast<int64_t>(whole_blocks(kv_bytes));
  const auto rows = static_cast<int64_t>(options.max_batch_tokens);
  plan.activation_bytes = Workspace::size_bytes(plan.workspace, rows, RuntimePlan::kLogitRows);
  if (options.device != nullptr) plan.activation_bytes += DeviceStep::size_bytes(plan.device_step);
  plan.sampling_parts = executor_width(options);
  plan.sampling_bytes = plan.sampling_parts * SamplerScratch::size_bytes(shape.vocabulary_size, plan.context_tokens);
  const uint64_t step_bytes = plan.activation_bytes + plan.sampling_bytes;
  if (options.kv_bytes == 0 && available_bytes > step_bytes)
    kv_bytes = std::min(kv_bytes, available_bytes - step_bytes);
  const uint64_t tokens = whole_blocks(kv_bytes);
  const uint64_t needed = step_bytes + std::max(tokens, kBlockTokens) * token_bytes;
  if (tokens == 0 || needed > available_bytes) {
    return Status(StatusCode::kBudgetTooSmall, format("KV and activations need ", needed,
                                                      " bytes, the memory budget has ", available_bytes, " left"));
  }
  plan.kv.tokens = static_cast<int64_t>(tokens);
  plan.kv.segment_bytes = options.mode == EngineMode::kPumped ? kPumpedSegmentBytes : kSegmentBytes;
  plan.kv_bytes = tokens * token_bytes;
  return plan;
}

uint64_t runtime_bytes_wanted(const ModelDef& def, bool rounds_input, const EngineOptions& options, bool with_kv) {
  const Result<RuntimePlan> plan = plan_runtime(def, rounds_input, options, UINT64_MAX);
  if (!plan.ok()) return 0;
  const auto token_bytes = static_cast<uint64_t>(kv_token_bytes(plan->kv_layout));
  const uint64_t context = static_cast<uint64_t>(plan->context_tokens) + kernels::kKvBlockTokens;
  const uint64_t kv_bytes = options.kv_bytes != 0 ? options.kv_bytes : std::min(plan->kv_bytes, context * token_bytes);
  return plan->activation_bytes + (with_kv ? kv_bytes + plan->sampling_bytes : 0);
}

Result<MemoryEstimate> estimate_memory(const std::shared_ptr<ModelFiles>& files, const std::string& path,
                                       const LoadOptions& load_options, const EngineOptions& options) {
  MemoryEstimate estimate;
  const HeapAccount source_account;
  FSV_ASSIGN(std::unique_ptr<ModelSource> source, open_model_source(files, path));
  if (load_options.dtype) {
    FSV_ASSIGN(source, quantize_on_load(std::move(source), *load_options.dtype));
  }
  const uint64_t source_bytes = source_account.live_bytes();
  const HeapAccount text_account;
  LoadedModel model;
  FSV_TRY(load_model_text(*source, model));
  estimate.other_bytes = text_account.live_bytes();
  uint64_t loading = source_bytes + text_account.peak_bytes();
  if (!load_options.text_only) {
    FSV_ASSIGN(model.def, create_model_def(*source));
    const std::vector<TensorSpec> specs = model.def->tensors();
    for (const TensorSpec& spec : specs) FSV_TRY(check_tensor(*source, spec));
    estimate.weight_bytes = weight_bytes(specs, *source);
    loading += estimate.weight_bytes + read_bytes_max(specs, *source, options);
    const uint64_t taken = estimate.weight_bytes + estimate.other_bytes;
    const uint64_t budget = options.memory_budget_bytes != 0 ? options.memory_budget_bytes : UINT64_MAX;
    if (taken > budget || loading > budget) {
      return Status(StatusCode::kBudgetTooSmall,
                    format("loading needs ", std::max(taken, loading), " bytes, the memory budget is ", budget));
    }
    place_weights(*model.def, specs, *source, reinterpret_cast<uint8_t*>(uintptr_t{4096}), nullptr);
    FSV_ASSIGN(const RuntimePlan plan,
               plan_runtime(*model.def, rounds_input(specs, *source, kernel_table(options), options), options,
                            budget == UINT64_MAX ? budget : budget - taken));
    estimate.kv_bytes = plan.kv_bytes;
    estimate.activation_bytes = plan.activation_bytes;
    estimate.other_bytes += plan.sampling_bytes;
  }
  estimate.peak_bytes =
      std::max(loading, estimate.weight_bytes + estimate.kv_bytes + estimate.activation_bytes + estimate.other_bytes);
  return estimate;
}

}  // namespace fastserve
