// What steps take on this machine, as the engine's host sees it: for the simulator, measured in the same run.
#pragma once
#include "cost_profile.h"
#include "host.h"

namespace fastserve::serving {

struct MeasuredProfile {
  simulate::CostProfile profile;
  double worst_error =
      0;  // of the linear formula, relative; the profile's corrections take it out where it was measured
};

// Runs streams and prompts of several sizes; about ten seconds with a small model.
MeasuredProfile measure_profile(Host& host, int32_t slots, int32_t batch_tokens);

}  // namespace fastserve::serving
