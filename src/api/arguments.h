// Configs of callers, checked and converted to what the engine takes.
#pragma once
#include "engine/load_job.h"
#include "engine/options.h"
#include "fastserve.h"

namespace fastserve::api {

// NULL: all defaults.
Result<EngineOptions> engine_options(const fsv_engine_config* config);
// A copied buffer is copied by this.
Result<LoadRequest> load_request(const fsv_load_config* config);

}  // namespace fastserve::api
