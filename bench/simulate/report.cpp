#include "report.h"

#include <algorithm>
#include <cstdio>
#include <map>

#include "base/format.h"
#include "base/json_writer.h"

namespace fastserve::simulate {
namespace {

std::string digits(double value, int decimals) {
  char text[64];
  std::snprintf(text, sizeof(text), "%.*f", decimals, value);
  return text;
}

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

// Means over seeds of what the tables show, by policy and load in the order of the rows.
struct Mean {
  std::string policy;
  double load = 0, count = 0;
  double mean = 0, p50 = 0, p95 = 0, p99 = 0, ttft50 = 0, ttft99 = 0, interactive = 0, tokens = 0, rate = 0;
};

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

// One chart: a curve of P95 completion over load for each policy, of one range of answer lengths.
std::string chart(const Report& report, const std::string& bucket_name) {
  static const std::map<std::string, std::string> kColours = {
      {"fcfs", "#888"}, {"mlfq", "#c60"}, {"adaptive", "#06c"}, {"oracle", "#393"}};
  std::map<std::string, std::map<double, std::pair<double, double>>> curves;  // policy, load: sum, count
  double load_max = 0, value_max = 0;
  for (const ResultRow& row : report.rows) {
    for (const Bucket& bucket : row.summary.by_output) {
      if (bucket.name != bucket_name) continue;
      auto& [sum, count] = curves[row.policy][row.load];
      sum += bucket.completion.p95;
      count += 1;
      load_max = std::max(load_max, row.load);
      value_max = std::max(value_max, bucket.completion.p95);
    }
  }
  constexpr double kWidth = 420, kHeight = 220, kLeft = 50, kBottom = 190, kTop = 20;
  std::string svg = format("<figure><figcaption>answers of ", bucket_name, " tokens: P95 completion, s</figcaption>",
                           "<svg viewBox=\"0 0 ", kWidth, " ", kHeight, "\" width=\"", kWidth, "\">");
  svg += format("<path d=\"M", kLeft, " ", kTop, "V", kBottom, "H", kWidth - 10, "\" stroke=\"#000\" fill=\"none\"/>");
  svg += format("<text x=\"4\" y=\"", kTop + 4, "\">", digits(value_max, 2), "</text><text x=\"", kLeft, "\" y=\"",
                kBottom + 18, "\">load 0</text><text x=\"", kWidth - 60, "\" y=\"", kBottom + 18, "\">",
                digits(load_max, 2), "</text>");
  for (const auto& [policy, points] : curves) {
    std::string path;
    for (const auto& [load, value] : points) {
      const double x = kLeft + (kWidth - 60 - kLeft) * load / std::max(load_max, 1e-9);
      const double y = kBottom - (kBottom - kTop) * (value.first / value.second) / std::max(value_max, 1e-9);
      path += format(path.empty() ? "M" : "L", digits(x, 1), " ", digits(y, 1));
    }
    const auto colour = kColours.find(policy);
    svg += format("<path d=\"", path, "\" fill=\"none\" stroke-width=\"2\" stroke=\"",
                  colour != kColours.end() ? colour->second : "#000", "\"><title>", policy, "</title></path>");
  }
  return svg + "</svg></figure>";
}

}  // namespace

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

std::string to_html(const Report& report) {
  std::string html =
      "<!doctype html><meta charset=\"utf-8\"><title>fastserve-simulate</title><style>body{font:14px sans-serif;"
      "margin:2em}td,th{padding:2px 10px;text-align:right}figure{display:inline-block;margin:1em}text{font-size:11px}"
      "</style>";
  html += format(
      "<h1>", title_of(report), "</h1><p>SLO: a mean of ",
      digits(1000 * kObjectiveFactor * report.uncontended_token_s, 1),
      " ms per token. Grey: fcfs; orange: mlfq; blue: adaptive; green: oracle. Times in seconds.</p><table><tr>");
  for (const char* name : {"policy", "load", "mean", "P50", "P95", "P99", "TTFT P50", "TTFT P99", "rate at SLO, 1/s"}) {
    html += format("<th>", name, "</th>");
  }
  for (const Mean& mean : means_of(report)) {
    html += format("</tr><tr><td>", mean.policy, "</td>");
    for (const double value :
         {mean.load, mean.mean, mean.p50, mean.p95, mean.p99, mean.ttft50, mean.ttft99, mean.rate}) {
      html += format("<td>", digits(value, 3), "</td>");
    }
  }
  html += "</tr></table>";
  std::vector<std::string> names;
  for (const ResultRow& row : report.rows) {
    for (const Bucket& bucket : row.summary.by_output) {
      if (std::find(names.begin(), names.end(), bucket.name) == names.end()) names.push_back(bucket.name);
    }
  }
  for (const std::string& name : names) html += chart(report, name);
  return html + "\n";
}

}  // namespace fastserve::simulate
