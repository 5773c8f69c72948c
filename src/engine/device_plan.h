// What a model's steps need of a device, found out by going through them without computing: which kernels, and how much
// scratch.
#pragma once
#include "backend/device_stream.h"
#include "models/model_def.h"
#include "state/kv_cache.h"

namespace fastserve {

struct DeviceStepSizes {
  int32_t rows_max = 0, sequences_max = 0;
  int64_t logit_rows = 0;
  int32_t context_tokens = 0;
  bool exact = false;
  uint32_t product_flags = 0;
};
// Bytes of scratch. kUnsupported names the first op that the device has no kernel for. The weights' layouts and shapes
// are known (bind() was called), their bytes are not looked at.
Result<uint64_t> plan_device_scratch(const ModelDef& def, const kernels::DeviceKernels& kernels, const KvLayout& kv,
                                     const DeviceStepSizes& sizes);

}  // namespace fastserve
