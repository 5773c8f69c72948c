// What hosts lend an engine, as the engine sees it: files, memory, time and threads behind our own interfaces. A hook
// that fails or misbehaves becomes a status; one that throws cannot be caught: the library has an unwinder of its own.
#pragma once
#include <memory>

#include "backend/executor.h"
#include "base/clock.h"
#include "fastserve.h"
#include "formats/model_files.h"
#include "memory/memory_resource.h"

namespace fastserve::api {

// What a callback returned instead of FSV_OK; numbers that no status has count as IO.
Status host_failure(fsv_status status, std::string_view what);

// Each checks the struct's size and required members; `name` is for messages.
Result<std::shared_ptr<ModelFiles>> host_files(const fsv_io* io, const char* name);
Result<std::shared_ptr<MemoryResource>> host_memory(const fsv_allocator* allocator);
Result<std::shared_ptr<const Clock>> host_clock(const fsv_clock* clock);
Result<std::shared_ptr<Executor>> host_executor(const fsv_executor* executor);

}  // namespace fastserve::api
