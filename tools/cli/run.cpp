// fastserve run: answers one prompt, streaming it as text or reporting it as one JSON object.
#include <memory>
#include <string>
#include <vector>

#include "commands.h"
#include "console.h"
#include "json_writer.h"
#include "terminal.h"

namespace fastserve::cli {

namespace {

struct RunOptions {
  EngineOptions engine;
  std::string prompt;
  std::string system;
  uint32_t max_tokens = 256;
  float temperature = 0;
  int32_t top_k = 0;
  float top_p = 1;
  float min_p = 0;
  uint64_t seed = 0;
  std::vector<std::string> stop;
  bool ignore_eos = false;
  bool raw = false;
  bool json = false;
};

struct Answer {
  std::string text;
  std::vector<int32_t> token_ids;
  fsv_finish_reason finish_reason = FSV_FINISH_NONE;
  uint32_t prompt_token_count = 0;
  uint64_t queue_us = 0, first_token_us = 0, total_us = 0;

  double prefill_tokens_per_second() const {
    return first_token_us > queue_us ? prompt_token_count * 1e6 / static_cast<double>(first_token_us - queue_us) : 0;
  }
  double decode_tokens_per_second() const {  // the first token belongs to the prefill
    const bool measurable = token_ids.size() > 1 && total_us > first_token_us;
    return measurable ? static_cast<double>(token_ids.size() - 1) * 1e6 / static_cast<double>(total_us - first_token_us)
                      : 0;
  }
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
  std::vector<fsv_string> stops;
  for (const std::string& stop : options.stop) stops.push_back({stop.data(), stop.size()});
  fsv_generate_config config;
  fsv_generate_config_init(&config);
  config.token_ids = prompt.data();
  config.token_count = prompt.size();
  config.max_tokens = options.max_tokens;
  config.ignore_eos = options.ignore_eos ? 1 : 0;
  config.stop_strings = stops.data();
  config.stop_string_count = stops.size();
  fsv_sampling sampling;
  fsv_sampling_init(&sampling);
  sampling.temperature = options.temperature;
  sampling.top_k = options.top_k;
  sampling.top_p = options.top_p;
  sampling.min_p = options.min_p;
  sampling.seed = options.seed;
  config.sampling = &sampling;
  fsv_request request = 0;
  fsv_error error;
  check(fsv_submit_generate(session.engine(), session.model(), &config, &request, &error), error);
  return request;
}

Answer collect(EngineSession& session, fsv_request request, bool stream) {
  Answer answer;
  bool cancelled = false;
  while (answer.finish_reason == FSV_FINISH_NONE) {
    for (const fsv_event& event : session.wait_events()) {
      if (event.request != request) continue;
      answer.text.append(event.text ? event.text : "", event.text_size);
      answer.token_ids.insert(answer.token_ids.end(), event.token_ids, event.token_ids + event.token_count);
      if (stream && event.text_size > 0) print({event.text, event.text_size});
      if (event.type != FSV_EVENT_FINISHED) continue;
      if (event.finish_reason == FSV_FINISH_ERROR) {
        throw Failure(event.status, std::string(event.message ? event.message : "", event.message_size));
      }
      answer.finish_reason = event.finish_reason;
      answer.prompt_token_count = event.prompt_token_count;
      answer.queue_us = event.queue_us;
      answer.first_token_us = event.first_token_us;
      answer.total_us = event.total_us;
    }
    if (interrupted() && !cancelled) {
      session.cancel({&request, 1});
      cancelled = true;
    }
  }
  return answer;
}

void print_json(const Answer& answer, const std::vector<int32_t>& prompt, double load_ms) {
  JsonWriter out;
  out.begin_object().member("text", answer.text);
  out.member("token_ids", std::span<const int32_t>(answer.token_ids));
  out.member("prompt_token_ids", std::span<const int32_t>(prompt));
  out.member("finish_reason", fsv_finish_reason_name(answer.finish_reason));
  out.member("load_ms", load_ms);
  out.member("first_token_ms", static_cast<double>(answer.first_token_us) / 1000);
  out.member("total_ms", static_cast<double>(answer.total_us) / 1000);
  out.member("prefill_tokens_per_second", answer.prefill_tokens_per_second());
  out.member("decode_tokens_per_second", answer.decode_tokens_per_second());
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
  const Answer answer = collect(session, submit(session, options, prompt), !options.json);
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
  command->add_option("--max-tokens", options->max_tokens, "longest answer in tokens")->capture_default_str();
  command->add_option("--temperature", options->temperature, "0: always the most likely token")->capture_default_str();
  command->add_option("--top-k", options->top_k, "draw from the k most likely tokens; 0: all");
  command->add_option("--top-p", options->top_p, "draw from the smallest set with this probability; 1: all");
  command->add_option("--min-p", options->min_p, "drop tokens below this share of the most likely one; 0: none");
  command->add_option("--seed", options->seed, "same seed, same answer")->capture_default_str();
  command->add_option("--stop", options->stop, "end before this text (may be given several times)")
      ->allow_extra_args(false);
  command->add_flag("--ignore-eos", options->ignore_eos, "go on after end-of-text tokens");
  command->add_flag("--raw", options->raw, "no chat template: continue the prompt as it stands");
  command->add_flag("--json", options->json, "one JSON object instead of streamed text");
  command->callback([options, &invocation] {
    invocation.json = options->json;
    invocation.action = [options] { return run(*options); };
  });
}

}  // namespace fastserve::cli
