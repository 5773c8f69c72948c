// What steps take on a machine: measured, or worked out from its data sheet.
#pragma once
#include <string>

#include "base/status.h"
#include "scheduler/cost_model.h"

namespace fastserve::simulate {

struct CostProfile {
  std::string name;
  CostModel::Coefficients cost;
  int64_t kv_tokens = 0;  // that the KV pool holds
  int32_t max_batch_tokens = 512;

  double step_ns(const StepWork& work) const;
};

// "cpu", "gpu", or a JSON file with name, step_us, prefill_token_us, decode_row_us, context_token_us, kv_tokens and
// max_batch_tokens.
Result<CostProfile> load_profile(const std::string& name);

}  // namespace fastserve::simulate
