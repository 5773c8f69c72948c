// fastserve-simulate: the engine's scheduler over a virtual clock, a workload and a machine's cost profile.
#include <CLI/CLI.hpp>
#include <cstdio>
#include <fstream>

#include "report.h"
#include "target_experiment.h"

namespace fastserve::simulate {
namespace {

struct Options {
  std::string trace, mix, profile = "cpu", html;
  std::vector<std::string> policies = {"fcfs", "mlfq", "adaptive", "oracle"};
  std::vector<double> loads = {0.3, 0.6, 0.9};
  std::vector<double> targets_ms;
  int32_t slots = 16;
  int64_t kv_tokens = 0;
  size_t requests = 5000;
  uint64_t seeds = 3;
  bool prints_json = false, skips_slo = false;
};

Result<Setting> setting_of(const Options& options) {
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
  return setting;
}

Result<Report> run_experiments(const Options& options) {
  FSV_ASSIGN(const Setting setting, setting_of(options));
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
      double rate_at_slo = 0;
      if (!options.skips_slo) {
        FSV_ASSIGN(rate_at_slo, rate_at_objective(setting, policy, capacity, seed));
      }
      for (const double load : options.loads) {
        FSV_ASSIGN(Run run, run_at(setting, policy, load * capacity, seed));
        report.rows.push_back({policy, load, seed, std::move(run.summary), rate_at_slo});
      }
    }
  }
  return report;
}

int fail(const Status& status) {
  std::fprintf(stderr, "fastserve-simulate: %s\n", status.message());
  return 1;
}

Result<std::vector<TargetRow>> run_targets(const Options& options) {
  FSV_ASSIGN(const Setting setting, setting_of(options));
  std::vector<TargetRow> rows;
  for (const double target_ms : options.targets_ms) {
    for (uint64_t seed = 1; seed <= options.seeds; ++seed) {
      FSV_ASSIGN(TargetRow row, compare_batching(setting, 1e-3 * target_ms, seed));
      rows.push_back(row);
    }
  }
  return rows;
}

int show_targets(const Options& options) {
  const Result<std::vector<TargetRow>> rows = run_targets(options);
  if (!rows.ok()) return fail(rows.status());
  const std::string text = options.prints_json ? to_json(*rows) : to_text(*rows);
  std::fwrite(text.data(), 1, text.size(), stdout);
  return 0;
}

int run(const Options& options) {
  const Result<Report> report = run_experiments(options);
  if (!report.ok()) return fail(report.status());
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
  app.add_option("--policy", options.policies, "fcfs, mlfq, adaptive, arrival, oracle, alone")
      ->delimiter(',')
      ->capture_default_str();
  app.add_option("--load", options.loads, "shares of fcfs's capacity")
      ->delimiter(',')
      ->check(CLI::Range(0.001, 100.0))
      ->capture_default_str();
  app.add_option("--step-target", options.targets_ms,
                 "ms: compares the batch controller with the best fixed batch instead")
      ->delimiter(',')
      ->check(CLI::Range(0.1, 1e5));
  app.add_option("--slots", options.slots, "sequences of one step")->check(CLI::Range(1, 4096))->capture_default_str();
  app.add_option("--kv-tokens", options.kv_tokens, "KV pool, instead of the profile's")->check(CLI::Range(1, 1 << 28));
  app.add_option("--requests", options.requests)->check(CLI::Range(1, 10'000'000))->capture_default_str();
  app.add_option("--seeds", options.seeds)->check(CLI::Range(1, 1000))->capture_default_str();
  app.add_flag("--json", options.prints_json, "JSON instead of a table");
  app.add_flag("--skip-slo", options.skips_slo, "does not look for the rate at SLO");
  app.add_option("--html", options.html, "writes a report there");
  CLI11_PARSE(app, argc, argv);
  if (options.trace.empty() && options.mix.empty()) options.mix = "heavy";
  return options.targets_ms.empty() ? fastserve::simulate::run(options) : fastserve::simulate::show_targets(options);
}
