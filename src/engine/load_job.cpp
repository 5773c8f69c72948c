// Loading: chunks of about a mebibyte keep workers busy, progress smooth and cancels prompt.
#include "engine/load_job.h"

#include <algorithm>

#include "base/format.h"
#include "engine/batch.h"
#include "engine/model_facts.h"
#include "engine/tokenizer_loading.h"
#include "formats/quantizing_source.h"
#include "tensor/packing.h"

namespace fastserve {
namespace {

constexpr int64_t kChunkBytes = 1 << 20;
constexpr uint64_t kWeightAlignment = 64;
constexpr int64_t kLogitRows = 32;
constexpr uint64_t kKvDefaultBytes = uint64_t{1} << 30;

uint64_t aligned(uint64_t size_bytes) {
  return (size_bytes + kWeightAlignment - 1) / kWeightAlignment * kWeightAlignment;
}

uint64_t loaded_bytes(const TensorSpec& spec, const TensorInfo& tensor) {
  if (spec.role == TensorRole::kVector) return aligned(static_cast<uint64_t>(spec.rows) * sizeof(float));
  const PackedLayout layout = packed_layout_for(static_cast<DType>(tensor.type));
  return aligned(static_cast<uint64_t>(packed_bytes(layout, spec.rows, spec.cols) * spec.stack));
}

}  // namespace

Result<os::File::Identity> LoadJob::identify() {
  FSV_ASSIGN(source_, open_model_source(path_));
  if (load_options_.dtype) {
    FSV_ASSIGN(source_, quantize_on_load(std::move(source_), *load_options_.dtype));
  }
  return source_->identity();
}

Status LoadJob::prepare() {
  model_ = std::make_shared<LoadedModel>();
  model_->memory = memory_;
  model_->identity = source_->identity();
  model_->load_options = load_options_;
  model_->facts = describe_model(*source_);
  if (load_options_.text_only) {
    model_->facts.refusal = "loaded for its text alone";
  } else {
    FSV_ASSIGN(model_->def, create_model_def(*source_));
    specs_ = model_->def->tensors();
    for (const TensorSpec& spec : specs_) FSV_TRY(check_tensor(*source_, spec));
    model_->facts.runnable = true;
    FSV_TRY(allocate_weights());
  }
  cut_chunks();
  return {};
}

Status LoadJob::allocate_weights() {
  uint64_t total = 0;
  for (const TensorSpec& spec : specs_) {
    const TensorInfo* tensor = source_->find_tensor(spec.name);
    if (tensor != nullptr) total += loaded_bytes(spec, *tensor);
  }
  if (total > memory_->available_bytes()) {
    return Status(StatusCode::kBudgetTooSmall, format("weights need ", total, " bytes, the memory budget has ",
                                                      memory_->available_bytes(), " left"));
  }
  FSV_ASSIGN(model_->weights, Buffer::allocate(*memory_, total, MemoryUse::kWeights));
  uint8_t* next = model_->weights.data();
  for (const TensorSpec& spec : specs_) {
    const TensorInfo* tensor = source_->find_tensor(spec.name);
    if (tensor == nullptr) continue;
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
  return {};
}

void LoadJob::cut_chunks() {
  uint64_t total = 0;
  chunks_.push_back({});  // the tokeniser, first: it is the longest single piece
  for (const TensorSpec& spec : specs_) {
    const TensorInfo* tensor = source_->find_tensor(spec.name);
    if (tensor == nullptr) continue;
    total += tensor->size_bytes;
    if (spec.role == TensorRole::kVector) {
      chunks_.push_back({tensor, &spec, 0, 0, 0});
      continue;
    }
    const int64_t panel_bytes = row_bytes(static_cast<DType>(tensor->type), spec.cols) * kernels::kPanelRows;
    const int64_t step = std::max<int64_t>(1, kChunkBytes / std::max<int64_t>(panel_bytes, 1));
    const int64_t panels = packed_panel_count(spec.rows);
    for (int64_t stack = 0; stack < spec.stack; ++stack) {
      for (int64_t begin = 0; begin < panels; begin += step) {
        chunks_.push_back({tensor, &spec, stack, begin, std::min(begin + step, panels)});
      }
    }
  }
  bytes_total_.store(total, std::memory_order_relaxed);
}

bool LoadJob::work_once() {
  if (failed_.load(std::memory_order_relaxed)) return false;
  if (cancelled_.load(std::memory_order_relaxed)) {
    fail(Status::from_literal(StatusCode::kCancelled, "the load was cancelled"));
    return false;
  }
  const size_t index = next_chunk_.fetch_add(1, std::memory_order_relaxed);
  if (index >= chunks_.size()) return false;
  Status status = guarded([&] { return do_chunk(chunks_[index]); });
  if (!status.ok()) fail(std::move(status));
  return true;
}

void LoadJob::fail(Status status) {
  const std::lock_guard lock(failure_mutex_);
  if (!failed_.exchange(true)) failure_ = std::move(status);
}

Status LoadJob::do_chunk(const Chunk& chunk) {
  if (chunk.tensor == nullptr) return load_text();
  return chunk.spec->role == TensorRole::kVector ? load_vector(chunk) : load_panels(chunk);
}

Status LoadJob::load_text() {
  FSV_ASSIGN(model_->tokenizer, load_tokenizer(*source_));
  FSV_ASSIGN(const std::string source, load_chat_template_source(*source_));
  const Tokenizer& tokenizer = *model_->tokenizer;
  describe_tokenizer(tokenizer, model_->facts);
  ChatTemplateOptions options;
  if (tokenizer.bos_id() >= 0) options.bos_token = tokenizer.token_bytes(tokenizer.bos_id());
  if (tokenizer.eos_id() >= 0) options.eos_token = tokenizer.token_bytes(tokenizer.eos_id());
  auto created = create_chat_template(source, options);
  // A template that does not parse refuses to render; the model runs without it.
  model_->chat_template = created.ok() ? created.take() : broken_chat_template(created.status());
  return {};
}

Status LoadJob::load_vector(const Chunk& chunk) {
  const TensorInfo& tensor = *chunk.tensor;
  std::vector<uint8_t> raw(tensor.size_bytes);
  FSV_TRY(source_->read_tensor(tensor, 0, raw.data(), raw.size()));
  dequantize_row(static_cast<DType>(tensor.type), raw.data(), const_cast<float*>(chunk.spec->weight->vector),
                 tensor.element_count());
  bytes_done_.fetch_add(raw.size(), std::memory_order_relaxed);
  return {};
}

Status LoadJob::load_panels(const Chunk& chunk) {
  const auto type = static_cast<DType>(chunk.tensor->type);
  const kernels::PackedMatrix& matrix = chunk.spec->weight->matrix;
  const int64_t source_row_bytes = row_bytes(type, matrix.cols);
  const int64_t row_begin = chunk.panel_begin * kernels::kPanelRows;
  const int64_t row_end = std::min(chunk.panel_end * kernels::kPanelRows, matrix.rows);
  std::vector<uint8_t> raw(static_cast<size_t>((row_end - row_begin) * source_row_bytes));
  const int64_t source_row = chunk.stack * matrix.rows + row_begin;
  FSV_TRY(source_->read_tensor(*chunk.tensor, static_cast<uint64_t>(source_row * source_row_bytes), raw.data(),
                               raw.size()));
  auto* packed = const_cast<uint8_t*>(matrix.data) + chunk.stack * packed_panel_count(matrix.rows) * matrix.panel_bytes;
  for (int64_t panel = chunk.panel_begin; panel < chunk.panel_end; ++panel) {
    const int64_t first = panel * kernels::kPanelRows;
    const int64_t count = std::min<int64_t>(kernels::kPanelRows, matrix.rows - first);
    pack_panel(type, raw.data() + (first - row_begin) * source_row_bytes, count, matrix.cols,
               packed + panel * matrix.panel_bytes);
  }
  bytes_done_.fetch_add(raw.size(), std::memory_order_relaxed);
  return {};
}

// KV and activations are taken with the load, so that a model that has loaded can run.
Status LoadJob::create_runtime() {
  const ModelShape& shape = model_->def->shape();
  const uint32_t wanted = options_.context_tokens;
  model_->context_tokens =
      wanted != 0 ? static_cast<int32_t>(std::min<uint32_t>(wanted, 1U << 24))
                  : std::min(shape.context_tokens, static_cast<int32_t>(EngineOptions::kContextDefaultMax));
  if (shape.context_is_hard) model_->context_tokens = std::min(model_->context_tokens, shape.context_tokens);
  const KvLayout layout{shape.kv_layers, options_.kv_type};
  const auto token_bytes = static_cast<uint64_t>(std::max<int64_t>(kv_token_bytes(layout), 1));
  const auto context = static_cast<uint64_t>(model_->context_tokens);
  uint64_t kv_bytes = options_.kv_bytes;
  if (kv_bytes == 0) {
    kv_bytes = std::clamp(context * options_.max_sequences * token_bytes, context * token_bytes,
                          std::max(kKvDefaultBytes, context * token_bytes));
  }
  const auto rows = static_cast<int64_t>(options_.max_batch_tokens);
  const uint64_t workspace_bytes = Workspace::size_bytes(shape.workspace, rows, kLogitRows);
  const uint64_t available = memory_->available_bytes();
  if (options_.kv_bytes == 0 && available > workspace_bytes) kv_bytes = std::min(kv_bytes, available - workspace_bytes);
  const uint64_t tokens = kv_bytes / token_bytes / kernels::kKvBlockTokens * kernels::kKvBlockTokens;
  const uint64_t needed = workspace_bytes + std::max<uint64_t>(tokens, kernels::kKvBlockTokens) * token_bytes;
  if (tokens == 0 || needed > available) {
    return Status(StatusCode::kBudgetTooSmall,
                  format("KV and activations need ", needed, " bytes, the memory budget has ", available, " left"));
  }
  FSV_ASSIGN(model_->kv, KvCache::create(layout, *memory_, static_cast<int64_t>(tokens)));
  if (model_->kv.group_count() > Batch::kKvGroupsMax) {
    return Status::from_literal(StatusCode::kUnsupported, "the model mixes too many attention windows");
  }
  FSV_ASSIGN(model_->workspace, Workspace::create(*memory_, shape.workspace, rows, kLogitRows));
  return {};
}

Result<std::shared_ptr<LoadedModel>> LoadJob::finish() {
  if (cancelled_.load(std::memory_order_relaxed)) {
    return Status::from_literal(StatusCode::kCancelled, "the load was cancelled");
  }
  if (failed_.load(std::memory_order_acquire)) {
    const std::lock_guard lock(failure_mutex_);
    return failure_;
  }
  if (model_->def == nullptr) {
    source_.reset();
    return std::move(model_);
  }
  const int32_t rows = model_->def->shape().vocabulary_size;
  if (model_->tokenizer->vocabulary_size() != rows) {
    return Status(StatusCode::kCorrupt, format("the tokenizer has ", model_->tokenizer->vocabulary_size(),
                                               " tokens, token_embd.weight has ", rows, " rows"));
  }
  FSV_TRY(model_->def->finish());
  FSV_TRY(create_runtime());
  source_.reset();  // closes the file
  return std::move(model_);
}

void LoadJob::drop() noexcept {
  chunks_.clear();
  specs_.clear();
  model_.reset();
  source_.reset();
}

}  // namespace fastserve
