// What prompt lookup brings and costs, over the public header: each task is answered with guesses and without, in pairs
// that change their order. usage: bench_lookup <model.gguf> [pairs] [threads]
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

#include "fastserve.h"

namespace {

void check(fsv_status status, const fsv_error& error) {
  if (status == FSV_OK) return;
  std::fprintf(stderr, "%s: %s\n", fsv_status_name(status), error.message);
  std::exit(1);
}

// A prompt that ends where its own repetition has begun, or one that nothing repeats.
struct Task {
  const char* name;
  std::string prompt;
  uint32_t max_tokens;
  float temperature = 0;  // what is drawn from all words hardly repeats itself
};

const char* const kRecord =
    "{\"name\": \"harbour lamp\", \"height_m\": 12.5, \"keeper\": \"Ansgar Vik\", \"built\": 1887, \"colour\": "
    "\"white\"},\n"
    "{\"name\": \"north mole\", \"height_m\": 7.25, \"keeper\": \"Ida Brandt\", \"built\": 1903, \"colour\": "
    "\"red\"},\n"
    "{\"name\": \"skerry light\", \"height_m\": 31, \"keeper\": \"Per Holm\", \"built\": 1866, \"colour\": "
    "\"striped\"},\n";

const char* const kCode =
    "def area(shape):\n    if shape.kind == \"circle\":\n        return 3.14159 * shape.radius ** 2\n"
    "    if shape.kind == \"square\":\n        return shape.side ** 2\n    raise ValueError(shape.kind)\n";

const char* const kText =
    "The committee met on the first Tuesday of March in the old customs house. It heard the report of the harbour "
    "master, "
    "who said that the eastern quay had sunk by four centimetres since the survey of last spring. The treasurer asked "
    "what "
    "repairs would cost, and was told that driving forty new piles would take the whole summer and most of the "
    "reserve.";

std::vector<Task> tasks() {
  const auto twice = [](const std::string& text) { return text + "\n\n" + text + "\n\n"; };
  return {
      {"copy: text repeated", twice(kText) + "The committee met", 96},
      {"copy: records", twice(kRecord) + "{\"name\":", 128},
      {"copy: code", twice(kCode) + "def area", 64},
      {"new: story", "Once upon a time, in a village by the sea, there lived an old woman who", 128},
      {"new: explanation", "The reason why the sky is blue during the day and red in the evening is that", 128},
      {"new: after a long text", std::string(kText) + "\n\nWhat nobody in the room dared to say was that", 128},
      {"drawn: story", "Once upon a time, in a village by the sea, there lived an old woman who", 128, 1},
      {"drawn: after a long text", std::string(kText) + "\n\nWhat nobody in the room dared to say was that", 128, 1},
  };
}

struct Answer {
  std::vector<int32_t> tokens;
  double tokens_per_second = 0;  // from the first token on
};

class Bench {
 public:
  Bench(const char* path, uint32_t threads) {
    fsv_engine_config config;
    fsv_engine_config_init(&config, sizeof(config));
    config.thread_count = threads;
    check(fsv_engine_create(&config, &engine_, &error_), error_);
    fsv_load_config load;
    fsv_load_config_init(&load, sizeof(load));
    load.path = path;
    load.path_size = SIZE_MAX;
    load.flags = FSV_LOAD_WARM_UP;
    fsv_ticket ticket = 0;
    check(fsv_model_load(engine_, &load, &ticket, &error_), error_);
    check(fsv_ticket_wait(engine_, ticket, UINT64_MAX, &error_), error_);
    check(fsv_ticket_take_model(engine_, ticket, &model_, &error_), error_);
  }
  ~Bench() {
    fsv_model_release(model_, nullptr);
    fsv_engine_release(engine_, nullptr);
  }

  Answer answer(const Task& task, uint32_t speculation) {
    fsv_generate_config config;
    fsv_generate_config_init(&config, sizeof(config));
    config.text = task.prompt.data();
    config.text_size = task.prompt.size();
    config.max_tokens = task.max_tokens;
    config.ignore_eos = 1;
    config.speculation = speculation;
    fsv_sampling sampling;
    fsv_sampling_init(&sampling, sizeof(sampling));
    sampling.temperature = task.temperature;
    config.sampling = &sampling;
    fsv_request request = 0;
    check(fsv_submit_generate(engine_, model_, &config, &request, &error_), error_);
    Answer answer;
    for (;;) {
      check(fsv_wait(engine_, 60000000, &error_), error_);
      fsv_event events[16];
      size_t count = 0;
      check(fsv_poll(engine_, events, sizeof(fsv_event), 16, &count, &error_), error_);
      for (size_t i = 0; i < count; ++i) {
        const fsv_event& event = events[i];
        if (event.type == FSV_EVENT_TOKENS)
          answer.tokens.insert(answer.tokens.end(), event.token_ids, event.token_ids + event.token_count);
        if (event.type != FSV_EVENT_FINISHED) continue;
        const double seconds = static_cast<double>(event.total_us - event.first_token_us) / 1e6;
        answer.tokens_per_second = static_cast<double>(event.generated_token_count - 1) / seconds;
        return answer;
      }
    }
  }

  // Guesses made and come true so far.
  fsv_metrics metrics() {
    fsv_metrics metrics;
    fsv_metrics_init(&metrics, sizeof(metrics));
    check(fsv_metrics_snapshot(engine_, &metrics, &error_), error_);
    return metrics;
  }

 private:
  fsv_engine* engine_ = nullptr;
  fsv_model* model_ = nullptr;
  fsv_error error_{};
};

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

bool compare(Bench& bench, const Task& task, int pairs) {
  std::vector<double> with, without, ratios;
  const fsv_metrics before = bench.metrics();
  bool is_same = true;
  for (int pair = 0; pair < pairs; ++pair) {
    Answer guessed, plain;
    if (pair % 2 == 0) guessed = bench.answer(task, FSV_SPECULATION_AUTO);
    plain = bench.answer(task, FSV_SPECULATION_OFF);
    if (pair % 2 != 0) guessed = bench.answer(task, FSV_SPECULATION_AUTO);
    is_same = is_same && guessed.tokens == plain.tokens;
    with.push_back(guessed.tokens_per_second);
    without.push_back(plain.tokens_per_second);
    ratios.push_back(with.back() / without.back());
  }
  const fsv_metrics after = bench.metrics();
  std::printf("%-24s %8.1f %8.1f   %.2f (%.2f-%.2f)   %4llu of %4llu   %s\n", task.name, median(with), median(without),
              median(ratios), *std::min_element(ratios.begin(), ratios.end()),
              *std::max_element(ratios.begin(), ratios.end()),
              static_cast<unsigned long long>((after.drafts_accepted - before.drafts_accepted) / pairs),
              static_cast<unsigned long long>((after.drafted_tokens - before.drafted_tokens) / pairs),
              is_same ? "same tokens" : "DIFFERENT TOKENS");
  std::fflush(stdout);
  return is_same;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 2) return std::fprintf(stderr, "usage: bench_lookup <model.gguf> [pairs] [threads]\n"), 2;
  const int pairs = argc > 2 ? std::max(1, std::atoi(argv[2])) : 7;
  Bench bench(argv[1], argc > 3 ? static_cast<uint32_t>(std::atoi(argv[3])) : 0);
  std::printf("%-24s %8s %8s   %-16s   %12s\n", "tokens/s, medians", "guessing", "plain", "ratio (spread)",
              "came true");
  bool is_same = true;
  for (const Task& task : tasks()) is_same = compare(bench, task, pairs) && is_same;
  return is_same ? 0 : 1;
}
