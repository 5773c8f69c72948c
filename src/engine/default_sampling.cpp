// Metadata to sampling parameters; a value that is refused leaves the rest alone.
#include "engine/default_sampling.h"

#include <cmath>
#include <optional>

#include "base/json.h"

namespace fastserve {
namespace {

class Defaults {
 public:
  void set(float SamplingParameters::* field, std::optional<double> value) {
    if (value.has_value()) keep_if_valid(field, static_cast<float>(*value));
  }
  void set(int32_t SamplingParameters::* field, std::optional<double> value) {
    if (value.has_value() && std::abs(*value) < 1e9) keep_if_valid(field, static_cast<int32_t>(*value));
  }
  SamplingParameters parameters;

 private:
  template <typename T>
  void keep_if_valid(T SamplingParameters::* field, T value) {
    const T before = std::exchange(parameters.*field, value);
    if (!check_sampling(parameters).ok()) parameters.*field = before;
  }
};

std::optional<double> number_of(const MetaValue* value) {
  if (value == nullptr) return std::nullopt;
  switch (value->type) {
    case MetaType::kUint:
      return static_cast<double>(value->uint_value);
    case MetaType::kInt:
      return static_cast<double>(value->int_value);
    case MetaType::kFloat:
      return value->float_value;
    default:
      return std::nullopt;
  }
}

// llama.cpp's names, separated by semicolons; logit biases come first there too. An order with a name that is not known
// here is not followed at all.
std::optional<SamplerOrder> order_of(std::string_view text) {
  std::vector<std::string_view> names = {"logit_bias"};
  while (!text.empty()) {
    const size_t end = std::min(text.find(';'), text.size());
    std::string_view name = text.substr(0, end);
    if (name == "typ_p" || name == "typ") name = "typical_p";
    if (name == "temp") name = "temperature";
    if (name == "nucleus") name = "top_p";
    names.push_back(name);
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  const Result<SamplerOrder> order = sampler_order_from_names(names);
  return order.ok() ? std::optional(order.value()) : std::nullopt;
}

SamplingParameters from_gguf(const ModelSource& source) {
  using P = SamplingParameters;
  Defaults defaults;
  auto value = [&](std::string_view name) { return number_of(source.find("general.sampling." + std::string(name))); };
  defaults.set(&P::top_k, value("top_k"));
  defaults.set(&P::top_p, value("top_p"));
  defaults.set(&P::min_p, value("min_p"));
  defaults.set(&P::xtc_probability, value("xtc_probability"));
  defaults.set(&P::xtc_threshold, value("xtc_threshold"));
  defaults.set(&P::temperature, value("temp"));
  defaults.set(&P::penalty_window, value("penalty_last_n"));
  defaults.set(&P::repetition_penalty, value("penalty_repeat"));
  defaults.set(&P::mirostat, value("mirostat"));
  defaults.set(&P::mirostat_tau, value("mirostat_tau"));
  defaults.set(&P::mirostat_eta, value("mirostat_eta"));
  const MetaValue* sequence = source.find("general.sampling.sequence");
  if (sequence != nullptr && sequence->type == MetaType::kString) {
    if (const auto order = order_of(sequence->string_value)) defaults.parameters.order = *order;
  }
  return defaults.parameters;
}

SamplingParameters from_generation_config(const json::Value& config) {
  using P = SamplingParameters;
  Defaults defaults;
  defaults.set(&P::temperature, config["temperature"].number());
  defaults.set(&P::top_k, config["top_k"].number());
  defaults.set(&P::top_p, config["top_p"].number());
  defaults.set(&P::min_p, config["min_p"].number());
  defaults.set(&P::typical_p, config["typical_p"].number());
  defaults.set(&P::repetition_penalty, config["repetition_penalty"].number());
  if (config["do_sample"].boolean() == false) defaults.parameters.temperature = 0;
  using S = SamplerStage;
  defaults.parameters.order = {{S::kLogitBias, S::kPenalties, S::kDry, S::kTemperature, S::kTopNSigma, S::kTopK,
                                S::kTopP, S::kMinP, S::kTypical, S::kXtc},
                               kSamplerStageCount};
  defaults.parameters.penalty_window = -1;
  return defaults.parameters;
}

}  // namespace

SamplingParameters read_default_sampling(const ModelSource& source, std::string_view generation_config) {
  if (generation_config.empty()) return from_gguf(source);
  const Result<json::Document> document = json::parse(generation_config, "generation_config.json");
  return document.ok() ? from_generation_config(document.value().root()) : SamplingParameters();
}

}  // namespace fastserve
