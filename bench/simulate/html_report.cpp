// The report as one HTML page: small charts as inline SVG, one for each range of lengths and kind of latency.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <functional>
#include <map>

#include "base/format.h"
#include "report.h"

namespace fastserve::simulate {
namespace {

using Buckets = std::vector<Bucket> Summary::*;
using Figure = std::function<double(const Bucket&)>;

constexpr double kWidth = 360, kHeight = 210, kLeft = 54, kRight = 350, kTop = 12, kBottom = 180;

std::string digits(double value, int decimals) {
  char text[64];
  std::snprintf(text, sizeof(text), "%.*f", decimals, value);
  return text;
}

// Three significant digits or so.
std::string shown(double value) {
  const double size = std::abs(value);
  return digits(value, size >= 100 ? 0 : size >= 10 ? 1 : size >= 1 ? 2 : 3);
}

std::string colour_of(const std::string& policy) {
  static const std::map<std::string, std::string> kColours = {{"fcfs", "#777"},     {"mlfq", "#d2691e"},
                                                              {"adaptive", "#06c"}, {"oracle", "#393"},
                                                              {"arrival", "#a3a"},  {"alone", "#099"}};
  const auto found = kColours.find(policy);
  return found != kColours.end() ? found->second : "#000";
}

// Values over loads, means over seeds, of one policy.
using Curve = std::map<double, double>;
std::map<std::string, Curve> curves_of(const Report& report, Buckets buckets, const std::string& name,
                                       const Figure& figure) {
  std::map<std::string, std::map<double, std::pair<double, int>>> sums;
  for (const ResultRow& row : report.rows) {
    for (const Bucket& bucket : row.summary.*buckets) {
      if (bucket.name != name) continue;
      auto& [sum, count] = sums[row.policy][row.load];
      sum += figure(bucket);
      ++count;
    }
  }
  std::map<std::string, Curve> curves;
  for (const auto& [policy, points] : sums) {
    for (const auto& [load, sum] : points) curves[policy][load] = sum.first / sum.second;
  }
  return curves;
}

// 1, 2 or 5 times a power of ten, so that a few of them make up `value`.
double tick_of(double value) {
  const double power = std::pow(10, std::floor(std::log10(std::max(value, 1e-9) / 3)));
  for (const double factor : {1.0, 2.0, 5.0}) {
    if (factor * power * 4 >= value) return factor * power;
  }
  return 10 * power;
}

std::string chart(const std::string& caption, const std::map<std::string, Curve>& curves) {
  double load_max = 0, value_max = 0;
  for (const auto& [policy, curve] : curves) {
    for (const auto& [load, value] : curve) {
      load_max = std::max(load_max, load);
      value_max = std::max(value_max, value);
    }
  }
  auto x_of = [&](double load) { return digits(kLeft + (kRight - kLeft) * load / std::max(load_max, 1e-9), 1); };
  auto y_of = [&](double value) { return digits(kBottom - (kBottom - kTop) * value / std::max(value_max, 1e-12), 1); };
  std::string svg = format("<figure><figcaption>", caption, "</figcaption><svg viewBox=\"0 0 ", kWidth, " ", kHeight,
                           "\" role=\"img\" aria-label=\"", caption, "\">");
  const double tick = tick_of(value_max);
  for (double value = 0; value <= value_max; value += tick) {
    svg +=
        format("<path class=\"grid\" d=\"M", kLeft, " ", y_of(value), "H", kRight, "\"/><text text-anchor=\"end\" x=\"",
               kLeft - 4, "\" y=\"", y_of(value), "\">", shown(value), "</text>");
  }
  for (const auto& [load, value] : curves.empty() ? Curve{} : curves.begin()->second) {
    svg += format("<text text-anchor=\"middle\" x=\"", x_of(load), "\" y=\"", kBottom + 16, "\">", digits(load, 2),
                  "</text>");
  }
  for (const auto& [policy, curve] : curves) {
    std::string path, dots;
    for (const auto& [load, value] : curve) {
      path += format(path.empty() ? "M" : "L", x_of(load), " ", y_of(value));
      dots += format("<circle r=\"3\" cx=\"", x_of(load), "\" cy=\"", y_of(value), "\"><title>", policy, ", load ",
                     digits(load, 2), ": ", shown(value), " s</title></circle>");
    }
    svg += format("<g stroke=\"", colour_of(policy), "\" fill=\"", colour_of(policy),
                  "\"><path fill=\"none\" stroke-width=\"2\" d=\"", path, "\"/>", dots, "</g>");
  }
  return svg + "</svg></figure>";
}

std::vector<std::string> names_of(const Report& report, Buckets buckets) {
  std::vector<std::string> names;
  for (const ResultRow& row : report.rows) {
    for (const Bucket& bucket : row.summary.*buckets) {
      if (std::find(names.begin(), names.end(), bucket.name) == names.end()) names.push_back(bucket.name);
    }
  }
  return names;
}

std::string charts(const Report& report, Buckets buckets, const std::string& what) {
  struct Kind {
    const char* name;
    Figure figure;
  };
  const Kind kinds[] = {
      {"time to the first token, P50", [](const Bucket& bucket) { return bucket.first_token.p50; }},
      {"time to the first token, P99", [](const Bucket& bucket) { return bucket.first_token.p99; }},
      {"time between tokens, P95", [](const Bucket& bucket) { return bucket.gap.p95; }},
      {"time between tokens, P99", [](const Bucket& bucket) { return bucket.gap.p99; }},
      {"completion, P50", [](const Bucket& bucket) { return bucket.completion.p50; }},
      {"completion, P95", [](const Bucket& bucket) { return bucket.completion.p95; }},
      {"completion, P99", [](const Bucket& bucket) { return bucket.completion.p99; }},
  };
  std::string html;
  for (const std::string& name : names_of(report, buckets)) {
    html += format("<h3>", what, " of ", name, " tokens</h3><div>");
    for (const Kind& kind : kinds) html += chart(kind.name, curves_of(report, buckets, name, kind.figure));
    html += "</div>";
  }
  return html;
}

std::string table(const Report& report) {
  std::string html = "<table><tr>";
  for (const char* name : {"policy", "load", "mean", "P50", "P95", "P99", "TTFT P50", "TTFT P99",
                           "interactive TTFT P99", "tokens/s", "rate at SLO, 1/s"}) {
    html += format("<th>", name, "</th>");
  }
  for (const Mean& mean : means_of(report)) {
    html += format("</tr><tr><td>", mean.policy, "</td><td>", digits(mean.load, 2), "</td>");
    for (const double value : {mean.mean, mean.p50, mean.p95, mean.p99, mean.ttft50, mean.ttft99, mean.interactive,
                               mean.tokens, mean.rate}) {
      html += format("<td>", shown(value), "</td>");
    }
  }
  return html + "</tr></table>";
}

std::string legend(const Report& report) {
  std::string html = "<p>";
  std::vector<std::string> policies;
  for (const ResultRow& row : report.rows) {
    if (std::find(policies.begin(), policies.end(), row.policy) != policies.end()) continue;
    policies.push_back(row.policy);
    html += format("<span class=\"key\" style=\"background:", colour_of(row.policy), "\"></span>", row.policy, " ");
  }
  return html + "</p>";
}

}  // namespace

std::string to_html(const Report& report) {
  std::string html =
      "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>fastserve-simulate</title><style>"
      "body{font:14px sans-serif;margin:2em;color:#222}td,th{padding:2px 10px;text-align:right}"
      "td:first-child{text-align:left}figure{display:inline-block;margin:0 1em 1em 0;width:360px}"
      "figcaption{font-weight:bold}text{font-size:11px;fill:#444;stroke:none}.grid{stroke:#ddd}"
      ".key{display:inline-block;width:1em;height:1em;margin:0 .4em 0 1em;vertical-align:-2px}</style>";
  html +=
      format("<h1>", title_of(report), "</h1><p>SLO: a mean of ",
             digits(1000 * kObjectiveFactor * report.uncontended_token_s, 1),
             " ms per token. Times in seconds, means over seeds; charts over load, the share of fcfs's capacity.</p>");
  html += legend(report) + table(report);
  html += format("<h2>By length of the answer</h2>", charts(report, &Summary::by_output, "Answers"));
  html += format("<h2>By length of the prompt</h2>", charts(report, &Summary::by_prompt, "Prompts"));
  return html + "</html>\n";
}

}  // namespace fastserve::simulate
