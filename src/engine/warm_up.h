// WarmUp: one token through a model that has just been loaded, a layer at a time, so that the first request finds pages
// of KV and activations in place. Its results are thrown away.
#pragma once
#include <memory>

#include "engine/batch.h"
#include "engine/runner.h"

namespace fastserve {

class WarmUp {
 public:
  // The model must be nobody else's until this is gone. Computes on the calling thread alone.
  static Result<std::unique_ptr<WarmUp>> create(std::shared_ptr<LoadedModel> model, const kernels::KernelTable* kernels,
                                                bool exact);
  ~WarmUp();
  WarmUp(const WarmUp&) = delete;
  WarmUp& operator=(const WarmUp&) = delete;

  // Computes a piece. False when it was the last one.
  bool advance();

 private:
  WarmUp(const kernels::KernelTable* kernels, bool exact);

  std::unique_ptr<Executor> executor_;
  Device device_;
  Request request_;
  Batch batch_;
  Runner runner_;
};

}  // namespace fastserve
