#include "cost_profile.h"

#include <fstream>
#include <sstream>

#include "base/format.h"
#include "base/json.h"

namespace fastserve::simulate {
namespace {

constexpr double kMicrosecond = 1e3;

// SmolLM2-135M Q4_1 on 2 cores of a Xeon with AMX, from docs/benchmarks.md: prefill 1886 tokens/s; decode 437 tokens/s
// alone, 1253 with 8 and 1246 with 32 streams, through which the step and the row are laid; a row's attention at 4096
// tokens takes 0.12 ms a layer and thread. KV as an engine of 16 sequences of 8192 tokens has it.
CostProfile cpu_profile() {
  return {"cpu", {1500 * kMicrosecond, 530 * kMicrosecond, 740 * kMicrosecond, 0.45 * kMicrosecond}, 131072, 512};
}

// Worked out, not measured: 8 billion bf16 weights on an H100 (3.35 TB/s, 990 TFLOP/s). A step reads 16 GB at 75% of
// the bandwidth; a prompt's token is 16 GFLOP at half of the peak; a row's share of sampling and launches is a guess; a
// token of context is 128 KiB. KV: what 80 GB have left beside weights and buffers.
CostProfile gpu_profile() {
  return {"gpu", {6400 * kMicrosecond, 32 * kMicrosecond, 15 * kMicrosecond, 0.052 * kMicrosecond}, 450000, 2048};
}

Result<CostProfile> parse_profile(const std::string& path, const std::string& text) {
  FSV_ASSIGN(const json::Document document, json::parse(text, path));
  const json::Value root = document.root();
  CostProfile profile;
  profile.name = std::string(root["name"].string().value_or(path));
  struct Field {
    const char* name;
    double* value;
  };
  double kv_tokens = 0, batch_tokens = 512;
  for (const Field& field : {Field{"step_us", &profile.cost.step_ns},
                             {"prefill_token_us", &profile.cost.prefill_token_ns},
                             {"decode_row_us", &profile.cost.decode_row_ns},
                             {"context_token_us", &profile.cost.context_token_ns},
                             {"kv_tokens", &kv_tokens},
                             {"max_batch_tokens", &batch_tokens}}) {
    const std::optional<double> value = root[field.name].number();
    if (!value.has_value() || !(*value >= 0) || *value > 1e9) {
      return Status(StatusCode::kCorrupt, format(path, ": \"", field.name, "\" must be a number from 0 to 1e9"));
    }
    *field.value = *value;
  }
  if (kv_tokens < 1 || batch_tokens < 1 || profile.cost.step_ns + profile.cost.decode_row_ns <= 0) {
    return Status(StatusCode::kCorrupt, format(path, ": kv_tokens, max_batch_tokens and a step's time must not be 0"));
  }
  for (double* cost : {&profile.cost.step_ns, &profile.cost.prefill_token_ns, &profile.cost.decode_row_ns,
                       &profile.cost.context_token_ns}) {
    *cost *= kMicrosecond;
  }
  profile.kv_tokens = static_cast<int64_t>(kv_tokens);
  profile.max_batch_tokens = static_cast<int32_t>(batch_tokens);
  return profile;
}

}  // namespace

double CostProfile::step_ns(const StepWork& work) const {
  return cost.step_ns + cost.prefill_token_ns * static_cast<double>(work.prefill_tokens) +
         cost.decode_row_ns * static_cast<double>(work.decode_rows) +
         cost.context_token_ns * static_cast<double>(work.context_tokens);
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

}  // namespace fastserve::simulate
