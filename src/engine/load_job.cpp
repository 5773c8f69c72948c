// Loading, chunk by chunk.
#include "engine/load_job.h"

#include <algorithm>
#include <cmath>

#include "base/format.h"
#include "base/heap.h"
#include "engine/batch.h"
#include "engine/model_facts.h"
#include "engine/model_sizing.h"
#include "formats/quantizing_source.h"
#include "tensor/packing.h"

namespace fastserve {

Result<bool> LoadJob::open_once() {
  FSV_TRY(check_cancelled());
  const HeapAccount account(source_tally_);
  if (opening_ == nullptr) {
    FSV_ASSIGN(opening_, begin_opening(request_.files, request_.path));
    return false;
  }
  FSV_ASSIGN(const bool done, opening_->step());
  if (!done) return false;
  source_ = opening_->take();
  opening_.reset();
  if (request_.options.dtype) {
    FSV_ASSIGN(source_, quantize_on_load(std::move(source_), *request_.options.dtype));
  }
  want_room(account.live_bytes());
  FSV_TRY(source_charge_.set(*memory_, account.live_bytes()));
  return true;
}

Status LoadJob::prepare() {
  std::shared_ptr<LoadedModel> model = RetiredModels::create_model(retired_);
  model->memory = memory_;
  model->identity = source_->identity();
  model->load_options = request_.options;
  model->source.can_reload = !request_.is_pinned && !request_.options.text_only;
  if (request_.keeps_source) model->source.files = request_.files;
  model->source.path = request_.path;
  model->facts = describe_model(*source_);
  if (request_.options.text_only) {
    model->facts.refusal = "loaded for its text alone";
  } else {
    FSV_ASSIGN(model->def, create_model_def(*source_));
    specs_ = model->def->tensors();
    for (const TensorSpec& spec : specs_) FSV_TRY(check_tensor(*source_, spec));
    model->facts.runnable = true;
    rounds_input_ = rounds_input(specs_, *source_, *kernels_, options_);
    FSV_TRY(allocate_weights(*model));
  }
  cut_chunks();
  if (!request_.weights_only) text_ = std::make_unique<ModelTextLoad>(*source_, *model);
  is_text_taken_.store(request_.weights_only);
  FSV_TRY(read_charge_.set(*memory_, read_bytes_max(specs_, *source_, options_)));
  fingerprint_.add_header(*source_);
  model_ = std::move(model);
  return {};
}

Status LoadJob::allocate_weights(LoadedModel& model) {
  const uint64_t total = weight_bytes(specs_, *source_);
  want_room(total + read_bytes_max(specs_, *source_, options_));
  if (total > memory_->available_bytes()) {
    return Status(StatusCode::kBudgetTooSmall, format("weights need ", total, " bytes, the memory budget has ",
                                                      memory_->available_bytes(), " left"));
  }
  if (device_ != nullptr) {
    const uint64_t host_bytes = host_weight_bytes(specs_, *source_);
    FSV_ASSIGN(model.host_weights, Buffer::allocate(*memory_, host_bytes, MemoryUse::kOther));
    FSV_ASSIGN(model.weights, Buffer::allocate(*memory_, total - host_bytes, MemoryUse::kWeights));
    FSV_ASSIGN(upload_, WeightUpload::create(device_, packed_piece_bytes_max(specs_, *source_, options_),
                                             load_worker_count(options_)));
  } else {
    FSV_ASSIGN(model.weights, Buffer::allocate(*memory_, total, MemoryUse::kWeights));
  }
  place_weights(*model.def, specs_, *source_, model.weights.data(), model.host_weights.data());
  return {};
}

void LoadJob::cut_chunks() {
  uint64_t total = 0;
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
  const bool is_text = take_text();
  const size_t index = is_text ? 0 : next_chunk_.fetch_add(1, std::memory_order_relaxed);
  if (!is_text && index >= chunks_.size()) return false;
  Status status = guarded([&] { return is_text ? load_text_piece() : do_chunk(chunks_[index]); });
  if (!status.ok()) fail(std::move(status));
  return true;
}

void LoadJob::fail(Status status) {
  const std::lock_guard lock(failure_mutex_);
  if (!failed_.exchange(true)) failure_ = std::move(status);
}

Status LoadJob::do_chunk(const Chunk& chunk) {
  return chunk.spec->role == TensorRole::kVector ? load_vector(chunk) : load_panels(chunk);
}

// The text goes first: it is a chain of pieces. Its last piece leaves it taken.
bool LoadJob::take_text() { return !is_text_taken_.exchange(true, std::memory_order_acquire); }

Status LoadJob::load_text_piece() {
  FSV_ASSIGN(const bool done, step_text());
  if (!done) is_text_taken_.store(false, std::memory_order_release);  // the tally is written: another may go on
  return {};
}

Result<bool> LoadJob::step_text() {
  const HeapAccount account(text_tally_);
  FSV_ASSIGN(const bool done, text_->step());
  if (account.peak_bytes() > text_peak_bytes_) {  // that much was needed: the peak shows it
    text_peak_bytes_ = account.peak_bytes();
    want_room(text_peak_bytes_);
    FSV_TRY(model_->heap.set(*memory_, text_peak_bytes_));
  }
  FSV_TRY(model_->heap.set(*memory_, account.live_bytes()));
  return done;
}

Status LoadJob::load_vector(const Chunk& chunk) {
  const TensorInfo& tensor = *chunk.tensor;
  const ReadBuffers::Lease raw(read_buffers_, tensor.size_bytes);
  FSV_TRY(source_->read_tensor(tensor, 0, raw.data(), raw.size()));
  fingerprint_.add_rows(tensor, 0, static_cast<int64_t>(raw.size()), raw.data(), raw.size());
  std::vector<float> unsent;
  auto* vector = const_cast<float*>(chunk.spec->weight->vector);
  const bool is_sent = upload_ != nullptr && !chunk.spec->on_host;
  if (is_sent) {
    unsent.resize(static_cast<size_t>(tensor.element_count()));
    vector = unsent.data();
  }
  dequantize_row(static_cast<DType>(tensor.type), raw.data(), vector, tensor.element_count());
  // Matrices are too large to look through: what is wrong there shows in the logits.
  float* end = vector + tensor.element_count();
  const float* found = std::find_if_not(vector, end, [](float x) { return std::isfinite(x); });
  if (found != end) {
    return Status(StatusCode::kCorrupt, format("tensor ", tensor.name, " holds ", *found, " at index ", found - vector,
                                               ", expected finite numbers"));
  }
  if (is_sent) {
    auto* target = const_cast<float*>(chunk.spec->weight->vector);
    FSV_TRY(upload_->write(target, vector, unsent.size() * sizeof(float)));
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
  const ReadBuffers::Lease raw(read_buffers_, static_cast<size_t>((row_end - row_begin) * source_row_bytes));
  const int64_t source_row = chunk.stack * matrix.rows + row_begin;
  FSV_TRY(source_->read_tensor(*chunk.tensor, static_cast<uint64_t>(source_row * source_row_bytes), raw.data(),
                               raw.size()));
  fingerprint_.add_rows(*chunk.tensor, source_row, source_row_bytes, raw.data(), raw.size());
  auto* packed = const_cast<uint8_t*>(matrix.data) + chunk.stack * packed_panel_count(matrix.rows) * matrix.panel_bytes;
  packed += chunk.panel_begin * matrix.panel_bytes;
  auto pack = [&](uint8_t* destination) {
    for (int64_t panel = chunk.panel_begin; panel < chunk.panel_end; ++panel) {
      const int64_t first = panel * kernels::kPanelRows;
      const int64_t count = std::min<int64_t>(kernels::kPanelRows, matrix.rows - first);
      pack_panel(type, raw.data() + (first - row_begin) * source_row_bytes, count, matrix.cols,
                 destination + (panel - chunk.panel_begin) * matrix.panel_bytes);
    }
  };
  if (upload_ != nullptr) {
    const auto size_bytes = static_cast<size_t>((chunk.panel_end - chunk.panel_begin) * matrix.panel_bytes);
    FSV_TRY(upload_->send(packed, size_bytes, pack));
  } else {
    pack(packed);
  }
  bytes_done_.fetch_add(raw.size(), std::memory_order_relaxed);
  return {};
}

// KV and activations are taken with the load, so that a model that has loaded can run.
Status LoadJob::create_runtime() {
  // Of a model that comes back the KV is there, and what draws.
  const bool has_kv = request_.weights_only;
  want_room(runtime_bytes_wanted(*model_->def, rounds_input_, options_, !has_kv));
  const uint64_t available = has_kv ? UINT64_MAX : memory_->available_bytes();
  FSV_ASSIGN(const RuntimePlan plan, plan_runtime(*model_->def, rounds_input_, options_, available));
  model_->context_tokens = plan.context_tokens;
  if (has_kv) return create_workspace(plan);
  FSV_ASSIGN(model_->kv, KvCache::create(plan.kv_layout, *memory_, plan.kv));
  if (model_->kv.group_count() > Batch::kKvGroupsMax) {
    return Status::from_literal(StatusCode::kUnsupported, "the model mixes too many attention windows");
  }
  FSV_TRY(create_sampling(plan));
  return create_workspace(plan);
}

Status LoadJob::create_workspace(const RuntimePlan& plan) {
  FSV_ASSIGN(model_->workspace,
             Workspace::create(*memory_, plan.workspace, static_cast<int64_t>(options_.max_batch_tokens),
                               RuntimePlan::kLogitRows));
  if (device_ != nullptr) {
    FSV_ASSIGN(model_->device_step, DeviceStep::create(*device_, *memory_, plan.device_step));
  }
  model_->runtime_bytes = model_->resident_bytes();
  return {};
}

Status LoadJob::create_sampling(const RuntimePlan& plan) {
  FSV_TRY(model_->sampling_heap.set(*memory_, plan.sampling_bytes));
  return guarded([&]() -> Status {
    model_->sampling.resize(plan.sampling_parts);
    for (SamplerScratch& scratch : model_->sampling) {
      FSV_TRY(scratch.reserve(model_->def->shape().vocabulary_size, plan.context_tokens));
    }
    return {};
  });
}

// Vectors that the family has derived follow the weights.
Status LoadJob::send_derived() {
  const std::vector<DerivedVector> vectors = model_->def->derived();
  size_t total = 0;
  constexpr size_t kAlignment = 64;
  auto bytes_of = [](const DerivedVector& vector) {
    return (vector.values->size() * sizeof(float) + kAlignment - 1) / kAlignment * kAlignment;
  };
  for (const DerivedVector& vector : vectors) total += bytes_of(vector);
  FSV_ASSIGN(model_->derived, Buffer::allocate(*memory_, total, MemoryUse::kWeights));
  uint8_t* next = model_->derived.data();
  for (const DerivedVector& vector : vectors) {
    FSV_TRY(upload_->write(next, vector.values->data(), vector.values->size() * sizeof(float)));
    *vector.address = reinterpret_cast<const float*>(next);
    next += bytes_of(vector);
  }
  return {};
}

Status LoadJob::finish_family() {
  FSV_TRY(model_->def->finish());
  if (upload_ == nullptr) return {};
  FSV_TRY(send_derived());
  Status arrived = upload_->finish();
  upload_.reset();
  return arrived;
}

Status LoadJob::check_cancelled() const {
  if (!cancelled_.load(std::memory_order_relaxed)) return {};
  return Status::from_literal(StatusCode::kCancelled, "the load was cancelled");
}

Status LoadJob::finish_stage() {
  FSV_TRY(check_cancelled());
  const bool runs = model_->def != nullptr;
  switch (stage_) {
    case Stage::kFamily:
      if (runs) FSV_TRY(finish_family());
      model_->fingerprint = fingerprint_.value();
      stage_ = Stage::kSource;
      return {};
    case Stage::kSource:
      close_source();  // before KV and activations: the headers of a large vocabulary weigh much
      trim_heap();
      stage_ = Stage::kRuntime;
      return {};
    case Stage::kRuntime:
      if (runs) FSV_TRY(create_runtime());
      if (runs && request_.warm_up) {
        FSV_ASSIGN(warm_up_, WarmUp::create(model_, kernels_, options_.reference_kernels, options_.device));
      }
      stage_ = Stage::kWarmUp;
      return {};
    case Stage::kWarmUp:
      if (!warm_up_->advance()) warm_up_.reset();
      return {};
  }
  return {};
}

bool LoadJob::finish_once() {
  if (failed_.load(std::memory_order_acquire)) return false;
  if (stage_ == Stage::kWarmUp && warm_up_ == nullptr) return false;
  Status status = guarded([&] { return finish_stage(); });
  if (!status.ok()) fail(std::move(status));
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
  read_buffers_.clear();
  upload_.reset();
  chunks_.clear();
  specs_.clear();
  text_.reset();
  opening_.reset();
  source_.reset();
  request_.files.reset();
  source_charge_.reset();
  read_charge_.reset();
}

bool LoadJob::drop_once() noexcept {
  warm_up_.reset();
  if (request_.files != nullptr) {
    close_source();
    return true;
  }
  model_.reset();
  return false;
}

}  // namespace fastserve
