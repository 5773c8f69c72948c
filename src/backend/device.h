// What computation runs on: a kernel table and the threads that serve it, or a device's queue. Owned by the engine,
// borrowed by ops.
#pragma once
#include "backend/executor.h"
#include "kernels/kernel_api.h"

namespace fastserve {

class DeviceStream;

struct Device {
  const kernels::KernelTable* kernels = nullptr;
  Executor* executor = nullptr;
  // Float activations on every matrix (the oracle), instead of int8 activations on quantised ones.
  bool exact = false;
  // Not null: ops queue whole ranges there, and rows, weights and views are the device's memory. Results are in place
  // once the queue was waited for.
  DeviceStream* stream = nullptr;
  uint32_t product_flags = 0;  // of its products
};

}  // namespace fastserve
