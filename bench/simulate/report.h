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

std::string to_json(const Report& report);
std::string to_html(const Report& report);
// A table for people, means over seeds.
std::string to_text(const Report& report);

}  // namespace fastserve::simulate
