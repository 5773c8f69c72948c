// The C struct of sampling settings, checked and copied.
#include "api/sampling_arguments.h"

#include "api/handles.h"
#include "api/shim.h"

namespace fastserve::api {
namespace {

static_assert(static_cast<uint32_t>(SamplerStage::kLogitBias) == FSV_STAGE_LOGIT_BIAS);
static_assert(static_cast<uint32_t>(SamplerStage::kPenalties) == FSV_STAGE_PENALTIES);
static_assert(static_cast<uint32_t>(SamplerStage::kDry) == FSV_STAGE_DRY);
static_assert(static_cast<uint32_t>(SamplerStage::kTopNSigma) == FSV_STAGE_TOP_N_SIGMA);
static_assert(static_cast<uint32_t>(SamplerStage::kTopK) == FSV_STAGE_TOP_K);
static_assert(static_cast<uint32_t>(SamplerStage::kTypical) == FSV_STAGE_TYPICAL);
static_assert(static_cast<uint32_t>(SamplerStage::kTopP) == FSV_STAGE_TOP_P);
static_assert(static_cast<uint32_t>(SamplerStage::kMinP) == FSV_STAGE_MIN_P);
static_assert(static_cast<uint32_t>(SamplerStage::kXtc) == FSV_STAGE_XTC);
static_assert(static_cast<uint32_t>(SamplerStage::kTemperature) == FSV_STAGE_TEMPERATURE);

static_assert(sizeof(SamplerStage) == sizeof(uint32_t));

Status copy_stages(const fsv_sampling& given, SamplerOrder& order) {
  if (given.stages == nullptr) return given.stage_count == 0 ? Status() : invalid("sampling.stages is NULL");
  if (given.stage_count > kSamplerStageCount) {
    return invalid(format("sampling.stage_count is ", given.stage_count, ", at most ", kSamplerStageCount));
  }
  order.count = 0;
  uint32_t seen = 0;
  for (size_t i = 0; i < given.stage_count; ++i) {
    const uint32_t stage = given.stages[i];
    if (stage >= kSamplerStageCount) return invalid(format("sampling.stages[", i, "] is ", stage));
    if ((seen >> stage & 1) != 0) return invalid(format("sampling.stages names stage ", stage, " twice"));
    seen |= 1U << stage;
    order.stages[order.count++] = static_cast<SamplerStage>(stage);
  }
  return {};
}

Status copy_breakers(const LoadedModel& model, const fsv_sampling& given, SamplingParameters& parameters) {
  constexpr size_t kBreakersMax = 64;
  if (parameters.dry_multiplier == 0) return {};
  std::vector<std::string_view> breakers = {"\n", ":", "\"", "*"};
  if (given.dry_breakers != nullptr) {
    if (given.dry_breaker_count > kBreakersMax) {
      return invalid(format("sampling.dry_breaker_count is ", given.dry_breaker_count, ", at most ", kBreakersMax));
    }
    breakers.clear();
    for (size_t i = 0; i < given.dry_breaker_count; ++i) {
      const fsv_string& breaker = given.dry_breakers[i];
      FSV_ASSIGN(const std::string_view text, text_argument(breaker.data, breaker.size, "sampling.dry_breakers"));
      if (text.empty()) return invalid(format("sampling.dry_breakers[", i, "] is empty"));
      breakers.push_back(text);
    }
  }
  const Tokenizer& tokenizer = *model.tokenizer;
  std::vector<std::string_view> tokens;
  tokens.reserve(static_cast<size_t>(tokenizer.vocabulary_size()));
  for (int32_t id = 0; id < tokenizer.vocabulary_size(); ++id) tokens.push_back(tokenizer.token_bytes(id));
  parameters.dry_breakers = find_breaker_tokens(tokens, breakers);
  return {};
}

Status copy_biases(const fsv_sampling& given, SamplingParameters& parameters) {
  constexpr size_t kBiasesMax = 4096;
  if (given.logit_bias_count > kBiasesMax) {
    return invalid(format("sampling.logit_bias_count is ", given.logit_bias_count, ", at most ", kBiasesMax));
  }
  if (given.logit_bias == nullptr && given.logit_bias_count > 0) return invalid("sampling.logit_bias is NULL");
  for (size_t i = 0; i < given.logit_bias_count; ++i) {
    parameters.logit_bias.push_back({given.logit_bias[i].token_id, given.logit_bias[i].bias});
  }
  return {};
}

// What both structs call by the same name, in either direction.
template <typename From, typename To>
void copy_numbers(const From& given, To& parameters) {
  parameters.top_k = given.top_k;
  parameters.temperature = given.temperature;
  parameters.top_p = given.top_p;
  parameters.min_p = given.min_p;
  parameters.seed = given.seed;
  parameters.stream = given.stream;
  parameters.typical_p = given.typical_p;
  parameters.top_n_sigma = given.top_n_sigma;
  parameters.xtc_probability = given.xtc_probability;
  parameters.xtc_threshold = given.xtc_threshold;
  parameters.dynamic_temperature_range = given.dynamic_temperature_range;
  parameters.dynamic_temperature_exponent = given.dynamic_temperature_exponent;
  parameters.penalty_window = given.penalty_window;
  parameters.repetition_penalty = given.repetition_penalty;
  parameters.presence_penalty = given.presence_penalty;
  parameters.frequency_penalty = given.frequency_penalty;
  parameters.dry_multiplier = given.dry_multiplier;
  parameters.dry_base = given.dry_base;
  parameters.dry_allowed_length = given.dry_allowed_length;
  parameters.dry_window = given.dry_window;
  parameters.mirostat = given.mirostat;
  parameters.mirostat_tau = given.mirostat_tau;
  parameters.mirostat_eta = given.mirostat_eta;
}

}  // namespace

Result<SamplingParameters> sampling_parameters(const LoadedModel& model, const fsv_sampling* given) {
  if (given == nullptr) return model.default_sampling;
  FSV_ASSIGN(const fsv_sampling checked, config_argument(given, fsv_sampling_init, "sampling"));
  SamplingParameters parameters;
  copy_numbers(checked, parameters);
  FSV_TRY(copy_stages(checked, parameters.order));
  FSV_TRY(copy_biases(checked, parameters));
  FSV_TRY(check_sampling(parameters));
  FSV_TRY(copy_breakers(model, checked, parameters));
  return parameters;
}

}  // namespace fastserve::api

extern "C" {

using namespace fastserve;       // NOLINT(google-build-using-namespace)
using namespace fastserve::api;  // NOLINT(google-build-using-namespace)

void fsv_sampling_init(fsv_sampling* sampling, uint32_t struct_size) {
  init_struct(sampling, struct_size, [](fsv_sampling& defaults) { copy_numbers(SamplingParameters(), defaults); });
}

fsv_status fsv_model_default_sampling(fsv_model* model, fsv_sampling* sampling, fsv_error* error) {
  return shim(error, [&]() -> Status {
    FSV_ASSIGN(const std::shared_ptr<LoadedModel> target, find_model(model));
    fsv_sampling filled;
    fsv_sampling_init(&filled, sizeof(filled));
    const SamplingParameters& defaults = target->default_sampling;
    copy_numbers(defaults, filled);
    if (!(defaults.order == kDefaultSamplerOrder)) {
      filled.stages = reinterpret_cast<const uint32_t*>(defaults.order.stages.data());
      filled.stage_count = defaults.order.count;
    }
    return fill_info(sampling, filled, "sampling");
  });
}

}  // extern "C"
