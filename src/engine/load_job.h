// LoadJob: one model on its way in, cut into pieces: headers, then the tokeniser and runs of tensor panels, which any
// number of workers may take, each read, packed and counted. Nothing of a failed or cancelled job stays.
#pragma once
#include <atomic>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "base/heap.h"
#include "engine/loaded_model.h"
#include "engine/model_fingerprint.h"
#include "engine/model_sizing.h"
#include "engine/model_text.h"
#include "engine/options.h"
#include "engine/read_buffers.h"
#include "engine/retired_models.h"
#include "engine/warm_up.h"
#include "engine/weight_upload.h"
#include "formats/model_source.h"

namespace fastserve {

struct RuntimePlan;

// What a host asks to be loaded, and how.
struct LoadRequest {
  std::shared_ptr<ModelFiles> files;  // null: the engine's
  std::string path;
  LoadOptions options;
  bool warm_up = false;
  bool is_pinned = false;     // never to be evicted
  bool keeps_source = false;  // `files` stay in use, to load it again
  bool weights_only = false;  // of a model that is there but for them
  int32_t priority = 0;
  uint64_t user_data = 0;
};

class LoadJob {
 public:
  // `retired` (may be null) is where its model goes in the end, loaded or not. `device`: where it is to be computed;
  // null: by the CPU.
  LoadJob(LoadRequest request, const EngineOptions& options, std::shared_ptr<LimitResource> memory,
          const kernels::KernelTable* kernels, std::shared_ptr<RetiredModels> retired,
          std::shared_ptr<DeviceMemory> device, std::function<void(uint64_t)> make_room = nullptr)
      : make_room_(std::move(make_room)),
        request_(std::move(request)),
        options_(options),
        memory_(std::move(memory)),
        kernels_(kernels),
        retired_(std::move(retired)),
        device_(std::move(device)) {}

  const std::string& path() const { return request_.path; }
  const LoadOptions& load_options() const { return request_.options; }

  // All of these do pieces of the work, well under a millisecond each but for what the system takes to open a file.
  // First: opens the model and reads its headers. True when that is done and the identity is known, so that a model
  // that is loaded already can be shared.
  Result<bool> open_once();
  os::File::Identity identity() const { return source_->identity(); }
  // Then: checks what the headers say, takes the memory for weights and cuts the work into chunks.
  Status prepare();
  bool is_prepared() const { return model_ != nullptr; }
  bool is_reload() const { return request_.weights_only; }
  bool is_pinned() const { return request_.is_pinned; }
  // Takes and does one chunk. False when none is left to take, or the job has failed or was cancelled.
  bool work_once();
  // After every chunk is done (all workers returned): does a piece of what remains. False when nothing does.
  bool finish_once();
  // Then: the model, or why there is none.
  Result<std::shared_ptr<LoadedModel>> take_model();
  // Last, when no worker is at work any more: gives back a part of what the job still holds. False when all is.
  bool drop_once() noexcept;

  void cancel() { cancelled_.store(true, std::memory_order_relaxed); }
  uint64_t bytes_done() const { return bytes_done_.load(std::memory_order_relaxed); }
  uint64_t bytes_total() const { return bytes_total_.load(std::memory_order_relaxed); }

 private:
  struct Chunk {
    const TensorInfo* tensor = nullptr;
    const TensorSpec* spec = nullptr;
    int64_t stack = 0;  // which matrix of a stacked tensor
    int64_t panel_begin = 0, panel_end = 0;
  };
  enum class Stage { kFamily, kSource, kRuntime, kWarmUp };  // of the end
  void cut_chunks();
  Status allocate_weights(LoadedModel& model);
  Status do_chunk(const Chunk& chunk);
  bool take_text();
  Status load_text_piece();
  Result<bool> step_text();
  Status load_vector(const Chunk& chunk);
  Status load_panels(const Chunk& chunk);
  Status finish_stage();
  Status finish_family();
  Status send_derived();
  Status create_runtime();
  Status create_sampling(const RuntimePlan& plan);
  Status create_workspace(const RuntimePlan& plan);
  Status check_cancelled() const;
  void close_source() noexcept;
  void fail(Status status);

  // Called where there is too little memory: so many bytes should become free, if they can.
  void want_room(uint64_t size_bytes) const {
    if (make_room_ && memory_->available_bytes() < size_bytes) make_room_(size_bytes);
  }

  std::function<void(uint64_t)> make_room_;
  LoadRequest request_;
  EngineOptions options_;
  std::shared_ptr<LimitResource> memory_;
  const kernels::KernelTable* kernels_;
  std::shared_ptr<RetiredModels> retired_;
  std::shared_ptr<DeviceMemory> device_;
  std::unique_ptr<SourceOpening> opening_;
  HeapTally source_tally_, text_tally_;
  std::unique_ptr<ModelSource> source_;
  std::shared_ptr<LoadedModel> model_;
  std::unique_ptr<WeightUpload> upload_;  // while weights are on their way to the device; goes before the model
  std::vector<TensorSpec> specs_;
  std::vector<Chunk> chunks_;
  ReadBuffers read_buffers_;
  ModelFingerprint fingerprint_;
  std::unique_ptr<ModelTextLoad> text_;  // one worker at a time: who finds it free
  std::atomic<bool> is_text_taken_{false};
  uint64_t text_peak_bytes_ = 0;
  bool rounds_input_ = false;
  MemoryCharge source_charge_, read_charge_;  // headers, and what workers read into
  std::unique_ptr<WarmUp> warm_up_;
  Stage stage_ = Stage::kFamily;
  std::atomic<size_t> next_chunk_{0};
  std::atomic<bool> cancelled_{false};
  std::atomic<bool> failed_{false};
  std::atomic<uint64_t> bytes_done_{0}, bytes_total_{0};
  std::mutex failure_mutex_;
  Status failure_;
};

}  // namespace fastserve
