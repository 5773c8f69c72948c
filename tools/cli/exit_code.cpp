// Maps library statuses to the program's exit codes.
#include "exit_code.h"

namespace fastserve::cli {

ExitCode exit_code_of(fsv_status status) {
  switch (status) {
    case FSV_OK:
      return kExitOk;
    case FSV_ERROR_INVALID_ARGUMENT:
    case FSV_ERROR_CONTEXT_TOO_LONG:
      return kExitUsage;
    case FSV_ERROR_NOT_FOUND:
    case FSV_ERROR_IO:
      return kExitFile;
    case FSV_ERROR_CORRUPT:
    case FSV_ERROR_UNSUPPORTED:
    case FSV_ERROR_TEMPLATE:
      return kExitModel;
    case FSV_ERROR_OUT_OF_MEMORY:
    case FSV_ERROR_BUDGET_TOO_SMALL:
      return kExitMemory;
    case FSV_ERROR_CANCELLED:
      return kExitInterrupted;
    default:
      return kExitFailed;
  }
}

void check(fsv_status status, const fsv_error& error) {
  if (status == FSV_OK) return;
  std::string message(error.message, error.message_size);
  if (message.empty()) message = fsv_status_name(status);
  throw Failure(status, std::move(message));
}

}  // namespace fastserve::cli
