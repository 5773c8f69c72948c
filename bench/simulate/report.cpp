#include "report.h"

#include <algorithm>
#include <cstdio>

#include "base/format.h"
#include "base/json_writer.h"

namespace fastserve::simulate {
namespace {

void write(JsonWriter& json, const char* name, const Percentiles& values) {
  json.key(name).begin_object();
  json.key("mean").value(values.mean).key("p50").value(values.p50);
  json.key("p95").value(values.p95).key("p99").value(values.p99).end_object();
}

void write(JsonWriter& json, const char* name, const std::vector<Bucket>& buckets) {
  json.key(name).begin_array();
  for (const Bucket& bucket : buckets) {
    json.begin_object().key("tokens").value(bucket.name).key("requests").value(uint64_t{bucket.count});
    write(json, "first_token_s", bucket.first_token);
    write(json, "gap_s", bucket.gap);
    write(json, "longest_gap_s", bucket.longest_gap);
    write(json, "completion_s", bucket.completion);
    json.end_object();
  }
  json.end_array();
}

void write(JsonWriter& json, const ResultRow& row) {
  const Summary& summary = row.summary;
  json.begin_object();
  json.key("policy").value(row.policy).key("load").value(row.load).key("seed").value(row.seed);
  json.key("mean_completion_s").value(summary.completion.mean);
  json.key("p95_completion_s").value(summary.completion.p95);
  json.key("p99_completion_s").value(summary.completion.p99);
  json.key("p99_ttft_s").value(summary.first_token.p99);
  json.key("rate_at_slo").value(row.rate_at_slo);
  json.key("p50_completion_s").value(summary.completion.p50);
  json.key("p50_ttft_s").value(summary.first_token.p50).key("p95_ttft_s").value(summary.first_token.p95);
  write(json, "gap_s", summary.gap);
  write(json, "step_s", summary.step);
  json.key("interactive_p99_ttft_s").value(summary.interactive_first_token.p99);
  json.key("mean_s_per_token").value(summary.token_s_mean);
  json.key("tokens_per_second").value(summary.tokens_per_second);
  json.key("steps").value(summary.steps).key("drops").value(summary.drops);
  json.key("recomputed_tokens").value(summary.recomputed_tokens);
  json.key("resident_peak").value(uint64_t{summary.resident_peak});
  json.key("scheduler_us_per_step").value(summary.scheduler_us_per_step);
  write(json, "by_output_tokens", summary.by_output);
  write(json, "by_prompt_tokens", summary.by_prompt);
  json.end_object();
}

}  // namespace

std::vector<Mean> means_of(const Report& report) {
  std::vector<Mean> means;
  for (const ResultRow& row : report.rows) {
    auto same = [&](const Mean& mean) { return mean.policy == row.policy && mean.load == row.load; };
    auto found = std::find_if(means.begin(), means.end(), same);
    if (found == means.end()) {
      means.push_back({row.policy, row.load});
      found = means.end() - 1;
    }
    const Summary& summary = row.summary;
    const double share = 1 / ++found->count;
    auto add = [&](double& mean, double value) { mean += share * (value - mean); };
    add(found->mean, summary.completion.mean);
    add(found->p50, summary.completion.p50);
    add(found->p95, summary.completion.p95);
    add(found->p99, summary.completion.p99);
    add(found->ttft50, summary.first_token.p50);
    add(found->ttft99, summary.first_token.p99);
    add(found->interactive, summary.interactive_first_token.p99);
    add(found->tokens, summary.tokens_per_second);
    add(found->rate, row.rate_at_slo);
  }
  return means;
}

std::string title_of(const Report& report) {
  return format(report.workload, " on ", report.profile, ", ", report.slots, " slots, ", report.request_count,
                " requests, ", report.capacities.size(), " seeds");
}

std::string to_json(const Report& report) {
  JsonWriter json;
  json.begin_object();
  json.key("workload").value(report.workload).key("profile").value(report.profile);
  json.key("slots").value(int64_t{report.slots}).key("requests").value(uint64_t{report.request_count});
  json.key("slo_s_per_token").value(kObjectiveFactor * report.uncontended_token_s);
  json.key("capacity_requests_per_second").begin_array();
  for (const double capacity : report.capacities) json.value(capacity);
  json.end_array().key("results").begin_array();
  for (const ResultRow& row : report.rows) write(json, row);
  json.end_array().end_object();
  return json.take() + "\n";
}

std::string to_text(const Report& report) {
  std::string text = title_of(report) + "\n";
  text += "policy    load   mean s   P50 s    P95 s    P99 s    TTFT P50  TTFT P99  inter P99  tokens/s  rate at SLO\n";
  for (const Mean& mean : means_of(report)) {
    char line[200];
    std::snprintf(line, sizeof(line), "%-9s %-5.2f %8.3f %8.3f %8.3f %8.3f  %8.3f  %8.3f  %8.3f  %8.1f  %8.3f\n",
                  mean.policy.c_str(), mean.load, mean.mean, mean.p50, mean.p95, mean.p99, mean.ttft50, mean.ttft99,
                  mean.interactive, mean.tokens, mean.rate);
    text += line;
  }
  return text;
}

}  // namespace fastserve::simulate
