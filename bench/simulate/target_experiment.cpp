#include "target_experiment.h"

#include <algorithm>
#include <cmath>
#include <cstdio>

#include "base/json_writer.h"

namespace fastserve::simulate {
namespace {

constexpr const char* kPolicy = "adaptive";

// Requests a second whose work fills steps that all take the target.
double bound_of(const Setting& setting, double target_s) {
  std::mt19937_64 random(1);
  constexpr int kDraws = 4000;
  const CostModel::Coefficients& cost = setting.profile.cost;
  double work_ns = 0;
  for (int i = 0; i < kDraws; ++i) {
    const Lengths lengths = setting.source.draw(random);
    StepWork work{.decode_rows = lengths.output_tokens - 1};
    work.add_prompt(lengths.prompt_tokens, 0);
    work.context_tokens = work.decode_rows * lengths.prompt_tokens + work.decode_rows * (work.decode_rows + 1) / 2;
    work_ns += (cost.predict_ns(work) - cost.step_ns) / kDraws;
  }
  return std::max(1 - 1e-9 * cost.step_ns / target_s, 0.0) / (1e-9 * work_ns);
}

bool is_kept(const Summary& summary, double target_s) {
  return summary.gap.p95 <= target_s && summary.queue.p95 <= kQueueTargets * target_s;
}

struct Best {
  double rate = 0;
  Percentiles gap;
};

Result<Best> best_of(const Setting& setting, double target_s, double first_rate, uint64_t seed) {
  Best best;
  FSV_ASSIGN(best.rate, highest_rate(first_rate, [&](double rate) -> Result<bool> {
               FSV_ASSIGN(const Run run, run_at(setting, kPolicy, rate, seed));
               const bool kept = is_kept(run.summary, target_s);
               if (kept) best.gap = run.summary.gap;  // rates that are kept only rise
               return kept;
             }));
  return best;
}

}  // namespace

Result<TargetRow> compare_batching(const Setting& setting, double target_s, uint64_t seed) {
  TargetRow row;
  row.target_s = target_s;
  row.seed = seed;
  row.bound = bound_of(setting, target_s);
  const double first_rate = std::max(row.bound, 1e-3) / 2;
  Setting tried = setting;
  for (double tokens = 4; tokens <= setting.profile.max_batch_tokens; tokens *= 1.3) {
    tried.simulation.batch_tokens = static_cast<int32_t>(tokens);
    FSV_ASSIGN(const Best best, best_of(tried, target_s, first_rate, seed));
    if (best.rate <= row.fixed_rate) continue;
    row.fixed_rate = best.rate;
    row.fixed_gap = best.gap;
    row.fixed_tokens = tried.simulation.batch_tokens;
  }
  tried.simulation.batch_tokens = 0;
  tried.simulation.step_target_ns = static_cast<int64_t>(1e9 * target_s);
  FSV_ASSIGN(const Best controlled, best_of(tried, target_s, first_rate, seed));
  row.controlled_rate = controlled.rate;
  row.controlled_gap = controlled.gap;
  return row;
}

std::string to_json(const std::vector<TargetRow>& rows) {
  JsonWriter json;
  json.begin_object().key("targets").begin_array();
  for (const TargetRow& row : rows) {
    json.begin_object().key("target_s").value(row.target_s).key("seed").value(row.seed);
    json.key("fixed_tokens").value(int64_t{row.fixed_tokens}).key("fixed_rate").value(row.fixed_rate);
    json.key("controlled_rate").value(row.controlled_rate).key("bound").value(row.bound);
    json.key("fixed_gap_p95_s").value(row.fixed_gap.p95).key("fixed_gap_p99_s").value(row.fixed_gap.p99);
    json.key("controlled_gap_p95_s").value(row.controlled_gap.p95);
    json.key("controlled_gap_p99_s").value(row.controlled_gap.p99).end_object();
  }
  json.end_array().end_object();
  return json.take() + "\n";
}

std::string to_text(const std::vector<TargetRow>& rows) {
  std::string text =
      "target ms  seed  best fixed: tokens  rate 1/s  P95 ms  P99 ms   controlled: rate 1/s  P95 ms  P99 ms   ratio"
      "   bound 1/s\n";
  for (const TargetRow& row : rows) {
    char line[240];
    std::snprintf(line, sizeof(line), "%9.1f  %4d  %18d  %8.3f  %6.1f  %6.1f  %21.3f  %6.1f  %6.1f  %6.2f  %10.3f\n",
                  1e3 * row.target_s, static_cast<int>(row.seed), row.fixed_tokens, row.fixed_rate,
                  1e3 * row.fixed_gap.p95, 1e3 * row.fixed_gap.p99, row.controlled_rate, 1e3 * row.controlled_gap.p95,
                  1e3 * row.controlled_gap.p99, row.controlled_rate / std::max(row.fixed_rate, 1e-9), row.bound);
    text += line;
  }
  return text;
}

}  // namespace fastserve::simulate
