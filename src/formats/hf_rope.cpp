// Rotary embeddings in config.json: "rope_parameters" now, "rope_theta" and "rope_scaling" before.
#include "formats/hf_rope.h"

#include <cmath>
#include <numbers>

#include "base/format.h"

namespace fastserve {
namespace {

// Where the configuration keeps its rotary parameters, for layers with full attention and with a window.
struct RopeSections {
  json::Value full, sliding;
};

RopeSections find_sections(const HfConfigView& view) {
  const json::Value section = view.find({"rope_parameters", "rope_scaling"});
  if (!section.is_object()) return {};
  if (!section["full_attention"].is_object() && !section["sliding_attention"].is_object()) return {section, {}};
  return {section["full_attention"], section["sliding_attention"]};
}

// A positive finite number of a section; `fallback` where it is missing or null.
Result<double> positive(const HfConfigView& view, json::Value section, std::string_view name,
                        std::optional<double> fallback) {
  const json::Value value = section[name];
  if (value.kind() == json::Kind::kAbsent || value.kind() == json::Kind::kNull) {
    if (fallback.has_value()) return *fallback;
    return view.corrupt(format("the rope parameters lack \"", name, "\""));
  }
  const auto number = value.number();
  if (!number.has_value() || !(*number > 0) || !(*number < 1e30)) {
    return view.corrupt(format("rope parameter \"", name, "\" is no positive number in range"));
  }
  return *number;
}

Result<std::vector<float>> factors_of(const HfConfigView& view, json::Value section, std::string_view name,
                                      int64_t count) {
  const json::Value list = section[name];
  if (static_cast<int64_t>(list.size()) != count) {
    return view.corrupt(format("rope parameter \"", name, "\" has ", list.size(), " entries instead of ", count));
  }
  std::vector<float> factors;
  for (size_t i = 0; i < list.size(); ++i) {
    const double factor = list.at(i).number().value_or(0);
    if (!(factor > 0) || !(factor < 1e30)) {
      return view.corrupt(format("rope parameter \"", name, "\": entry ", i, " is no positive number"));
    }
    factors.push_back(static_cast<float>(factor));
  }
  return factors;
}

// Llama 3.1's scaling: long waves are stretched by `factor`, short ones left alone, those between blended.
// GGUF keeps the divisors of the frequencies as a tensor. Float arithmetic as in the conversion that made those.
Status add_llama3(const HfConfigView& view, json::Value section, double theta, int64_t dims,
                  std::vector<DerivedTensor>& derived) {
  FSV_ASSIGN(const double factor, positive(view, section, "factor", 8.0));
  FSV_ASSIGN(const double low, positive(view, section, "low_freq_factor", 1.0));
  FSV_ASSIGN(const double high, positive(view, section, "high_freq_factor", 4.0));
  FSV_ASSIGN(const double original, positive(view, section, "original_max_position_embeddings", 8192.0));
  if (!(high > low)) return view.corrupt("rope parameter \"high_freq_factor\" is not above \"low_freq_factor\"");
  DerivedTensor tensor{"rope_freqs.weight", {}};
  for (int64_t i = 0; i < dims; i += 2) {
    const float exponent = static_cast<float>(i) / static_cast<float>(dims);
    const float frequency = 1.0f / std::pow(static_cast<float>(theta), exponent);
    const float wave = static_cast<float>(2 * std::numbers::pi) / frequency;
    float divisor = 1.0f;
    if (static_cast<double>(wave) > original / low) {
      divisor = static_cast<float>(factor);
    } else if (static_cast<double>(wave) >= original / high) {
      const float smooth =
          (static_cast<float>(original) / wave - static_cast<float>(low)) / static_cast<float>(high - low);
      divisor = 1.0f / ((1.0f - smooth) / static_cast<float>(factor) + smooth);
    }
    tensor.values.push_back(divisor);
  }
  derived.push_back(std::move(tensor));
  return {};
}

// Phi-3's long contexts: two sets of divisors, for sequences within and beyond the original context.
Status add_longrope(const HfConfigView& view, json::Value section, const HfRopeContext& context, int64_t dims,
                    double original, HfMetadata& entries, std::vector<DerivedTensor>& derived) {
  if (context.architecture != "phi3") return view.unsupported("longrope scaling outside phi3");
  FSV_ASSIGN(std::vector<float> long_factors, factors_of(view, section, "long_factor", dims / 2));
  FSV_ASSIGN(std::vector<float> short_factors, factors_of(view, section, "short_factor", dims / 2));
  const double scale = static_cast<double>(context.context_length) / original;
  const double natural = scale > 1 ? std::sqrt(1 + std::log(scale) / std::log(original)) : 1.0;
  FSV_ASSIGN(const double magnitude, positive(view, section, "attention_factor", natural));
  entries.real("rope.scaling.attn_factor", magnitude);
  derived.push_back({"rope_factors_long.weight", std::move(long_factors)});
  derived.push_back({"rope_factors_short.weight", std::move(short_factors)});
  return {};
}

Status add_yarn(const HfConfigView& view, json::Value section, const HfRopeContext& context, HfMetadata& entries) {
  FSV_ASSIGN(const double factor, positive(view, section, "factor", std::nullopt));
  FSV_ASSIGN(const double original,
             positive(view, section, "original_max_position_embeddings", static_cast<double>(context.context_length)));
  entries.text_of("rope.scaling.type", "yarn");
  entries.real("rope.scaling.factor", factor);
  entries.number("rope.scaling.original_context_length", static_cast<int64_t>(std::min(original, 1e15)));
  constexpr std::pair<std::string_view, std::string_view> kOptional[] = {
      {"extrapolation_factor", "rope.scaling.yarn_ext_factor"},
      {"attention_factor", "rope.scaling.yarn_attn_factor"},
      {"beta_fast", "rope.scaling.yarn_beta_fast"},
      {"beta_slow", "rope.scaling.yarn_beta_slow"},
  };
  for (const auto& [name, key] : kOptional) {
    if (!section[name].number().has_value()) continue;
    FSV_ASSIGN(const double value, positive(view, section, name, std::nullopt));
    entries.real(key, value);
  }
  return {};
}

}  // namespace

Status read_hf_rope(const HfConfigView& view, const HfRopeContext& context, HfMetadata& entries,
                    std::vector<DerivedTensor>& derived) {
  const RopeSections sections = find_sections(view);
  const bool gemma3 = context.architecture == "gemma3";
  FSV_ASSIGN(const double plain_theta, view.real({"rope_theta"}, gemma3 ? 1e6 : 1e4));
  FSV_ASSIGN(const double theta, positive(view, sections.full, "rope_theta", plain_theta));
  if (!(theta > 0)) return view.corrupt("\"rope_theta\" is not positive");
  FSV_ASSIGN(const double plain_share, view.real({"partial_rotary_factor"}, 1.0));
  FSV_ASSIGN(const double share, positive(view, sections.full, "partial_rotary_factor", plain_share));
  if (!(share > 0) || !(share <= 1)) return view.corrupt("\"partial_rotary_factor\" is out of range");
  const auto dims = static_cast<int64_t>(share * static_cast<double>(context.head_dim));
  if (dims < 2) return view.corrupt(format(dims, " rotary dimensions are too few"));
  entries.number("rope.dimension_count", dims);
  entries.real("rope.freq_base", theta);
  if (gemma3) {
    FSV_ASSIGN(const double plain_local, view.real({"rope_local_base_freq"}, 1e4));
    FSV_ASSIGN(const double local, positive(view, sections.sliding, "rope_theta", plain_local));
    entries.real("rope.freq_base_swa", local);
  }
  FSV_ASSIGN(const double plain_original,
             view.real({"original_max_position_embeddings"}, static_cast<double>(context.context_length)));
  FSV_ASSIGN(const double original, positive(view, sections.full, "original_max_position_embeddings", plain_original));
  if (context.architecture == "phi3") {
    if (!(original > 1) || original > 1e9) return view.corrupt("\"original_max_position_embeddings\" is out of range");
    entries.number("rope.scaling.original_context_length", static_cast<int64_t>(original));
  }
  const auto old_type = sections.full["type"].string().value_or("default");
  const auto type = sections.full["rope_type"].string().value_or(old_type);
  if (type == "default") return {};
  if (type == "linear") {
    FSV_ASSIGN(const double factor, positive(view, sections.full, "factor", std::nullopt));
    entries.text_of("rope.scaling.type", "linear");
    entries.real("rope.scaling.factor", factor);
    return {};
  }
  if (type == "yarn") return add_yarn(view, sections.full, context, entries);
  if (type == "llama3") return add_llama3(view, sections.full, theta, dims, derived);
  if (type == "longrope" || type == "su") {
    return add_longrope(view, sections.full, context, dims, original, entries, derived);
  }
  return view.unsupported(format("rope scaling ", quoted_name(type)));
}

}  // namespace fastserve
