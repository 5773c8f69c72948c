#include "replay.h"

#include <algorithm>
#include <cstdio>

namespace fastserve::serving {

simulate::SimulationResult replay(Host& host, const std::vector<simulate::SimulatedRequest>& requests) {
  std::vector<size_t> numbers;
  const fsv_metrics before = host.metrics();
  const int64_t origin_ns = Host::now_ns();
  auto due_ns = [&](size_t index) { return origin_ns + requests[index].arrival_ns; };
  while (numbers.size() < requests.size() || host.alive_count() > 0) {
    const int64_t now_ns = Host::now_ns();
    for (; numbers.size() < requests.size() && due_ns(numbers.size()) <= now_ns;) {
      const simulate::SimulatedRequest& asked = requests[numbers.size()];
      numbers.push_back(host.submit({asked.prompt_tokens, asked.output_tokens, asked.max_tokens, asked.priority, 0}));
    }
    constexpr int64_t kLongestNs = 100'000'000;
    const int64_t next_ns = numbers.size() < requests.size() ? due_ns(numbers.size()) : now_ns + kLongestNs;
    host.take_events(std::min(next_ns, now_ns + kLongestNs));
  }
  simulate::SimulationResult result;
  result.end_ns = Host::now_ns() - origin_ns;
  for (size_t i = 0; i < requests.size(); ++i) {
    simulate::Outcome outcome = host.outcome(numbers[i]);
    for (int64_t* time : {&outcome.first_row_ns, &outcome.first_token_ns, &outcome.finished_ns}) {
      *time += requests[i].arrival_ns;  // the host's own lag is not the engine's
    }
    result.outcomes.push_back(outcome);
  }
  const fsv_metrics after = host.metrics();
  result.steps = after.steps - before.steps;
  result.drops = after.dropped_requests - before.dropped_requests;
  result.recomputed_tokens = after.recomputed_tokens - before.recomputed_tokens;
  result.scheduler_ns = static_cast<int64_t>(after.scheduler_us_total - before.scheduler_us_total) * 1000;
  return result;
}

namespace {

void add_line(std::string& text, const char* bucket, size_t count, const char* what, const simulate::Percentiles& real,
              const simulate::Percentiles& simulated) {
  char line[240];
  auto ratio = [](double a, double b) { return b > 0 ? a / b : 0; };
  std::snprintf(line, sizeof(line),
                "%-14s %5zu  %-12s %9.1f %9.1f %9.1f   %9.1f %9.1f %9.1f   %5.2f %5.2f %5.2f  %5.2f\n", bucket, count,
                what, 1e3 * real.p50, 1e3 * real.p95, 1e3 * real.p99, 1e3 * simulated.p50, 1e3 * simulated.p95,
                1e3 * simulated.p99, ratio(real.p50, simulated.p50), ratio(real.p95, simulated.p95),
                ratio(real.p99, simulated.p99), ratio(real.mean, simulated.mean));
  text += line;
}

}  // namespace

std::string compare(const simulate::Summary& real, const simulate::Summary& simulated) {
  std::string text =
      "answer tokens  count  ms             real: P50       P95       P99   simulated: P50     P95       P99   real "
      "over "
      "simulated: P50, P95, P99, mean\n";
  add_line(text, "all", real.count, "first token", real.first_token, simulated.first_token);
  add_line(text, "all", real.count, "gap", real.gap, simulated.gap);
  add_line(text, "all", real.count, "completion", real.completion, simulated.completion);
  for (size_t i = 0; i < std::min(real.by_output.size(), simulated.by_output.size()); ++i) {
    const simulate::Bucket &ours = real.by_output[i], &theirs = simulated.by_output[i];
    add_line(text, ours.name.c_str(), ours.count, "first token", ours.first_token, theirs.first_token);
    add_line(text, ours.name.c_str(), ours.count, "gap", ours.gap, theirs.gap);
    add_line(text, ours.name.c_str(), ours.count, "completion", ours.completion, theirs.completion);
  }
  return text;
}

}  // namespace fastserve::serving
