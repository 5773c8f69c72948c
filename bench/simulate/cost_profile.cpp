#include "cost_profile.h"

#include <algorithm>
#include <fstream>
#include <sstream>

#include "base/format.h"
#include "base/json.h"
#include "base/json_writer.h"

namespace fastserve::simulate {
namespace {

constexpr double kMicrosecond = 1e3;

// SmolLM2-135M Q4_1 on 2 cores of a Xeon with AMX, from docs/benchmarks.md: prefill 1886 tokens/s; decode 437 tokens/s
// alone, 1253 with 8 and 1246 with 32 streams, through which the step and the row are laid; a row's attention at 4096
// tokens takes 0.12 ms a layer and thread. A prompt of 8000 tokens is read at 231 tokens/s by one thread, which leaves
// 0.41 us of both for each key that a token sees. KV as an engine of 16 sequences of 8192 tokens has it.
CostProfile cpu_profile() {
  return {"cpu",
          {1500 * kMicrosecond, 425 * kMicrosecond, 740 * kMicrosecond, 0.45 * kMicrosecond, 0.41 * kMicrosecond},
          131072,
          512};
}

// Worked out, not measured: 8 billion bf16 weights on an H100 (3.35 TB/s, 990 TFLOP/s). A step reads 16 GB at 75% of
// the bandwidth; a prompt's token is 16 GFLOP at half of the peak; a row's share of sampling and launches is a guess; a
// token of context is 128 KiB to read for a decoding row, and 0.5 MFLOP for a row of a prompt. KV: what 80 GB have left
// beside weights and buffers.
CostProfile gpu_profile() {
  return {"gpu",
          {6400 * kMicrosecond, 32 * kMicrosecond, 15 * kMicrosecond, 0.052 * kMicrosecond, 0.001 * kMicrosecond},
          450000,
          2048};
}

struct Field {
  const char* name;
  double* value;
  bool is_optional = false;
};

Status parse_correction(const std::string& path, json::Value given, Correction& correction) {
  for (size_t i = 0; i < given.size(); ++i) {
    const std::optional<double> rows = given.at(i).at(0).number(), us = given.at(i).at(1).number();
    const bool ascends = correction.points.empty() || (rows.has_value() && *rows > correction.points.back().first);
    if (!rows.has_value() || !us.has_value() || !ascends) {
      return {StatusCode::kCorrupt, format(path, ": a correction is an array of [rows, us], rows ascending")};
    }
    correction.points.emplace_back(*rows, *us * kMicrosecond);
  }
  return {};
}

Result<CostProfile> parse_profile(const std::string& path, const std::string& text) {
  FSV_ASSIGN(const json::Document document, json::parse(text, path));
  const json::Value root = document.root();
  CostProfile profile;
  profile.name = std::string(root["name"].string().value_or(path));
  double kv_tokens = 0, batch_tokens = 512;
  CostModel::Coefficients& cost = profile.cost;
  for (const Field& field :
       {Field{"step_us", &cost.step_ns}, Field{"prefill_token_us", &cost.prefill_token_ns},
        Field{"decode_row_us", &cost.decode_row_ns}, Field{"context_token_us", &cost.context_token_ns},
        Field{"prefill_context_us", &cost.prefill_context_ns, true}, Field{"kv_tokens", &kv_tokens},
        Field{"max_batch_tokens", &batch_tokens}}) {
    const json::Value found = root[field.name];
    if (field.is_optional && !found.present()) continue;
    const std::optional<double> value = found.number();
    if (!value.has_value() || !(*value >= 0) || *value > 1e9) {
      return Status(StatusCode::kCorrupt, format(path, ": \"", field.name, "\" must be a number from 0 to 1e9"));
    }
    *field.value = *value;
  }
  if (kv_tokens < 1 || batch_tokens < 1 || cost.step_ns + cost.decode_row_ns <= 0) {
    return Status(StatusCode::kCorrupt, format(path, ": kv_tokens, max_batch_tokens and a step's time must not be 0"));
  }
  for (double* each :
       {&cost.step_ns, &cost.prefill_token_ns, &cost.decode_row_ns, &cost.context_token_ns, &cost.prefill_context_ns}) {
    *each *= kMicrosecond;
  }
  FSV_TRY(parse_correction(path, root["decode_correction_us"], profile.decode_correction));
  FSV_TRY(parse_correction(path, root["prefill_correction_us"], profile.prefill_correction));
  profile.kv_tokens = static_cast<int64_t>(kv_tokens);
  profile.max_batch_tokens = static_cast<int32_t>(batch_tokens);
  return profile;
}

}  // namespace

double Correction::at_ns(int64_t rows) const {
  if (points.empty() || rows <= 0) return 0;
  const auto x = static_cast<double>(rows);
  const auto above = std::lower_bound(points.begin(), points.end(), x,
                                      [](const auto& point, double value) { return point.first < value; });
  if (above == points.begin()) return above->second;
  if (above == points.end()) return points.back().second;
  const auto& [left, left_ns] = *(above - 1);
  return left_ns + (above->second - left_ns) * (x - left) / (above->first - left);
}

double CostProfile::step_ns(const StepWork& work) const {
  const double formula_ns = cost.predict_ns(work);
  const double corrected_ns =
      formula_ns + decode_correction.at_ns(work.decode_rows) + prefill_correction.at_ns(work.prefill_tokens);
  return std::max(corrected_ns, 0.1 * formula_ns);
}

Result<CostProfile> load_profile(const std::string& name) {
  if (name == "cpu") return cpu_profile();
  if (name == "gpu") return gpu_profile();
  std::ifstream file(name, std::ios::binary);
  if (!file) return Status(StatusCode::kNotFound, format("no profile \"", name, "\": cpu, gpu, or a JSON file"));
  std::ostringstream text;
  text << file.rdbuf();
  return parse_profile(name, text.str());
}

std::string to_json(const CostProfile& profile) {
  JsonWriter json;
  json.begin_object().key("name").value(profile.name);
  json.key("step_us").value(profile.cost.step_ns / kMicrosecond);
  json.key("prefill_token_us").value(profile.cost.prefill_token_ns / kMicrosecond);
  json.key("decode_row_us").value(profile.cost.decode_row_ns / kMicrosecond);
  json.key("context_token_us").value(profile.cost.context_token_ns / kMicrosecond);
  json.key("prefill_context_us").value(profile.cost.prefill_context_ns / kMicrosecond);
  json.key("kv_tokens").value(profile.kv_tokens).key("max_batch_tokens").value(int64_t{profile.max_batch_tokens});
  auto write = [&](const char* name, const Correction& correction) {
    json.key(name).begin_array();
    for (const auto& [rows, ns] : correction.points) {
      json.begin_array().value(rows).value(ns / kMicrosecond).end_array();
    }
    json.end_array();
  };
  write("decode_correction_us", profile.decode_correction);
  write("prefill_correction_us", profile.prefill_correction);
  json.end_object();
  return json.take() + "\n";
}

}  // namespace fastserve::simulate
