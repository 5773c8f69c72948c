// The C struct of sampling settings, checked and copied.
#pragma once
#include "engine/loaded_model.h"
#include "fastserve.h"
#include "sampling/sampling_parameters.h"

namespace fastserve::api {

// Breaker strings become the ids of the model's tokens that hold them. NULL: the model's defaults.
Result<SamplingParameters> sampling_parameters(const LoadedModel& model, const fsv_sampling* given);

}  // namespace fastserve::api
