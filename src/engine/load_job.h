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
#include "formats/model_source.h"

namespace fastserve {

class LoadJob {
 public:
  LoadJob(std::string path, const LoadOptions& load_options, const EngineOptions& options,
          std::shared_ptr<LimitResource> memory)
      : path_(std::move(path)), load_options_(load_options), options_(options), memory_(std::move(memory)) {}

  // Opens the model and reads its headers: their identity, so that one already loaded can be shared. Call first.
  Result<os::File::Identity> identify();
  const LoadOptions& load_options() const { return load_options_; }
  // Reads and checks the header, takes the memory for weights and cuts the work into chunks.
  Status prepare();
  // Takes and does one chunk. False when none is left to take, or the job has failed or was cancelled.
  bool work_once();
  // After every chunk is done (all workers returned): what remains, and the model.
  Result<std::shared_ptr<LoadedModel>> finish();

  // Gives back everything that a job that failed still holds. No worker is at work any more.
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
  Status create_runtime();
  void fail(Status status);

  std::string path_;
  LoadOptions load_options_;
  EngineOptions options_;
  std::shared_ptr<LimitResource> memory_;
  std::unique_ptr<ModelSource> source_;
  std::shared_ptr<LoadedModel> model_;
  std::vector<TensorSpec> specs_;
  std::vector<Chunk> chunks_;
  std::atomic<size_t> next_chunk_{0};
  std::atomic<bool> cancelled_{false};
  std::atomic<bool> failed_{false};
  std::atomic<uint64_t> bytes_done_{0}, bytes_total_{0};
  std::mutex failure_mutex_;
  Status failure_;
};

}  // namespace fastserve
