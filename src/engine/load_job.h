// LoadJob: one model on its way in, cut into chunks that any number of workers may take: tokeniser, then runs of
// tensor panels, each read, packed and counted. Nothing of a failed or cancelled job stays.
#pragma once
#include <atomic>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "engine/loaded_model.h"
#include "engine/options.h"
#include "engine/warm_up.h"
#include "formats/model_source.h"

namespace fastserve {

// What a host asks to be loaded, and how.
struct LoadRequest {
  std::shared_ptr<ModelFiles> files;  // null: the engine's
  std::string path;
  LoadOptions options;
  bool warm_up = false;
  int32_t priority = 0;
  uint64_t user_data = 0;
};

class LoadJob {
 public:
  LoadJob(LoadRequest request, const EngineOptions& options, std::shared_ptr<LimitResource> memory,
          const kernels::KernelTable* kernels)
      : request_(std::move(request)), options_(options), memory_(std::move(memory)), kernels_(kernels) {}

  // Opens the model and reads its headers: their identity, so that one already loaded can be shared. Call first.
  Result<os::File::Identity> identify();
  const std::string& path() const { return request_.path; }
  const LoadOptions& load_options() const { return request_.options; }
  // Reads and checks the header, takes the memory for weights and cuts the work into chunks.
  Status prepare();
  // Takes and does one chunk. False when none is left to take, or the job has failed or was cancelled.
  bool work_once();
  // After every chunk is done (all workers returned): does a piece of what remains. False when nothing does.
  bool finish_once();
  // Then: the model, or why there is none.
  Result<std::shared_ptr<LoadedModel>> take_model();

  // Closes the files and gives back everything that the job still holds. No worker is at work any more.
  void drop() noexcept;

  void cancel() { cancelled_.store(true, std::memory_order_relaxed); }
  uint64_t bytes_done() const { return bytes_done_.load(std::memory_order_relaxed); }
  uint64_t bytes_total() const { return bytes_total_.load(std::memory_order_relaxed); }

 private:
  struct Chunk {
    const TensorInfo* tensor = nullptr;  // null: the tokeniser
    const TensorSpec* spec = nullptr;
    int64_t stack = 0;  // which matrix of a stacked tensor
    int64_t panel_begin = 0, panel_end = 0;
  };
  void cut_chunks();
  Status allocate_weights();
  Status do_chunk(const Chunk& chunk);
  Status load_text();
  Status load_vector(const Chunk& chunk);
  Status load_panels(const Chunk& chunk);
  Status finish();
  Status create_runtime();
  Status check_cancelled() const;
  void close_source() noexcept;
  void fail(Status status);

  LoadRequest request_;
  EngineOptions options_;
  std::shared_ptr<LimitResource> memory_;
  const kernels::KernelTable* kernels_;
  std::unique_ptr<ModelSource> source_;
  std::shared_ptr<LoadedModel> model_;
  std::vector<TensorSpec> specs_;
  std::vector<Chunk> chunks_;
  MemoryCharge source_charge_, read_charge_;  // headers, and what workers read into
  std::unique_ptr<WarmUp> warm_up_;
  bool is_finished_ = false;
  std::atomic<size_t> next_chunk_{0};
  std::atomic<bool> cancelled_{false};
  std::atomic<bool> failed_{false};
  std::atomic<uint64_t> bytes_done_{0}, bytes_total_{0};
  std::mutex failure_mutex_;
  Status failure_;
};

}  // namespace fastserve
