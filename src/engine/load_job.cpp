// Loading, chunk by chunk.
#include "engine/load_job.h"

#include <algorithm>
#include <cmath>

#include "base/format.h"
#include "base/heap.h"
#include "engine/batch.h"
#include "engine/model_facts.h"
#include "engine/model_sizing.h"
#include "engine/tokenizer_loading.h"
#include "formats/quantizing_source.h"
#include "tensor/packing.h"

namespace fastserve {

Result<os::File::Identity> LoadJob::identify() {
  const HeapAccount account;
  FSV_ASSIGN(source_, open_model_source(request_.files, request_.path));
  if (request_.options.dtype) {
    FSV_ASSIGN(source_, quantize_on_load(std::move(source_), *request_.options.dtype));
  }
  FSV_TRY(source_charge_.set(*memory_, account.live_bytes()));
  return source_->identity();
}

Status LoadJob::prepare() {
  model_ = std::make_shared<LoadedModel>();
  model_->memory = memory_;
  model_->identity = source_->identity();
  model_->load_options = request_.options;
  model_->facts = describe_model(*source_);
  if (request_.options.text_only) {
    model_->facts.refusal = "loaded for its text alone";
  } else {
    FSV_ASSIGN(model_->def, create_model_def(*source_));
    specs_ = model_->def->tensors();
    for (const TensorSpec& spec : specs_) FSV_TRY(check_tensor(*source_, spec));
    model_->facts.runnable = true;
    FSV_TRY(allocate_weights());
  }
  cut_chunks();
  return read_charge_.set(*memory_, read_bytes_max(specs_, *source_, options_));
}

Status LoadJob::allocate_weights() {
  const uint64_t total = weight_bytes(specs_, *source_);
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
    const int64_t step = panels_in_chunk(spec, *tensor, options_.mode);
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
  const HeapAccount account;
  FSV_TRY(load_model_text(*source_, *model_));
  FSV_TRY(model_->heap.set(*memory_, account.peak_bytes()));  // that much was needed: the peak shows it
  return model_->heap.set(*memory_, account.live_bytes());
}

Status LoadJob::load_vector(const Chunk& chunk) {
  const TensorInfo& tensor = *chunk.tensor;
  std::vector<uint8_t> raw(tensor.size_bytes);
  FSV_TRY(source_->read_tensor(tensor, 0, raw.data(), raw.size()));
  auto* vector = const_cast<float*>(chunk.spec->weight->vector);
  dequantize_row(static_cast<DType>(tensor.type), raw.data(), vector, tensor.element_count());
  // Matrices are too large to look through: what is wrong there shows in the logits.
  float* end = vector + tensor.element_count();
  const float* found = std::find_if_not(vector, end, [](float x) { return std::isfinite(x); });
  if (found != end) {
    return Status(StatusCode::kCorrupt, format("tensor ", tensor.name, " holds ", *found, " at index ", found - vector,
                                               ", expected finite numbers"));
  }
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
  FSV_ASSIGN(const RuntimePlan plan, plan_runtime(shape, options_, memory_->available_bytes()));
  model_->context_tokens = plan.context_tokens;
  FSV_ASSIGN(model_->kv, KvCache::create(plan.kv_layout, *memory_, plan.kv_tokens));
  if (model_->kv.group_count() > Batch::kKvGroupsMax) {
    return Status::from_literal(StatusCode::kUnsupported, "the model mixes too many attention windows");
  }
  FSV_ASSIGN(model_->workspace,
             Workspace::create(*memory_, shape.workspace, static_cast<int64_t>(options_.max_batch_tokens),
                               RuntimePlan::kLogitRows));
  if (request_.warm_up) {
    FSV_ASSIGN(warm_up_, WarmUp::create(model_, kernels_, options_.reference_kernels));
  }
  return {};
}

Status LoadJob::check_cancelled() const {
  if (!cancelled_.load(std::memory_order_relaxed)) return {};
  return Status::from_literal(StatusCode::kCancelled, "the load was cancelled");
}

Status LoadJob::finish() {
  FSV_TRY(check_cancelled());
  if (model_->def != nullptr) FSV_TRY(model_->def->finish());
  close_source();  // before KV and activations: the headers of a large vocabulary weigh much
  return model_->def != nullptr ? create_runtime() : Status();
}

bool LoadJob::finish_once() {
  if (failed_.load(std::memory_order_acquire)) return false;
  if (!std::exchange(is_finished_, true)) {
    Status status = guarded([&] { return finish(); });
    if (!status.ok()) fail(std::move(status));
    return true;
  }
  if (!check_cancelled().ok() || warm_up_ == nullptr) return false;
  if (!warm_up_->advance()) warm_up_.reset();
  return true;
}

Result<std::shared_ptr<LoadedModel>> LoadJob::take_model() {
  FSV_TRY(check_cancelled());
  if (failed_.load(std::memory_order_acquire)) {
    const std::lock_guard lock(failure_mutex_);
    return failure_;
  }
  return std::move(model_);
}

void LoadJob::close_source() noexcept {
  chunks_.clear();
  specs_.clear();
  source_.reset();
  request_.files.reset();
  source_charge_.reset();
  read_charge_.reset();
}

void LoadJob::drop() noexcept {
  close_source();
  warm_up_.reset();
  model_.reset();
}

}  // namespace fastserve
