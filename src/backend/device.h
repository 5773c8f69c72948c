// What computation runs on: a kernel table and the threads that serve it. Owned by the engine, borrowed by ops.
#pragma once
#include "backend/executor.h"
#include "kernels/kernel_api.h"

namespace fastserve {

struct Device {
  const kernels::KernelTable* kernels = nullptr;
  Executor* executor = nullptr;
  // Float activations on every matrix (the oracle), instead of int8 activations on quantised ones.
  bool exact = false;
};

}  // namespace fastserve
