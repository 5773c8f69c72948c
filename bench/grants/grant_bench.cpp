// Time grants and cancels, over the public header: by how much fsv_engine_step passes its grant, how much work gets
// done compared with a free run, and how soon a cancel inside a long prefill is answered. usage: grant_bench
// <model.gguf> [prompt tokens] [decode tokens of each stream]
#include <time.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

#include "fastserve.h"

namespace {

constexpr uint32_t kStreams = 16;

void check(fsv_status status, const fsv_error& error) {
  if (status == FSV_OK) return;
  std::fprintf(stderr, "%s: %s\n", fsv_status_name(status), error.message);
  std::exit(1);
}

double seconds(clockid_t clock) {
  timespec now;
  clock_gettime(clock, &now);
  return static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec);
}

double percentile(std::vector<double> values, double share) {
  if (values.empty()) return 0;
  const auto place = static_cast<size_t>(share * static_cast<double>(values.size() - 1));
  std::nth_element(values.begin(), values.begin() + static_cast<std::ptrdiff_t>(place), values.end());
  return values[place];
}

struct Run {
  fsv_engine* engine = nullptr;
  fsv_model* model = nullptr;
  fsv_error error{};

  Run(const char* path, uint32_t mode, uint32_t context) {
    fsv_engine_config config;
    fsv_engine_config_init(&config, sizeof(config));
    config.mode = mode;
    config.context_tokens = context;
    config.kv_bytes = uint64_t{768} << 20;
    check(fsv_engine_create(&config, &engine, &error), error);
    fsv_load_config load;
    fsv_load_config_init(&load, sizeof(load));
    load.path = path;
    load.path_size = SIZE_MAX;
    load.flags = FSV_LOAD_WARM_UP;
    fsv_ticket ticket = 0;
    check(fsv_model_load(engine, &load, &ticket, &error), error);
    if (mode == FSV_MODE_PUMPED) {
      for (uint32_t more = 1; more != 0;) check(fsv_engine_step(engine, 100000, &more, &error), error);
    } else {
      check(fsv_ticket_wait(engine, ticket, UINT64_MAX, &error), error);
    }
    check(fsv_ticket_take_model(engine, ticket, &model, &error), error);
  }
  ~Run() {
    fsv_model_release(model, nullptr);
    fsv_engine_release(engine, nullptr);
  }

  fsv_request submit(uint32_t seed, uint32_t prompt_tokens, uint32_t max_tokens) {
    std::vector<int32_t> ids(prompt_tokens);
    for (uint32_t i = 0; i < prompt_tokens; ++i)
      ids[i] = static_cast<int32_t>(100 + (seed * 7919 + i * 104729) % 40000);
    fsv_generate_config config;
    fsv_generate_config_init(&config, sizeof(config));
    config.token_ids = ids.data();
    config.token_count = ids.size();
    config.max_tokens = max_tokens;
    config.ignore_eos = 1;
    config.speculation = FSV_SPECULATION_OFF;
    fsv_request request = 0;
    check(fsv_submit_generate(engine, model, &config, &request, &error), error);
    return request;
  }
  // Takes events; how many requests ended.
  uint32_t poll() {
    fsv_event events[64];
    size_t count = 0;
    check(fsv_poll(engine, events, sizeof(fsv_event), 64, &count, &error), error);
    return static_cast<uint32_t>(
        std::count_if(events, events + count, [](const fsv_event& e) { return e.type == FSV_EVENT_FINISHED; }));
  }
};

struct Work {
  const char* name;
  uint32_t prompt_tokens;  // of one long prompt; 0: none
  uint32_t decode_tokens;  // of each stream; 0: no streams
};

struct Measured {
  std::vector<double> wall_overruns_ms, cpu_overruns_ms;
  double tokens_per_cpu_s = 0;
};

// Runs the work in steps of `grant_us`; tokens for each second inside step().
Measured measure(const char* path, const Work& work, uint64_t grant_us) {
  Run run(path, FSV_MODE_PUMPED, std::max(work.prompt_tokens, work.decode_tokens + 64) + 64);
  uint32_t alive = 0;
  if (work.decode_tokens != 0) {
    for (uint32_t i = 0; i < kStreams; ++i, ++alive) run.submit(i, 32, work.decode_tokens);
  }
  if (work.prompt_tokens != 0) {
    run.submit(99, work.prompt_tokens, 1);
    ++alive;
  }
  Measured measured;
  fsv_metrics metrics;
  double cpu_s = 0;
  while (alive != 0) {
    const double wall = seconds(CLOCK_MONOTONIC), cpu = seconds(CLOCK_THREAD_CPUTIME_ID);
    uint32_t more = 0;
    check(fsv_engine_step(run.engine, grant_us, &more, &run.error), run.error);
    const double wall_ms = 1e3 * (seconds(CLOCK_MONOTONIC) - wall);
    const double cpu_ms = 1e3 * (seconds(CLOCK_THREAD_CPUTIME_ID) - cpu);
    cpu_s += cpu_ms / 1e3;
    const double grant_ms = static_cast<double>(grant_us) / 1e3;
    measured.wall_overruns_ms.push_back(std::max(0.0, wall_ms - grant_ms));
    measured.cpu_overruns_ms.push_back(std::max(0.0, cpu_ms - grant_ms));
    alive -= run.poll();
  }
  fsv_metrics_init(&metrics, sizeof(metrics));
  check(fsv_metrics_snapshot(run.engine, &metrics, &run.error), run.error);
  measured.tokens_per_cpu_s = static_cast<double>(metrics.prefill_tokens + metrics.decode_tokens) / cpu_s;
  return measured;
}

void measure_grants(const char* path, const Work& work) {
  const double free_run = measure(path, work, 10000000).tokens_per_cpu_s;
  std::printf("%s\n  free run: %.0f tokens/s\n", work.name, free_run);
  for (const uint64_t grant_us : {1000, 2000, 5000}) {
    const Measured m = measure(path, work, grant_us);
    std::printf(
        "  grant %llu ms: overrun P50 %.2f, P99 %.2f, max %.2f ms (of processor time: P99 %.2f, max %.2f); "
        "%.0f tokens/s = %.2f of the free run; %zu steps\n",
        static_cast<unsigned long long>(grant_us / 1000), percentile(m.wall_overruns_ms, 0.5),
        percentile(m.wall_overruns_ms, 0.99), percentile(m.wall_overruns_ms, 1), percentile(m.cpu_overruns_ms, 0.99),
        percentile(m.cpu_overruns_ms, 1), m.tokens_per_cpu_s, m.tokens_per_cpu_s / free_run, m.wall_overruns_ms.size());
    std::fflush(stdout);
  }
}

// Cancels a long prefill at different points of it, in an engine with threads of its own.
void measure_cancels(const char* path, uint32_t prompt_tokens) {
  constexpr int kRounds = 40;
  Run run(path, FSV_MODE_THREADED, prompt_tokens + 64);
  std::vector<double> latencies_ms;
  for (int round = 0; round < kRounds; ++round) {
    const fsv_request request = run.submit(static_cast<uint32_t>(round), prompt_tokens, 4);
    const double pause_s = 0.02 + 0.037 * round;
    const timespec pause{static_cast<time_t>(pause_s),
                         static_cast<long>((pause_s - static_cast<time_t>(pause_s)) * 1e9)};
    nanosleep(&pause, nullptr);
    const double begin = seconds(CLOCK_MONOTONIC);
    check(fsv_request_cancel(run.engine, request, &run.error), run.error);
    while (run.poll() == 0) (void)fsv_wait(run.engine, 1000000, nullptr);
    latencies_ms.push_back(1e3 * (seconds(CLOCK_MONOTONIC) - begin));
  }
  fsv_metrics metrics;
  fsv_metrics_init(&metrics, sizeof(metrics));
  check(fsv_metrics_snapshot(run.engine, &metrics, &run.error), run.error);
  fsv_model_info info;
  fsv_model_info_init(&info, sizeof(info));
  check(fsv_model_get_info(run.model, &info, &run.error), run.error);
  std::printf("cancel inside a prefill of %u tokens: P50 %.2f, P99 %.2f ms; a layer of the longest step took %.2f ms\n",
              prompt_tokens, percentile(latencies_ms, 0.5), percentile(latencies_ms, 0.99),
              1e-3 * static_cast<double>(metrics.max_step_us) / info.layer_count);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 2) {
    std::fprintf(stderr, "usage: grant_bench <model.gguf> [prompt tokens] [decode tokens]\n");
    return 2;
  }
  const auto prompt = static_cast<uint32_t>(argc > 2 ? std::atoi(argv[2]) : 8192);
  const auto decode = static_cast<uint32_t>(argc > 3 ? std::atoi(argv[3]) : 256);
  measure_grants(argv[1], {"one long prompt", prompt, 0});
  measure_grants(argv[1], {"16 streams", 0, decode});
  measure_grants(argv[1], {"16 streams beside a long prompt", prompt / 4, decode});
  measure_cancels(argv[1], prompt);
  return 0;
}
