// Options of an answer, and the loop that collects one.
#include "generation.h"

#include "terminal.h"

namespace fastserve::cli {

void add_generation_options(CLI::App& command, GenerationOptions& options) {
  command.add_option("--max-tokens", options.max_tokens, "longest answer in tokens")->capture_default_str();
  command.add_option("--temperature", options.temperature, "0 (default): always the most likely token");
  command.add_option("--top-k", options.top_k, "draw from the k most likely tokens; 0: all");
  command.add_option("--top-p", options.top_p, "draw from the smallest set with this probability; 1: all");
  command.add_option("--min-p", options.min_p, "drop tokens below this share of the most likely one; 0: none");
  command.add_option("--repetition-penalty", options.repetition_penalty, "above 1: tokens that occurred become rarer");
  command.add_flag("--model-sampling", options.model_sampling,
                   "sample as the model's makers recommend in its files, but for the options given");
  command.add_option("--seed", options.seed, "same seed, same answer")->capture_default_str();
  command.add_option("--stop", options.stop, "end before this text (may be given several times)")
      ->allow_extra_args(false);
  command.add_flag("--ignore-eos", options.ignore_eos, "go on after end-of-text tokens");
  command.add_flag("--no-speculation", options.no_speculation,
                   "compute one token after the other, also where the text repeats itself (the answer is the same)");
}

GenerationConfig::GenerationConfig(const GenerationOptions& options, const EngineSession& session) {
  for (const std::string& stop : options.stop) stops_.push_back({stop.data(), stop.size()});
  fsv_sampling_init(&sampling_, sizeof(sampling_));
  sampling_.temperature = 0;
  if (options.model_sampling) sampling_ = session.model_sampling();
  const auto change = [](auto& setting, const auto& given) {
    if (given.has_value()) setting = *given;
  };
  change(sampling_.temperature, options.temperature);
  change(sampling_.top_k, options.top_k);
  change(sampling_.top_p, options.top_p);
  change(sampling_.min_p, options.min_p);
  change(sampling_.repetition_penalty, options.repetition_penalty);
  sampling_.seed = options.seed;
  fsv_generate_config_init(&config_, sizeof(config_));
  config_.max_tokens = options.max_tokens;
  config_.ignore_eos = options.ignore_eos ? 1 : 0;
  config_.speculation = options.no_speculation ? FSV_SPECULATION_OFF : FSV_SPECULATION_AUTO;
  config_.stop_strings = stops_.data();
  config_.stop_string_count = stops_.size();
  config_.sampling = &sampling_;
}

double Answer::prefill_tokens_per_second() const {
  return first_token_us > queue_us ? prompt_token_count * 1e6 / static_cast<double>(first_token_us - queue_us) : 0;
}

double Answer::decode_tokens_per_second() const {
  const bool measurable = token_ids.size() > 1 && total_us > first_token_us;
  return measurable ? static_cast<double>(token_ids.size() - 1) * 1e6 / static_cast<double>(total_us - first_token_us)
                    : 0;
}

void Answer::write_json(JsonWriter& out) const {
  out.member("finish_reason", fsv_finish_reason_name(finish_reason));
  out.member("first_token_ms", static_cast<double>(first_token_us) / 1000);
  out.member("total_ms", static_cast<double>(total_us) / 1000);
  out.member("prefill_tokens_per_second", prefill_tokens_per_second());
  out.member("decode_tokens_per_second", decode_tokens_per_second());
}

Answer collect_answer(EngineSession& session, fsv_request request,
                      const std::function<void(std::string_view)>& on_text) {
  Answer answer;
  bool cancelled = false;
  while (answer.finish_reason == FSV_FINISH_NONE) {
    for (const fsv_event& event : session.wait_events()) {
      if (event.request != request) continue;
      answer.text.append(event.text ? event.text : "", event.text_size);
      answer.token_ids.insert(answer.token_ids.end(), event.token_ids, event.token_ids + event.token_count);
      if (event.text_size > 0) on_text({event.text, event.text_size});
      if (event.type != FSV_EVENT_FINISHED) continue;
      if (event.finish_reason == FSV_FINISH_ERROR) {
        throw Failure(event.status, std::string(event.message ? event.message : "", event.message_size));
      }
      answer.finish_reason = event.finish_reason;
      answer.prompt_token_count = event.prompt_token_count;
      answer.cached_token_count = event.cached_token_count;
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

}  // namespace fastserve::cli
