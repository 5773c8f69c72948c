// Version, names of codes.
#include "api/shim.h"
#include "engine/request.h"

namespace {

using fastserve::FinishReason;
using fastserve::StatusCode;

static_assert(static_cast<int32_t>(StatusCode::kInvalidArgument) == FSV_ERROR_INVALID_ARGUMENT);
static_assert(static_cast<int32_t>(StatusCode::kUnsupported) == FSV_ERROR_UNSUPPORTED);
static_assert(static_cast<int32_t>(StatusCode::kShutdown) == FSV_ERROR_SHUTDOWN);
static_assert(static_cast<int32_t>(StatusCode::kTemplate) == FSV_ERROR_TEMPLATE);
static_assert(static_cast<int32_t>(FinishReason::kShutdown) == FSV_FINISH_SHUTDOWN);

constexpr const char* kStatusNames[] = {
    "FSV_OK",
    "FSV_ERROR_INVALID_ARGUMENT",
    "FSV_ERROR_OUT_OF_MEMORY",
    "FSV_ERROR_BUDGET_TOO_SMALL",
    "FSV_ERROR_NOT_FOUND",
    "FSV_ERROR_IO",
    "FSV_ERROR_CORRUPT",
    "FSV_ERROR_UNSUPPORTED",
    "FSV_ERROR_STALE",
    "FSV_ERROR_WRONG_STATE",
    "FSV_ERROR_WRONG_MODE",
    "FSV_ERROR_QUEUE_FULL",
    "FSV_ERROR_CANCELLED",
    "FSV_ERROR_TIMEOUT",
    "FSV_ERROR_BUFFER_TOO_SMALL",
    "FSV_ERROR_SHUTDOWN",
    "FSV_ERROR_CONTEXT_TOO_LONG",
    "FSV_ERROR_DEVICE",
    "FSV_ERROR_INTERNAL",
    "FSV_ERROR_TEMPLATE",
};
static_assert(std::size(kStatusNames) == FSV_ERROR_TEMPLATE + 1);
constexpr const char* kFinishNames[] = {"none", "stop", "length", "cancelled", "error", "shutdown"};
static_assert(std::size(kFinishNames) == FSV_FINISH_SHUTDOWN + 1);

#define FSV_STRINGIZE_INNER(x) #x
#define FSV_STRINGIZE(x) FSV_STRINGIZE_INNER(x)

}  // namespace

extern "C" {

uint32_t fsv_version(void) { return FSV_VERSION_MAJOR * 10000 + FSV_VERSION_MINOR * 100 + FSV_VERSION_PATCH; }
const char* fsv_version_string(void) {
  return FSV_STRINGIZE(FSV_VERSION_MAJOR) "." FSV_STRINGIZE(FSV_VERSION_MINOR) "." FSV_STRINGIZE(FSV_VERSION_PATCH);
}
uint32_t fsv_abi_version(void) { return FSV_ABI_VERSION; }

const char* fsv_status_name(fsv_status status) {
  return status >= 0 && status <= FSV_ERROR_TEMPLATE ? kStatusNames[status] : "unknown";
}
const char* fsv_finish_reason_name(fsv_finish_reason reason) {
  return reason >= 0 && reason <= FSV_FINISH_SHUTDOWN ? kFinishNames[reason] : "unknown";
}

}  // extern "C"
