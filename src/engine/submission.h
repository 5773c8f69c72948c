// What a request must be to be queued, and all the memory that its steady state takes.
#pragma once
#include "engine/options.h"
#include "engine/request.h"

namespace fastserve {

// Checks the parameters of `request`, whose model is set, against model and engine, and creates its sequences. No lock
// is needed.
Status prepare_request(Request& request, const EngineOptions& options);

}  // namespace fastserve
