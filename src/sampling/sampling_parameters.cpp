// Checks of what a host asked for: every refusal names the field, the value and what was expected.
#include "sampling/sampling_parameters.h"

#include <algorithm>
#include <cmath>

#include "base/format.h"

namespace fastserve {
namespace {

constexpr std::string_view kStageNames[kSamplerStageCount] = {
    "logit_bias", "penalties", "dry", "top_n_sigma", "top_k", "typical_p", "top_p", "min_p", "xtc", "temperature"};

struct FloatField {
  const char* name;
  float SamplingParameters::* member;
  float min, max;
};
constexpr float kHuge = 3.0e38f;
constexpr FloatField kFloatFields[] = {
    {"temperature", &SamplingParameters::temperature, 0, kHuge},
    {"top_p", &SamplingParameters::top_p, 0, kHuge},
    {"min_p", &SamplingParameters::min_p, 0, 1},
    {"typical_p", &SamplingParameters::typical_p, 0, kHuge},
    {"top_n_sigma", &SamplingParameters::top_n_sigma, -kHuge, kHuge},
    {"xtc_probability", &SamplingParameters::xtc_probability, 0, 1},
    {"xtc_threshold", &SamplingParameters::xtc_threshold, 0, 1},
    {"dynamic_temperature_range", &SamplingParameters::dynamic_temperature_range, 0, kHuge},
    {"dynamic_temperature_exponent", &SamplingParameters::dynamic_temperature_exponent, 0, 1000},
    {"repetition_penalty", &SamplingParameters::repetition_penalty, 1e-3f, 1e3f},
    {"presence_penalty", &SamplingParameters::presence_penalty, -1e4f, 1e4f},
    {"frequency_penalty", &SamplingParameters::frequency_penalty, -1e4f, 1e4f},
    {"dry_multiplier", &SamplingParameters::dry_multiplier, 0, 1e4f},
    {"dry_base", &SamplingParameters::dry_base, 1, 1e4f},
    {"mirostat_tau", &SamplingParameters::mirostat_tau, 0, 1e4f},
    {"mirostat_eta", &SamplingParameters::mirostat_eta, 0, 1},
};

Status check_order(const SamplerOrder& order) {
  if (order.count > kSamplerStageCount) {
    return Status(StatusCode::kInvalidArgument,
                  format("sampling: order has ", static_cast<uint32_t>(order.count), " stages"));
  }
  bool seen[kSamplerStageCount] = {};
  for (const SamplerStage stage : order.view()) {
    const auto index = static_cast<size_t>(stage);
    if (index >= kSamplerStageCount) {
      return Status(StatusCode::kInvalidArgument, format("sampling: order names unknown stage ", index));
    }
    if (seen[index]) {
      return Status(StatusCode::kInvalidArgument, format("sampling: order names ", kStageNames[index], " twice"));
    }
    seen[index] = true;
  }
  return Status();
}

Status check_token(const char* field, int32_t id, int32_t vocabulary_size) {
  if (id >= 0 && (vocabulary_size <= 0 || id < vocabulary_size)) return Status();
  return Status(StatusCode::kInvalidArgument,
                format("sampling: ", field, " names token ", id, ", outside the vocabulary"));
}

}  // namespace

std::string_view sampler_stage_name(SamplerStage stage) {
  const auto index = static_cast<size_t>(stage);
  return index < kSamplerStageCount ? kStageNames[index] : "unknown";
}

Result<SamplerOrder> sampler_order_from_names(std::span<const std::string_view> names) {
  SamplerOrder order;
  for (const std::string_view name : names) {
    const auto* found = std::find(std::begin(kStageNames), std::end(kStageNames), name);
    if (found == std::end(kStageNames)) {
      return Status(StatusCode::kInvalidArgument, format("sampling: order names unknown stage '", name, "'"));
    }
    if (order.count == kSamplerStageCount) {
      return Status(StatusCode::kInvalidArgument, format("sampling: order has more than ", order.count, " stages"));
    }
    order.stages[order.count++] = static_cast<SamplerStage>(found - std::begin(kStageNames));
  }
  FSV_TRY(check_order(order));
  return order;
}

Status check_sampling(const SamplingParameters& parameters, int32_t vocabulary_size) {
  for (const FloatField& field : kFloatFields) {
    const float value = parameters.*field.member;
    if (value >= field.min && value <= field.max) continue;
    std::string expected = "a finite number";
    if (field.min > -kHuge)
      expected = field.max < kHuge ? format("a number from ", field.min, " to ", field.max)
                                   : format("a finite number >= ", field.min);
    return Status(StatusCode::kInvalidArgument,
                  format("sampling: ", field.name, " is ", value, ", expected ", expected));
  }
  if (parameters.mirostat < 0 || parameters.mirostat > 2) {
    return Status(StatusCode::kInvalidArgument,
                  format("sampling: mirostat is ", parameters.mirostat, ", expected 0, 1 or 2"));
  }
  if (parameters.dry_allowed_length < 1) {
    return Status(StatusCode::kInvalidArgument,
                  format("sampling: dry_allowed_length is ", parameters.dry_allowed_length, ", expected at least 1"));
  }
  for (const int32_t id : parameters.dry_breakers) FSV_TRY(check_token("dry_breakers", id, vocabulary_size));
  if (!std::is_sorted(parameters.dry_breakers.begin(), parameters.dry_breakers.end())) {
    return Status::from_literal(StatusCode::kInvalidArgument, "sampling: dry_breakers are not in ascending order");
  }
  for (const LogitBias& entry : parameters.logit_bias) {
    FSV_TRY(check_token("logit_bias", entry.token_id, vocabulary_size));
    if (!(entry.bias <= 1e30f)) {
      return Status(StatusCode::kInvalidArgument, format("sampling: logit_bias of token ", entry.token_id, " is ",
                                                         entry.bias, ", expected at most 1e30"));
    }
  }
  return check_order(parameters.order);
}

std::vector<int32_t> find_breaker_tokens(std::span<const std::string_view> token_bytes,
                                         std::span<const std::string_view> breakers) {
  std::vector<int32_t> ids;
  for (size_t id = 0; id < token_bytes.size(); ++id) {
    const bool breaks = std::any_of(breakers.begin(), breakers.end(), [&](std::string_view breaker) {
      return !breaker.empty() && token_bytes[id].find(breaker) != std::string_view::npos;
    });
    if (breaks) ids.push_back(static_cast<int32_t>(id));
  }
  return ids;
}

}  // namespace fastserve
