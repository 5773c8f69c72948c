// Reads tests/golden/logits/*.txt (written by tests/golden/make_logits.py; the format is described in the files).
#ifndef FASTSERVE_TESTS_SUPPORT_LOGITS_GOLDEN_H
#define FASTSERVE_TESTS_SUPPORT_LOGITS_GOLDEN_H

#include <charconv>
#include <cstdint>
#include <fstream>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace fastserve::test {

struct GoldenLogits {
  int32_t position = 0;  // the row of prompt + greedy that these logits follow
  double logsumexp = 0;
  std::vector<std::pair<int32_t, float>> top;  // token id and logit, largest first
};

struct GoldenCase {
  std::string name;
  std::vector<int32_t> prompt;
  std::vector<int32_t> greedy;  // the oracle's continuation
  std::vector<float> margin;    // best minus second best logit, for each token of greedy
  std::vector<float> logprob;   // of each token of greedy
  std::vector<GoldenLogits> logits;
};

inline std::vector<std::string_view> split_words(std::string_view line, char separator = ' ') {
  std::vector<std::string_view> words;
  while (!line.empty()) {
    const size_t end = line.find(separator);
    words.push_back(line.substr(0, end));
    line = end == std::string_view::npos ? std::string_view() : line.substr(end + 1);
  }
  return words;
}

template <typename Number>
Number parse_number(std::string_view word, bool& ok) {
  Number number{};
  const auto parsed = std::from_chars(word.data(), word.data() + word.size(), number);
  ok = ok && parsed.ec == std::errc() && parsed.ptr == word.data() + word.size();
  return number;
}

// All cases of a golden file; empty when the file is missing or malformed (a test then asserts on the size).
inline std::vector<GoldenCase> read_logits_golden(const std::string& path) {
  std::vector<GoldenCase> cases;
  std::ifstream file(path);
  bool ok = file.is_open();
  for (std::string line; ok && std::getline(file, line);) {
    const auto words = split_words(line);
    if (words.empty() || words[0] == "#") continue;
    if (words[0] == "case" && words.size() == 2) {
      cases.emplace_back().name = std::string(words[1]);
      continue;
    }
    if (cases.empty()) return {};
    GoldenCase& last = cases.back();
    if (words[0] == "prompt" || words[0] == "greedy") {
      auto& ids = words[0] == "prompt" ? last.prompt : last.greedy;
      for (size_t i = 1; i < words.size(); ++i) ids.push_back(parse_number<int32_t>(words[i], ok));
    } else if (words[0] == "margin" || words[0] == "logprob") {
      auto& values = words[0] == "margin" ? last.margin : last.logprob;
      for (size_t i = 1; i < words.size(); ++i) values.push_back(parse_number<float>(words[i], ok));
    } else if (words[0] == "logits" && words.size() > 3) {
      GoldenLogits& row = last.logits.emplace_back();
      row.position = parse_number<int32_t>(words[1], ok);
      row.logsumexp = parse_number<double>(words[2], ok);
      for (size_t i = 3; i < words.size(); ++i) {
        const auto pair = split_words(words[i], ':');
        if (pair.size() != 2) return {};
        row.top.emplace_back(parse_number<int32_t>(pair[0], ok), parse_number<float>(pair[1], ok));
      }
    } else {
      return {};
    }
  }
  return ok ? cases : std::vector<GoldenCase>{};
}

}  // namespace fastserve::test

#endif  // FASTSERVE_TESTS_SUPPORT_LOGITS_GOLDEN_H
