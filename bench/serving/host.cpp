#include "host.h"

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>

namespace fastserve::serving {

void Host::check(fsv_status status) const {
  if (status == FSV_OK) return;
  std::fprintf(stderr, "%s: %s\n", fsv_status_name(status), error_.message);
  std::exit(1);
}

int64_t Host::now_ns() {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

Host::Host(const HostOptions& options) {
  fsv_engine_config config;
  fsv_engine_config_init(&config, sizeof(config));
  config.scheduler = options.scheduler;
  config.thread_count = options.threads;
  config.max_sequences = options.slots;
  config.context_tokens = options.context;
  config.max_batch_tokens = options.batch_tokens;
  config.max_queued_requests = 1 << 14;
  config.kv_bytes = options.kv_bytes;
  check(fsv_engine_create(&config, &engine_, &error_));
  fsv_load_config load;
  fsv_load_config_init(&load, sizeof(load));
  load.path = options.model.c_str();
  load.path_size = options.model.size();
  load.flags = FSV_LOAD_WARM_UP;
  fsv_ticket ticket = 0;
  check(fsv_model_load(engine_, &load, &ticket, &error_));
  check(fsv_ticket_wait(engine_, ticket, UINT64_MAX, &error_));
  check(fsv_ticket_take_model(engine_, ticket, &model_, &error_));
  fsv_model_info_init(&info_, sizeof(info_));
  check(fsv_model_get_info(model_, &info_, &error_));
}

Host::~Host() {
  fsv_model_release(model_, nullptr);
  fsv_engine_release(engine_, nullptr);
}

// Random ids; the end token, which cannot be drawn before, is drawn where the answer is to end: the engine knows
// max_tokens alone.
size_t Host::submit(const Ask& ask) {
  const size_t number = asked_.size();
  std::vector<int32_t> ids(static_cast<size_t>(ask.prompt_tokens));
  for (size_t i = 0; i < ids.size(); ++i) {
    ids[i] = static_cast<int32_t>(100 + (number * 7919 + i * 104729) % (info_.vocabulary_size - 200));
  }
  const fsv_logit_bias end{info_.eos_token_id, 1000};
  fsv_sampling sampling;
  fsv_sampling_init(&sampling, sizeof(sampling));
  sampling.temperature = 0;
  sampling.logit_bias = &end;
  sampling.logit_bias_count = 1;
  fsv_generate_config config;
  fsv_generate_config_init(&config, sizeof(config));
  config.token_ids = ids.data();
  config.token_count = ids.size();
  config.max_tokens = static_cast<uint32_t>(ask.max_tokens);
  config.min_tokens = static_cast<uint32_t>(ask.output_tokens - 1);
  config.sampling = &sampling;
  config.speculation = FSV_SPECULATION_OFF;
  config.priority = ask.priority;
  config.token_deadline_us = ask.token_deadline_us;
  config.user_data = number;
  asked_.push_back({ask, 0, {}});
  ++alive_count_;
  fsv_request request = 0;
  check(fsv_submit_generate(engine_, model_, &config, &request, &error_));
  return number;
}

void Host::take_events(int64_t until_ns) {
  const int64_t left_us = std::max<int64_t>((until_ns - now_ns()) / 1000, 0);
  (void)fsv_wait(engine_, static_cast<uint64_t>(left_us), nullptr);
  fsv_event events[64];
  size_t count = 0;
  do {
    check(fsv_poll(engine_, events, sizeof(fsv_event), 64, &count, &error_));
    const int64_t now = now_ns();
    for (size_t i = 0; i < count; ++i) take(events[i], now);
  } while (count == 64);
}

void Host::run_to_end() {
  while (alive_count_ > 0) take_events(now_ns() + 100'000'000);
}

void Host::take(const fsv_event& event, int64_t now_ns) {
  if (event.type != FSV_EVENT_TOKENS && event.type != FSV_EVENT_FINISHED) return;
  Asked& asked = asked_[event.user_data];
  if (event.type == FSV_EVENT_TOKENS) {
    const auto count = static_cast<int64_t>(event.token_count);
    for (int64_t i = 0; i < count && asked.last_token_ns != 0; ++i) {
      const int64_t gap_ns = (now_ns - asked.last_token_ns) / count;
      asked.outcome.gaps_us.push_back(static_cast<int32_t>(gap_ns / 1000));
      asked.outcome.longest_gap_ns = std::max(asked.outcome.longest_gap_ns, gap_ns);
    }
    if (count > 0) asked.last_token_ns = now_ns;
    return;
  }
  if (event.status != FSV_OK) {
    std::fprintf(stderr, "a request failed: %.*s\n", static_cast<int>(event.message_size), event.message);
    std::exit(1);
  }
  asked.outcome.first_row_ns = static_cast<int64_t>(event.queue_us) * 1000;
  asked.outcome.first_token_ns = static_cast<int64_t>(event.first_token_us) * 1000;
  asked.outcome.finished_ns = static_cast<int64_t>(event.total_us) * 1000;
  asked.outcome.generated = static_cast<int32_t>(event.generated_token_count);
  --alive_count_;
}

fsv_metrics Host::metrics() {
  fsv_metrics metrics;
  fsv_metrics_init(&metrics, sizeof(metrics));
  check(fsv_metrics_snapshot(engine_, &metrics, &error_));
  return metrics;
}

int64_t Host::kv_tokens() {
  fsv_memory_stats stats;
  fsv_memory_stats_init(&stats, sizeof(stats));
  check(fsv_memory_get_stats(engine_, &stats, &error_));
  constexpr int64_t kBlockTokens = 16;
  return static_cast<int64_t>(stats.kv_block_count) * kBlockTokens;
}

}  // namespace fastserve::serving
