// fastserve: the command line tool. It uses the public header alone, as any other program would.
#include <exception>
#include <new>
#include <string>

#include "commands.h"
#include "console.h"
#include "terminal.h"

namespace fastserve::cli {

namespace {

constexpr const char* kFooter =
    "Exit codes: 0 done; 1 failed; 2 wrong usage or prompt; 3 file missing or unreadable; 4 model corrupt or not\n"
    "supported; 5 not enough memory; 130 interrupted. Ctrl-C stops the answer, a second one ends the program.\n"
    "With --json a failure is an object with the one key \"error\". See docs/cli.md.";

int run_program(int argc, char** argv) {
  CLI::App program("Runs language models on this machine.", "fastserve");
  program.footer(kFooter);
  program.set_version_flag("--version", std::string("fastserve ") + fsv_version_string());
  program.require_subcommand(1);
  program.fallthrough(false);
  Invocation invocation;
  add_run(program, invocation);
  add_chat(program, invocation);
  add_inspect(program, invocation);
  add_models(program, invocation);
  add_tokenize(program, invocation);
  add_bench(program, invocation);
  add_perplexity(program, invocation);
  try {
    program.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return program.exit(error) == 0 ? kExitOk : kExitUsage;
  }
  catch_interrupts();
  try {
    return invocation.action();
  } catch (const Failure& failure) {
    report(failure, invocation.json);
    return failure.code();
  } catch (const std::bad_alloc&) {
    report(Failure(FSV_ERROR_OUT_OF_MEMORY, "out of memory"), invocation.json);
    return kExitMemory;
  }
}

}  // namespace

void add_engine_options(CLI::App& command, EngineOptions& options) {
  command.add_option("--model", options.model, "model file (GGUF)")->required();
  command.add_option("--threads", options.threads, "computing threads; 0: all that this process may use");
  command.add_option("--device", options.device, "where to compute")
      ->check(CLI::IsMember({"cpu", "cuda"}))
      ->capture_default_str();
  command.add_option("--device-index", options.device_index, "which device of its kind")->capture_default_str();
  command.add_option("--kernels", options.kernels, "fast: SIMD; reference: scalar f32, slow, the oracle")
      ->check(CLI::IsMember({"fast", "reference"}))
      ->capture_default_str();
  command.add_option("--kv", options.kv, "type of the KV cache")
      ->check(CLI::IsMember({"f16", "f32", "bf16", "q8"}))
      ->capture_default_str();
  command
      .add_option("--load-dtype", options.load_dtype,
                  "type that float matrices get while they are read; quantised ones stay")
      ->check(CLI::IsMember(load_dtype_names()))
      ->capture_default_str();
  command.add_option("--memory-budget", options.memory_budget, "bytes for weights, KV and activations; 0: no limit");
}

}  // namespace fastserve::cli

int main(int argc, char** argv) {
  fastserve::cli::terminal_prepare();
  return fastserve::cli::run_program(argc, argv);
}
