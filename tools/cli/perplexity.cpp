// fastserve perplexity: how well a model predicts a text, by the definition that llama.cpp uses: the text is cut into
// windows of N tokens, each begins with the model's BOS token if it has one, and the second half of each is scored.
#include <cmath>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "commands.h"
#include "console.h"
#include "json_writer.h"
#include "logits_file.h"
#include "progress_bar.h"
#include "terminal.h"

namespace fastserve::cli {

namespace {

struct PerplexityOptions {
  EngineOptions engine;
  std::string file;
  uint32_t context = 512;
  uint32_t chunks = 0;  // windows to score at most; 0: all
  uint32_t parallel = 4;
  std::string logits_out;
  bool json = false;
};

// A window under way: how many of its tokens have been reported, and the sum over the scored ones.
struct Window {
  size_t index = 0;
  size_t tokens_seen = 0;
  double negative_logprob = 0;
};

struct Score {
  std::vector<double> negative_logprob;  // of each window's scored half, in the text's order
  size_t tokens_per_window = 0;          // scored ones

  double perplexity() const {
    double sum = 0;
    for (const double window : negative_logprob) sum += window;
    return std::exp(sum / static_cast<double>(negative_logprob.size() * tokens_per_window));
  }
};

class Scorer {
 public:
  Scorer(EngineSession& session, const PerplexityOptions& options, std::vector<int32_t> tokens)
      : session_(session), options_(options), tokens_(std::move(tokens)) {
    window_count_ = tokens_.size() / options.context;
    if (options.chunks > 0 && options.chunks < window_count_) window_count_ = options.chunks;
    if (window_count_ == 0) {
      throw Failure(FSV_ERROR_INVALID_ARGUMENT, options.file + ": " + std::to_string(tokens_.size()) +
                                                    " tokens, fewer than one window of " +
                                                    std::to_string(options.context));
    }
    mark_windows(session.begin_token());
    if (!options.logits_out.empty()) {
      const LogitsShape shape{options.context, options.context / 2, session.info().vocabulary_size,
                              static_cast<uint32_t>(window_count_)};
      logits_.emplace(options.logits_out, shape, tokens_);
    }
    score_.negative_logprob.resize(window_count_);
    score_.tokens_per_window = options.context - first_scored();
  }

  Score run() {
    ProgressBar bar("scoring");
    size_t next = 0, finished = 0;
    while (finished < window_count_) {
      while (next < window_count_ && active_.size() < options_.parallel) submit(next++);
      for (const fsv_event& event : session_.wait_events()) finished += take(event) ? 1 : 0;
      bar.update(finished, window_count_);
      if (interrupted()) throw Failure(FSV_ERROR_CANCELLED, "interrupted");
    }
    if (logits_) logits_->close();
    return score_;
  }

 private:
  // Logits of the rows from the middle on predict the tokens after them, the window's last one included.
  size_t first_scored() const { return options_.context / 2 + 1; }

  // Drops what is beyond the last window, and lets each begin with the model's BOS.
  void mark_windows(const std::vector<int32_t>& begin) {
    tokens_.resize(window_count_ * options_.context);
    for (size_t at = 0; at < tokens_.size() && !begin.empty(); at += options_.context) tokens_[at] = begin.front();
  }

  void submit(size_t index) {
    fsv_score_config config;
    fsv_score_config_init(&config, sizeof(config));
    if (logits_) config.flags |= FSV_SCORE_FULL_LOGITS;
    config.token_ids = tokens_.data() + index * options_.context;
    config.token_count = options_.context;
    fsv_request request = 0;
    fsv_error error;
    check(fsv_submit_score(session_.engine(), session_.model(), &config, &request, &error), error);
    active_[request].index = index;
  }

  // True when the event ended a window.
  bool take(const fsv_event& event) {
    const auto found = active_.find(event.request);
    if (found == active_.end()) return false;
    Window& window = found->second;
    if (event.type == FSV_EVENT_SCORE && event.logprobs) {
      write_logits(window, event);
      for (size_t i = 0; i < event.token_count; ++i, ++window.tokens_seen) {
        if (window.tokens_seen >= first_scored()) window.negative_logprob -= static_cast<double>(event.logprobs[i]);
      }
    }
    if (event.type != FSV_EVENT_FINISHED) return false;
    if (event.status != FSV_OK || window.tokens_seen != options_.context) {
      throw Failure(event.status == FSV_OK ? FSV_ERROR_INTERNAL : event.status,
                    "window " + std::to_string(window.index) + ": " +
                        std::string(event.message ? event.message : "", event.message_size));
    }
    score_.negative_logprob[window.index] = window.negative_logprob;
    active_.erase(found);
    return true;
  }

  // The logits that scored the event's tokens; the text's first token has none.
  void write_logits(const Window& window, const fsv_event& event) {
    if (!logits_ || !event.logits) return;
    const size_t skipped = event.token_count - event.logit_row_count;
    for (size_t row = 0; row < event.logit_row_count; ++row) {
      const size_t token = window.tokens_seen + skipped + row;
      if (token < first_scored()) continue;
      logits_->write_row(window.index, token - first_scored(), event.logits + row * session_.info().vocabulary_size);
    }
  }

  EngineSession& session_;
  const PerplexityOptions& options_;
  std::vector<int32_t> tokens_;
  size_t window_count_ = 0;
  std::optional<LogitsFile> logits_;
  std::unordered_map<fsv_request, Window> active_;
  Score score_;
};

int measure(const PerplexityOptions& options) {
  const std::string text = read_input(options.file);
  EngineOptions engine = options.engine;
  engine.context = options.context;
  engine.max_sequences = options.parallel;
  EngineSession session(engine);
  Scorer scorer(session, options, session.tokenize(text, FSV_TOKENIZE_ADD_BOS));
  const Score score = scorer.run();
  const size_t windows = score.negative_logprob.size();
  const size_t scored = windows * score.tokens_per_window;
  if (options.json) {
    JsonWriter out;
    out.begin_object().member("perplexity", score.perplexity()).member("context", options.context);
    out.member("windows", windows).member("tokens_scored", scored).end_object();
    print(out.text() + "\n");
  } else {
    print("perplexity " + decimal(score.perplexity(), 4) + " (" + std::to_string(scored) + " tokens scored in " +
          std::to_string(windows) + " windows of " + std::to_string(options.context) + ")\n");
  }
  return kExitOk;
}

}  // namespace

void add_perplexity(CLI::App& program, Invocation& invocation) {
  auto options = std::make_shared<PerplexityOptions>();
  CLI::App* command = program.add_subcommand("perplexity", "how well a model predicts a text");
  add_engine_options(*command, options->engine);
  command->add_option("--file", options->file, "UTF-8 text; - is standard input")->required();
  command->add_option("--context", options->context, "tokens of a window, the second half of which is scored")
      ->check(CLI::Range(4u, 1u << 20))
      ->capture_default_str();
  command->add_option("--chunks", options->chunks, "score at most this many windows; 0: all");
  command->add_option("--parallel", options->parallel, "windows under way at once")
      ->check(CLI::Range(1u, 64u))
      ->capture_default_str();
  command->add_option("--logits-out", options->logits_out, "write the full logits of the scored rows to this file");
  command->add_flag("--json", options->json, "one JSON object");
  command->callback([options, &invocation] {
    invocation.json = options->json;
    invocation.action = [options] { return measure(*options); };
  });
}

}  // namespace fastserve::cli
