// The program's exit codes, documented in docs/cli.md and in --help, and the failure that carries one to main.
#ifndef FASTSERVE_CLI_EXIT_CODE_H
#define FASTSERVE_CLI_EXIT_CODE_H

#include <exception>
#include <string>
#include <utility>

#include "fastserve.h"

namespace fastserve::cli {

enum ExitCode : int {
  kExitOk = 0,
  kExitFailed = 1,        // the library reported a failure of another kind than those below
  kExitUsage = 2,         // unknown option, bad value, or a prompt that cannot be taken
  kExitFile = 3,          // a file is missing or cannot be read or written
  kExitModel = 4,         // the model file is corrupt, or of a kind that this build cannot run
  kExitMemory = 5,        // not enough memory
  kExitInterrupted = 130  // Ctrl-C
};

ExitCode exit_code_of(fsv_status status);

class Failure : public std::exception {
 public:
  Failure(fsv_status status, std::string message) : Failure(exit_code_of(status), status, std::move(message)) {}
  Failure(ExitCode code, fsv_status status, std::string message)
      : code_(code), status_(status), message_(std::move(message)) {}

  const char* what() const noexcept override { return message_.c_str(); }
  ExitCode code() const { return code_; }
  fsv_status status() const { return status_; }

 private:
  ExitCode code_;
  fsv_status status_;
  std::string message_;
};

// Throws what the library reported, unless it reported success.
void check(fsv_status status, const fsv_error& error);

}  // namespace fastserve::cli

#endif  // FASTSERVE_CLI_EXIT_CODE_H
