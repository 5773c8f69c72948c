// What `run` and `chat` share: the options of an answer, and an answer as it comes in.
#ifndef FASTSERVE_CLI_GENERATION_H
#define FASTSERVE_CLI_GENERATION_H

#include <CLI/CLI.hpp>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "engine_session.h"
#include "json_writer.h"

namespace fastserve::cli {

struct GenerationOptions {
  uint32_t max_tokens = 256;
  bool model_sampling = false;
  bool no_speculation = false;
  // Those given change single settings of what applies otherwise: greedy, or the model's own with model_sampling.
  std::optional<float> temperature, top_p, min_p, repetition_penalty;
  std::optional<int32_t> top_k;
  uint64_t seed = 0;
  std::vector<std::string> stop;
  bool ignore_eos = false;
};

void add_generation_options(CLI::App& command, GenerationOptions& options);

// The library's form of these options; the prompt is the caller's to add. Points into `options`, the session's model
// and itself.
class GenerationConfig {
 public:
  GenerationConfig(const GenerationOptions& options, const EngineSession& session);
  GenerationConfig(const GenerationConfig&) = delete;
  GenerationConfig& operator=(const GenerationConfig&) = delete;
  fsv_generate_config* operator->() { return &config_; }
  const fsv_generate_config* get() const { return &config_; }

 private:
  std::vector<fsv_string> stops_;
  fsv_sampling sampling_;
  fsv_generate_config config_;
};

struct Answer {
  std::string text;
  std::vector<int32_t> token_ids;
  fsv_finish_reason finish_reason = FSV_FINISH_NONE;
  uint32_t prompt_token_count = 0;
  uint32_t cached_token_count = 0;  // of the prompt: computed before
  uint64_t queue_us = 0, first_token_us = 0, total_us = 0;

  double prefill_tokens_per_second() const;
  double decode_tokens_per_second() const;  // the first token belongs to the prefill
  // The members finish_reason, first_token_ms ... of an open object.
  void write_json(JsonWriter& out) const;
};

// Waits for the end of a request and hands on the text as it comes. Ctrl-C cancels it: the answer is what there was.
// Throws Failure when it failed.
Answer collect_answer(EngineSession& session, fsv_request request,
                      const std::function<void(std::string_view)>& on_text);

}  // namespace fastserve::cli

#endif  // FASTSERVE_CLI_GENERATION_H
