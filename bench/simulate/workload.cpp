#include "workload.h"

#include <algorithm>
#include <charconv>
#include <fstream>

#include "base/format.h"

namespace fastserve::simulate {
namespace {

constexpr int32_t kTokensMax = 1 << 20;

bool parse_tokens(std::string_view text, int32_t& value) {
  while (!text.empty() && (text.back() == '\r' || text.back() == ' ')) text.remove_suffix(1);
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  return error == std::errc() && end == text.data() + text.size() && value >= 0 && value <= kTokensMax;
}

int32_t uniform(std::mt19937_64& random, int32_t least, int32_t most) {
  return std::uniform_int_distribution<int32_t>(least, most)(random);
}

int64_t seconds_to_ns(double seconds) { return static_cast<int64_t>(seconds * 1e9); }

SimulatedRequest draw_request(const LengthSource& source, double arrival_s, std::mt19937_64& random) {
  const Lengths lengths = source.draw(random);
  SimulatedRequest request;
  request.arrival_ns = seconds_to_ns(arrival_s);
  request.prompt_tokens = lengths.prompt_tokens;
  request.output_tokens = lengths.output_tokens;
  request.max_tokens = source.output_tokens_max();  // nobody knows how long an answer becomes
  return request;
}

}  // namespace

Result<LengthSource> LengthSource::from_trace(const std::string& path) {
  std::ifstream file(path);
  if (!file) return Status(StatusCode::kNotFound, format("cannot open the trace \"", path, "\""));
  LengthSource source;
  std::string line;
  std::getline(file, line);  // column names
  for (size_t number = 2; std::getline(file, line); ++number) {
    if (line.empty() || line == "\r") continue;
    const size_t last = line.rfind(','), before = last == std::string::npos ? last : line.rfind(',', last - 1);
    Lengths row;
    const bool is_row = before != std::string::npos && last > before &&
                        parse_tokens(std::string_view(line).substr(before + 1, last - before - 1), row.prompt_tokens) &&
                        parse_tokens(std::string_view(line).substr(last + 1), row.output_tokens);
    if (!is_row) return Status(StatusCode::kCorrupt, format(path, ":", number, ": no row of a length trace"));
    row.prompt_tokens = std::max(row.prompt_tokens, 1);
    row.output_tokens = std::max(row.output_tokens, 1);
    source.output_tokens_max_ = std::max(source.output_tokens_max_, row.output_tokens);
    source.rows_.push_back(row);
  }
  if (source.rows_.empty()) return Status(StatusCode::kCorrupt, format("the trace \"", path, "\" has no rows"));
  return source;
}

Result<LengthSource> LengthSource::from_mix(const std::string& name) {
  LengthSource source;
  source.is_heavy_ = name == "heavy" || name == "burst";
  if (!source.is_heavy_ && name != "even") {
    return Status(StatusCode::kInvalidArgument, format("there is no mix \"", name, "\": heavy, burst, even"));
  }
  source.output_tokens_max_ = source.is_heavy_ ? 1280 : 96;
  return source;
}

Lengths LengthSource::draw(std::mt19937_64& random) const {
  if (!rows_.empty()) return rows_[std::uniform_int_distribution<size_t>(0, rows_.size() - 1)(random)];
  const int32_t prompt = uniform(random, 16, 48);
  if (!is_heavy_) return {prompt, uniform(random, 48, 96)};
  const bool is_long = uniform(random, 1, 100) <= 5;
  return {prompt, is_long ? uniform(random, 768, 1280) : uniform(random, 8, 40)};
}

std::vector<SimulatedRequest> draw_requests(const LengthSource& source, size_t count, double rate, uint64_t seed) {
  std::mt19937_64 random(seed);
  std::exponential_distribution<double> gap(rate > 0 ? rate : 1);
  std::vector<SimulatedRequest> requests;
  double now_s = 0;
  for (size_t i = 0; i < count; ++i) {
    if (rate > 0) now_s += gap(random);
    requests.push_back(draw_request(source, now_s, random));
  }
  return requests;
}

std::vector<SimulatedRequest> draw_burst(const LengthSource& source, size_t count, double rate, const Burst& burst,
                                         uint64_t seed) {
  std::mt19937_64 random(seed);
  std::exponential_distribution<double> gap(1);
  std::vector<SimulatedRequest> requests;
  double now_s = 0;
  for (size_t i = 0; i < count; ++i) {
    const bool is_burst = now_s >= burst.begin_s && now_s < burst.begin_s + burst.seconds;
    now_s += gap(random) / (rate * (is_burst ? burst.factor : 1));
    requests.push_back(draw_request(source, now_s, random));
    requests.back().priority = uniform(random, 1, 5) == 1 ? 1 : 0;
  }
  return requests;
}

}  // namespace fastserve::simulate
