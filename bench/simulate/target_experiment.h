// What adaptive batching is worth: the highest rate of arrivals at which the time between tokens keeps to a target,
// with the batch controller and with the best batch size that never changes.
#pragma once
#include <string>
#include <vector>

#include "experiment.h"

namespace fastserve::simulate {

struct TargetRow {
  double target_s = 0;  // of the 95th percentile of times between two tokens
  uint64_t seed = 0;
  int32_t fixed_tokens = 0;               // the best batch size
  double fixed_rate = 0;                  // requests a second with it,
  double controlled_rate = 0;             // and with the controller
  Percentiles fixed_gap, controlled_gap;  // times between two tokens at these rates
  // Where every step is full and takes exactly the target; the controller passes it by its bursts.
  double bound = 0;
};

// Sizes from 4 tokens up to the profile's batch, by factors of 1.3, are tried. A rate is kept where the target is, and
// requests do not pile up: 95 of 100 are begun within kQueueTargets targets.
constexpr double kQueueTargets = 50;
Result<TargetRow> compare_batching(const Setting& setting, double target_s, uint64_t seed);

std::string to_json(const std::vector<TargetRow>& rows);
std::string to_text(const std::vector<TargetRow>& rows);

}  // namespace fastserve::simulate
