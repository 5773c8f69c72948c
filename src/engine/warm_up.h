// WarmUp: memory and one token through a model that has just been loaded, a piece at a time, so that the first request
// finds every page of activations in place, and those of its first keys and values. Its results are thrown away.
#pragma once
#include <memory>

#include "engine/batch.h"
#include "engine/runner.h"

namespace fastserve {

class WarmUp {
 public:
  // The model must be nobody else's until this is gone. Computes on the calling thread alone, or on the model's device.
  static Result<std::unique_ptr<WarmUp>> create(std::shared_ptr<LoadedModel> model, const kernels::KernelTable* kernels,
                                                bool exact, const std::shared_ptr<OpenDevice>& device);
  ~WarmUp();
  WarmUp(const WarmUp&) = delete;
  WarmUp& operator=(const WarmUp&) = delete;

  // Does a piece. False when it was the last one.
  bool advance();

 private:
  // A huge page. Where one is new to the machine too (a virtual one), it takes as long as several layers.
  static constexpr uint64_t kTouchedBytes = uint64_t{2} << 20;
  static constexpr int32_t kHeadPanels = 256;  // of a piece: about as much as a layer of a small model
  WarmUp(const kernels::KernelTable* kernels, bool exact);
  bool touch_activations();
  bool touch_kv();

  std::unique_ptr<Executor> executor_;
  std::unique_ptr<DeviceStream> stream_;
  Device device_;
  Request request_;
  Batch batch_;
  Runner runner_;
  uint64_t touched_bytes_ = 0;  // of the activations
  size_t touched_groups_ = 0;   // of the KV
};

}  // namespace fastserve
