// The commands: each registers its options on the program and says what to run when it is chosen.
#ifndef FASTSERVE_CLI_COMMANDS_H
#define FASTSERVE_CLI_COMMANDS_H

#include <CLI/CLI.hpp>
#include <functional>

#include "engine_session.h"

namespace fastserve::cli {

// What the command line chose. `action` returns an exit code and may throw Failure.
struct Invocation {
  std::function<int()> action;
  bool json = false;
};

void add_run(CLI::App& program, Invocation& invocation);
void add_chat(CLI::App& program, Invocation& invocation);
void add_inspect(CLI::App& program, Invocation& invocation);
void add_models(CLI::App& program, Invocation& invocation);
void add_tokenize(CLI::App& program, Invocation& invocation);
void add_bench(CLI::App& program, Invocation& invocation);
void add_perplexity(CLI::App& program, Invocation& invocation);

// Options shared by the commands that run a model.
void add_engine_options(CLI::App& command, EngineOptions& options);

}  // namespace fastserve::cli

#endif  // FASTSERVE_CLI_COMMANDS_H
