// Reader of tests/golden/sampling/distributions.txt (format: see make_sampling.py).
#pragma once
#include <charconv>
#include <fstream>
#include <map>
#include <string>
#include <vector>

#include "sampling/sampler.h"

namespace fastserve::testing {

struct GoldenDraw {
  std::map<int32_t, double> expected;
  int32_t token_id = -1;  // drawn next; mirostat alone
  double probability = 0;
  double mu_after = 0;
};
struct GoldenCase {
  std::string name;
  SamplingParameters parameters;
  std::vector<float> logits;
  std::vector<int32_t> history;
  std::vector<GoldenDraw> draws;
};

inline std::vector<std::string> split_words(const std::string& line) {
  std::vector<std::string> words;
  size_t start = 0;
  while (start < line.size()) {
    const size_t end = std::min(line.find(' ', start), line.size());
    if (end > start) words.push_back(line.substr(start, end - start));
    start = end + 1;
  }
  return words;
}

inline double to_number(std::string_view text) {
  double value = 0;
  std::from_chars(text.data(), text.data() + text.size(), value);
  return value;
}

inline std::pair<int32_t, double> to_pair(const std::string& word) {
  const size_t colon = word.find(':');
  return {static_cast<int32_t>(to_number(word.substr(0, colon))), to_number(word.substr(colon + 1))};
}

// False for a key that is not known.
inline bool set_parameter(SamplingParameters& parameters, const std::string& key, std::vector<std::string> values) {
  const std::map<std::string, float SamplingParameters::*> floats = {
      {"temperature", &SamplingParameters::temperature},
      {"top_p", &SamplingParameters::top_p},
      {"min_p", &SamplingParameters::min_p},
      {"typical_p", &SamplingParameters::typical_p},
      {"top_n_sigma", &SamplingParameters::top_n_sigma},
      {"xtc_probability", &SamplingParameters::xtc_probability},
      {"xtc_threshold", &SamplingParameters::xtc_threshold},
      {"dynamic_temperature_range", &SamplingParameters::dynamic_temperature_range},
      {"dynamic_temperature_exponent", &SamplingParameters::dynamic_temperature_exponent},
      {"repetition_penalty", &SamplingParameters::repetition_penalty},
      {"presence_penalty", &SamplingParameters::presence_penalty},
      {"frequency_penalty", &SamplingParameters::frequency_penalty},
      {"dry_multiplier", &SamplingParameters::dry_multiplier},
      {"dry_base", &SamplingParameters::dry_base},
      {"mirostat_tau", &SamplingParameters::mirostat_tau},
      {"mirostat_eta", &SamplingParameters::mirostat_eta}};
  const std::map<std::string, int32_t SamplingParameters::*> integers = {
      {"top_k", &SamplingParameters::top_k},
      {"penalty_window", &SamplingParameters::penalty_window},
      {"dry_allowed_length", &SamplingParameters::dry_allowed_length},
      {"dry_window", &SamplingParameters::dry_window},
      {"mirostat", &SamplingParameters::mirostat}};
  if (const auto found = floats.find(key); found != floats.end()) {
    parameters.*found->second = static_cast<float>(to_number(values[0]));
  } else if (const auto integer = integers.find(key); integer != integers.end()) {
    parameters.*integer->second = static_cast<int32_t>(to_number(values[0]));
  } else if (key == "dry_breakers") {
    for (const std::string& value : values) {
      parameters.dry_breakers.push_back(static_cast<int32_t>(to_number(value)));
    }
  } else if (key == "logit_bias") {
    for (const std::string& value : values) {
      const auto [id, bias] = to_pair(value);
      parameters.logit_bias.push_back({id, static_cast<float>(bias)});
    }
  } else if (key == "order") {
    const std::vector<std::string_view> names(values.begin(), values.end());
    const auto order = sampler_order_from_names(names);
    if (!order.ok()) return false;
    parameters.order = order.value();
  } else {
    return false;
  }
  return true;
}

inline std::vector<GoldenCase> read_golden_cases(const std::string& path) {
  std::ifstream file(path);
  std::vector<GoldenCase> cases;
  for (std::string line; std::getline(file, line);) {
    std::vector<std::string> words = split_words(line);
    const std::string kind = words.at(0);
    words.erase(words.begin());
    if (kind == "case") {
      cases.emplace_back().name = words.at(0);
    } else if (kind == "set") {
      const std::string key = words.at(0);
      words.erase(words.begin());
      if (!set_parameter(cases.back().parameters, key, words)) cases.back().name += " (unknown key " + key + ")";
    } else if (kind == "logits") {
      for (const std::string& word : words) cases.back().logits.push_back(static_cast<float>(to_number(word)));
    } else if (kind == "history") {
      for (const std::string& word : words) cases.back().history.push_back(static_cast<int32_t>(to_number(word)));
    } else if (kind == "expect") {
      GoldenDraw& draw = cases.back().draws.emplace_back();
      for (const std::string& word : words) draw.expected.insert(to_pair(word));
    } else if (kind == "draw") {
      cases.back().draws.back().token_id = static_cast<int32_t>(to_number(words.at(0)));
      cases.back().draws.back().probability = to_number(words.at(1));
      cases.back().draws.back().mu_after = to_number(words.at(2));
    }
  }
  return cases;
}

}  // namespace fastserve::testing
