// fastserve run: answers one prompt, streaming it as text or reporting it as one JSON object.
#include <memory>
#include <string>
#include <vector>

#include "commands.h"
#include "console.h"
#include "generation.h"
#include "json_writer.h"

namespace fastserve::cli {

namespace {

struct RunOptions {
  EngineOptions engine;
  std::string prompt;
  std::string system;
  GenerationOptions generation;
  bool raw = false;
  bool json = false;
};

std::vector<int32_t> prompt_tokens(const EngineSession& session, const RunOptions& options) {
  const std::string text = options.prompt == "-" ? read_input("-") : options.prompt;
  if (options.raw) return session.tokenize(text, FSV_TOKENIZE_ADD_BOS);
  if (!session.info().has_chat_template) {
    throw Failure(FSV_ERROR_TEMPLATE, options.engine.model + ": the model has no chat template; --raw goes without");
  }
  std::vector<fsv_chat_message> messages;
  if (!options.system.empty()) {
    messages.push_back({"system", SIZE_MAX, options.system.data(), options.system.size()});
  }
  messages.push_back({"user", SIZE_MAX, text.data(), text.size()});
  return session.chat_tokenize(messages);
}

fsv_request submit(const EngineSession& session, const RunOptions& options, const std::vector<int32_t>& prompt) {
  GenerationConfig config(options.generation, session);
  config->token_ids = prompt.data();
  config->token_count = prompt.size();
  fsv_request request = 0;
  fsv_error error;
  check(fsv_submit_generate(session.engine(), session.model(), config.get(), &request, &error), error);
  return request;
}

void print_json(const Answer& answer, const std::vector<int32_t>& prompt, double load_ms) {
  JsonWriter out;
  out.begin_object().member("text", answer.text);
  out.member("token_ids", std::span<const int32_t>(answer.token_ids));
  out.member("prompt_token_ids", std::span<const int32_t>(prompt));
  out.member("load_ms", load_ms);
  answer.write_json(out);
  out.end_object();
  print(out.text() + "\n");
}

void print_summary(const Answer& answer, double load_ms) {
  print("\n");
  note("load " + decimal(load_ms, 0) + " ms, first token " +
       decimal(static_cast<double>(answer.first_token_us) / 1000, 0) + " ms, prompt " +
       std::to_string(answer.prompt_token_count) + " tokens at " + decimal(answer.prefill_tokens_per_second(), 1) +
       " tokens/s, answer " + std::to_string(answer.token_ids.size()) + " tokens at " +
       decimal(answer.decode_tokens_per_second(), 1) + " tokens/s (" + fsv_finish_reason_name(answer.finish_reason) +
       ")");
}

int run(const RunOptions& options) {
  EngineSession session(options.engine);
  const std::vector<int32_t> prompt = prompt_tokens(session, options);
  const Answer answer = collect_answer(session, submit(session, options, prompt), [&](std::string_view piece) {
    if (!options.json) print(piece);
  });
  if (options.json) {
    print_json(answer, prompt, session.load_ms());
  } else {
    print_summary(answer, session.load_ms());
  }
  return answer.finish_reason == FSV_FINISH_CANCELLED ? kExitInterrupted : kExitOk;
}

}  // namespace

void add_run(CLI::App& program, Invocation& invocation) {
  auto options = std::make_shared<RunOptions>();
  options->engine.max_sequences = 1;
  CLI::App* command = program.add_subcommand("run", "answer a prompt");
  add_engine_options(*command, options->engine);
  command->add_option("--context", options->engine.context, "longest prompt and answer in tokens; 0: the model's own");
  command->add_option("--prompt", options->prompt, "the question; - reads it from standard input")->required();
  command->add_option("--system", options->system, "system message (default: the template's own)");
  add_generation_options(*command, options->generation);
  command->add_flag("--raw", options->raw, "no chat template: continue the prompt as it stands");
  command->add_flag("--json", options->json, "one JSON object instead of streamed text");
  command->callback([options, &invocation] {
    invocation.json = options->json;
    invocation.action = [options] { return run(*options); };
  });
}

}  // namespace fastserve::cli
