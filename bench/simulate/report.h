// Results as JSON and as one HTML page that needs nothing else.
#pragma once
#include <string>
#include <vector>

#include "experiment.h"

namespace fastserve::simulate {

struct ResultRow {
  std::string policy;
  double load = 0;  // of fcfs's capacity
  uint64_t seed = 0;
  Summary summary;
  double rate_at_slo = 0;  // requests a second
};

struct Report {
  std::string workload, profile;
  int32_t slots = 0;
  size_t request_count = 0;
  double uncontended_token_s = 0;
  std::vector<double> capacities;  // requests a second; one for each seed
  std::vector<ResultRow> rows;
};

// Means over seeds of what the tables show, by policy and load in the order of the rows.
struct Mean {
  std::string policy;
  double load = 0, count = 0;
  double mean = 0, p50 = 0, p95 = 0, p99 = 0, ttft50 = 0, ttft99 = 0, interactive = 0, tokens = 0, rate = 0;
};
std::vector<Mean> means_of(const Report& report);
std::string title_of(const Report& report);

std::string to_json(const Report& report);
// A page that loads nothing: curves over load of each policy, by length of the answer and of the prompt, and tables.
std::string to_html(const Report& report);
// A table for people, means over seeds.
std::string to_text(const Report& report);

}  // namespace fastserve::simulate
