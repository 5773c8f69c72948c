// fastserve-simulate: the engine's scheduler over a virtual clock, a workload and a machine's cost profile.
#include <CLI/CLI.hpp>
#include <cstdio>
#include <fstream>

#include "report.h"

namespace fastserve::simulate {
namespace {

struct Options {
  std::string trace, mix, profile = "cpu", html;
  std::vector<std::string> policies = {"fcfs", "mlfq", "adaptive", "oracle"};
  std::vector<double> loads = {0.3, 0.6, 0.9};
  int32_t slots = 16;
  int64_t kv_tokens = 0;
  size_t requests = 5000;
  uint64_t seeds = 3;
  bool prints_json = false;
};

Result<Report> run_experiments(const Options& options) {
  Setting setting;
  FSV_ASSIGN(setting.profile, load_profile(options.profile));
  if (options.trace.empty()) {
    FSV_ASSIGN(setting.source, LengthSource::from_mix(options.mix));
  } else {
    FSV_ASSIGN(setting.source, LengthSource::from_trace(options.trace));
  }
  setting.is_burst = options.mix == "burst";
  setting.simulation.slots = options.slots;
  setting.simulation.kv_tokens = options.kv_tokens;
  setting.request_count = options.requests;
  Report report;
  report.workload = options.trace.empty() ? options.mix : "trace";
  report.profile = setting.profile.name;
  report.slots = options.slots;
  report.request_count = options.requests;
  report.uncontended_token_s = uncontended_token_s(setting);
  for (uint64_t seed = 1; seed <= options.seeds; ++seed) {
    FSV_ASSIGN(const double capacity, capacity_of(setting, seed));
    report.capacities.push_back(capacity);
    for (const std::string& policy : options.policies) {
      FSV_ASSIGN(const double rate_at_slo, rate_at_objective(setting, policy, capacity, seed));
      for (const double load : options.loads) {
        FSV_ASSIGN(Run run, run_at(setting, policy, load * capacity, seed));
        report.rows.push_back({policy, load, seed, std::move(run.summary), rate_at_slo});
      }
    }
  }
  return report;
}

int run(const Options& options) {
  const Result<Report> report = run_experiments(options);
  if (!report.ok()) {
    std::fprintf(stderr, "fastserve-simulate: %s\n", report.status().message());
    return 1;
  }
  const std::string text = options.prints_json ? to_json(*report) : to_text(*report);
  std::fwrite(text.data(), 1, text.size(), stdout);
  if (options.html.empty()) return 0;
  std::ofstream file(options.html, std::ios::binary);
  file << to_html(*report);
  file.close();
  if (file.good()) return 0;
  std::fprintf(stderr, "fastserve-simulate: cannot write \"%s\"\n", options.html.c_str());
  return 1;
}

}  // namespace
}  // namespace fastserve::simulate

int main(int argc, char** argv) {
  using fastserve::simulate::Options;
  Options options;
  CLI::App app("Simulates the scheduler: rates and latencies of its policies over a workload and a cost profile.");
  auto* trace = app.add_option("--trace", options.trace, "CSV: TIMESTAMP,ContextTokens,GeneratedTokens");
  auto* mix = app.add_option("--mix", options.mix, "heavy, burst or even");
  trace->excludes(mix);
  app.add_option("--profile", options.profile, "cpu, gpu, or a JSON file")->capture_default_str();
  app.add_option("--policy", options.policies, "fcfs, mlfq, adaptive, arrival, oracle")
      ->delimiter(',')
      ->capture_default_str();
  app.add_option("--load", options.loads, "shares of fcfs's capacity")
      ->delimiter(',')
      ->check(CLI::Range(0.001, 100.0))
      ->capture_default_str();
  app.add_option("--slots", options.slots, "sequences of one step")->check(CLI::Range(1, 4096))->capture_default_str();
  app.add_option("--kv-tokens", options.kv_tokens, "KV pool, instead of the profile's")->check(CLI::Range(1, 1 << 28));
  app.add_option("--requests", options.requests)->check(CLI::Range(1, 10'000'000))->capture_default_str();
  app.add_option("--seeds", options.seeds)->check(CLI::Range(1, 1000))->capture_default_str();
  app.add_flag("--json", options.prints_json, "JSON instead of a table");
  app.add_option("--html", options.html, "writes a report there");
  CLI11_PARSE(app, argc, argv);
  if (options.trace.empty() && options.mix.empty()) options.mix = "heavy";
  return fastserve::simulate::run(options);
}
