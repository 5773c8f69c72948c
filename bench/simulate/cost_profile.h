// What steps take on a machine: measured, or worked out from its data sheet.
#pragma once
#include <string>
#include <utility>
#include <vector>

#include "base/status.h"
#include "scheduler/cost_model.h"

namespace fastserve::simulate {

// What a formula misses at some numbers of rows, as measured; between them the line.
struct Correction {
  std::vector<std::pair<double, double>> points;  // rows, ns; rows ascending
  double at_ns(int64_t rows) const;               // 0 without rows, or without points
};

struct CostProfile {
  std::string name;
  CostModel::Coefficients cost;
  int64_t kv_tokens = 0;  // that the KV pool holds
  int32_t max_batch_tokens = 512;
  Correction decode_correction = {}, prefill_correction = {};

  double step_ns(const StepWork& work) const;
};

// "cpu", "gpu", or a JSON file with name, step_us, prefill_token_us, decode_row_us, context_token_us, kv_tokens,
// max_batch_tokens and, where known, prefill_context_us, decode_correction_us and prefill_correction_us (arrays of
// [rows, us]).
Result<CostProfile> load_profile(const std::string& name);
std::string to_json(const CostProfile& profile);

}  // namespace fastserve::simulate
