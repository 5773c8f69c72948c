// bench_serving: the real engine under load, over the public header.
//   replay    the same arrivals on the engine and in the simulator, whose profile is measured in the same run
//   deadline  streams with a deadline between tokens beside a long prompt
//   overhead  what planning takes of a decode step, and adaptive beside fcfs without contention
#include <CLI/CLI.hpp>
#include <cstdio>
#include <fstream>

#include "measured_profile.h"
#include "replay.h"

namespace fastserve::serving {
namespace {

struct Options {
  HostOptions host;
  std::vector<std::string> policies = {"fcfs", "adaptive"};
  std::vector<double> loads = {0.3, 0.6, 0.9};
  std::string mix = "heavy", profile_out;
  double seconds = 75;
  uint64_t seed = 1;
  int32_t prompt_tokens = 16000, streams = 8;
  double deadline_ms = 60;
};

uint32_t scheduler_of(const std::string& policy) {
  return policy == "fcfs" ? FSV_SCHEDULER_FCFS : policy == "mlfq" ? FSV_SCHEDULER_MLFQ : FSV_SCHEDULER_ADAPTIVE;
}

int fail(const Status& status) {
  std::fprintf(stderr, "bench_serving: %s\n", status.message());
  return 1;
}

Status replay_at(const Options& options, const std::string& policy, double load, simulate::Setting& setting) {
  HostOptions host_options = options.host;
  host_options.scheduler = scheduler_of(policy);
  Host host(host_options);
  const auto slots = static_cast<int32_t>(host_options.slots);
  const MeasuredProfile measured = measure_profile(host, slots, static_cast<int32_t>(host_options.batch_tokens));
  setting.profile = measured.profile;
  setting.simulation.slots = slots;
  setting.request_count = 2000;
  FSV_ASSIGN(const double capacity, capacity_of(setting, options.seed));
  const double rate = load * capacity;
  setting.request_count = static_cast<size_t>(std::max(rate * options.seconds, 1.0));
  FSV_ASSIGN(const simulate::Run simulated, run_at(setting, policy, rate, options.seed));
  std::printf("%s, load %.2f: %zu requests at %.2f/s; linear cost model within %.0f%% of what was measured\n",
              policy.c_str(), load, simulated.requests.size(), rate, 100 * measured.worst_error);
  std::fflush(stdout);
  const simulate::SimulationResult result = replay(host, simulated.requests);
  const simulate::Summary real = summarize(simulated.requests, result);
  std::printf("%s", compare(real, simulated.summary).c_str());
  std::printf("tokens/s: %.1f, simulated %.1f; steps: %llu, %llu; planning: %.1f us a step\n\n", real.tokens_per_second,
              simulated.summary.tokens_per_second, static_cast<unsigned long long>(real.steps),
              static_cast<unsigned long long>(simulated.summary.steps), real.scheduler_us_per_step);
  std::fflush(stdout);
  return {};
}

int run_replay(const Options& options) {
  simulate::Setting setting;
  Result<simulate::LengthSource> source = simulate::LengthSource::from_mix(options.mix);
  if (!source.ok()) return fail(source.status());
  setting.source = source.take();
  for (const std::string& policy : options.policies) {
    for (const double load : options.loads) {
      if (const Status status = replay_at(options, policy, load, setting); !status.ok()) return fail(status);
    }
  }
  if (options.profile_out.empty()) return 0;
  std::ofstream file(options.profile_out, std::ios::binary);
  file << to_json(setting.profile);
  file.close();
  return file.good() ? 0 : fail(Status(StatusCode::kIo, "cannot write the profile"));
}

// Gaps of the streams before a long prompt comes, and from then to its first token.
void run_deadline(const Options& options, double deadline_ms) {
  HostOptions host_options = options.host;
  host_options.context = static_cast<uint32_t>(options.prompt_tokens + 64);
  Host host(host_options);
  constexpr int32_t kTokens = 4000;
  std::vector<size_t> streams;
  for (int32_t i = 0; i < options.streams; ++i) {
    streams.push_back(host.submit({16, kTokens, kTokens, 0, static_cast<uint64_t>(1e3 * deadline_ms)}));
  }
  while (host.metrics().decode_tokens < static_cast<uint64_t>(options.streams) * 100) {
    host.take_events(Host::now_ns() + 50'000'000);
  }
  std::vector<size_t> begun;
  for (const size_t stream : streams) begun.push_back(host.outcome(stream).gaps_us.size());
  const size_t reader = host.submit({options.prompt_tokens, 1, 1});
  while (host.outcome(reader).generated == 0) host.take_events(Host::now_ns() + 50'000'000);
  std::vector<double> before, during;
  for (size_t i = 0; i < streams.size(); ++i) {
    const std::vector<int32_t>& gaps = host.outcome(streams[i]).gaps_us;
    for (size_t k = 0; k < gaps.size(); ++k) (k < begun[i] ? before : during).push_back(1e-3 * gaps[k]);
  }
  const simulate::Percentiles calm = simulate::percentiles_of(before), busy = simulate::percentiles_of(during);
  const double longest = during.empty() ? 0 : during.back();
  std::printf(
      "deadline %5.1f ms: gaps of %d streams, ms: before P50 %.1f P99 %.1f; beside a prompt of %d tokens P50 %.1f "
      "P95 %.1f P99 %.1f max %.1f; the prompt took %.1f s\n",
      deadline_ms, options.streams, calm.p50, calm.p99, options.prompt_tokens, busy.p50, busy.p95, busy.p99, longest,
      1e-9 * static_cast<double>(host.outcome(reader).first_token_ns));
  std::fflush(stdout);
}

// `streams` answers of 200 tokens beside each other; rounds alternate between the policies.
void run_overhead(const Options& options) {
  for (const int32_t streams : {4, 64}) {
    double tokens_per_s[2] = {}, share[2] = {};
    constexpr int kRounds = 5;
    for (int round = 0; round < 2 * kRounds; ++round) {
      HostOptions host_options = options.host;
      host_options.slots = 64;
      host_options.scheduler = round % 2 == 0 ? FSV_SCHEDULER_FCFS : FSV_SCHEDULER_ADAPTIVE;
      Host host(host_options);
      const int64_t began_ns = Host::now_ns();
      for (int32_t i = 0; i < streams; ++i) host.submit({16, 200, 200});
      host.run_to_end();
      const double seconds = 1e-9 * static_cast<double>(Host::now_ns() - began_ns);
      const fsv_metrics metrics = host.metrics();
      tokens_per_s[round % 2] += 200.0 * streams / seconds / kRounds;
      share[round % 2] +=
          static_cast<double>(metrics.scheduler_us_total) / static_cast<double>(metrics.step_us_total) / kRounds;
    }
    std::printf("%d streams: fcfs %.1f tokens/s, adaptive %.1f (%.3f of it); planning is %.2f%% and %.2f%% of steps\n",
                streams, tokens_per_s[0], tokens_per_s[1], tokens_per_s[1] / tokens_per_s[0], 100 * share[0],
                100 * share[1]);
    std::fflush(stdout);
  }
}

}  // namespace
}  // namespace fastserve::serving

int main(int argc, char** argv) {
  using namespace fastserve::serving;  // NOLINT(google-build-using-namespace)
  Options options;
  CLI::App app("The real engine under load.");
  app.require_subcommand(1);
  app.add_option("--model", options.host.model, "GGUF file or folder")->required()->check(CLI::ExistingPath);
  app.add_option("--threads", options.host.threads);
  app.add_option("--slots", options.host.slots)->check(CLI::Range(1, 1024))->capture_default_str();
  app.add_option("--kv-bytes", options.host.kv_bytes, "0: by context and slots");
  app.add_option("--context", options.host.context)->capture_default_str();
  auto* replays = app.add_subcommand("replay", "arrivals in real time beside the simulator")->fallthrough();
  replays->add_option("--policy", options.policies)->delimiter(',')->check(CLI::IsMember({"fcfs", "mlfq", "adaptive"}));
  replays->add_option("--load", options.loads)->delimiter(',')->check(CLI::Range(0.01, 10.0));
  replays->add_option("--mix", options.mix)->capture_default_str();
  replays->add_option("--seconds", options.seconds, "of arrivals")->capture_default_str();
  replays->add_option("--seed", options.seed)->capture_default_str();
  replays->add_option("--profile-out", options.profile_out, "writes the last profile there");
  auto* deadlines = app.add_subcommand("deadline", "streams beside a long prompt")->fallthrough();
  deadlines->add_option("--prompt-tokens", options.prompt_tokens)->capture_default_str();
  deadlines->add_option("--streams", options.streams)->capture_default_str();
  deadlines->add_option("--deadline-ms", options.deadline_ms)->capture_default_str();
  app.add_subcommand("overhead", "what planning takes")->fallthrough();
  CLI11_PARSE(app, argc, argv);
  if (replays->parsed()) return run_replay(options);
  if (!deadlines->parsed()) {
    run_overhead(options);
    return 0;
  }
  for (const double deadline_ms : {0.0, options.deadline_ms}) run_deadline(options, deadline_ms);
  return 0;
}
