// What a request asks of its sampler: the stages, their order, and their numbers.
#pragma once
#include <array>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "base/status.h"

namespace fastserve {

// One step between logits and draw. Each works on what the one before left.
enum class SamplerStage : uint32_t {
  kLogitBias,
  kPenalties,  // repetition, presence, frequency
  kDry,
  kTopNSigma,
  kTopK,
  kTypical,
  kTopP,
  kMinP,
  kXtc,
  kTemperature,  // static or dynamic
};
inline constexpr size_t kSamplerStageCount = 10;

// A stage that is not in the order is not applied.
struct SamplerOrder {
  std::array<SamplerStage, kSamplerStageCount> stages{};
  uint8_t count = 0;
  std::span<const SamplerStage> view() const { return {stages.data(), count}; }
  bool operator==(const SamplerOrder&) const = default;
};
// As llama.cpp's: what looks at the text first, then the cuts, on the model's own probabilities (temperature 1), so
// that a higher temperature does not let more tokens in. transformers applies temperature before the cuts.
inline constexpr SamplerOrder kDefaultSamplerOrder{
    {SamplerStage::kLogitBias, SamplerStage::kPenalties, SamplerStage::kDry, SamplerStage::kTopNSigma,
     SamplerStage::kTopK, SamplerStage::kTypical, SamplerStage::kTopP, SamplerStage::kMinP, SamplerStage::kXtc,
     SamplerStage::kTemperature},
    kSamplerStageCount};

// Static names such as "top_k". From names: unknown or twice is kInvalidArgument.
std::string_view sampler_stage_name(SamplerStage stage);
Result<SamplerOrder> sampler_order_from_names(std::span<const std::string_view> names);

struct LogitBias {
  int32_t token_id = 0;
  float bias = 0;  // added to the logit; -inf: never
};

struct SamplingParameters {
  int32_t top_k = 0;         // <= 0: all
  float temperature = 1.0f;  // 0: greedy
  float top_p = 1.0f;        // >= 1: all; 0: the most likely one
  float min_p = 0.0f;        // 0: none
  uint64_t seed = 0;
  uint32_t stream = 0;  // of the seed; streams are independent of one another

  float typical_p = 1.0f;    // >= 1: all. Locally typical sampling (arXiv 2202.00666)
  float top_n_sigma = 0.0f;  // keep logits >= max - n * standard deviation (arXiv 2411.07641); <= 0: off

  // Exclude top choices: with this probability, of the tokens at or above the threshold keep the least likely alone.
  float xtc_probability = 0.0f;
  float xtc_threshold = 0.1f;  // > 0.5: off, since two tokens cannot reach it

  // Dynamic temperature: temperature +- range by normalised entropy to the power of exponent. 0: static.
  float dynamic_temperature_range = 0.0f;
  float dynamic_temperature_exponent = 1.0f;

  // Over the last `penalty_window` tokens of prompt and output (< 0: all, 0: none): positive logits are divided by
  // `repetition_penalty`, others multiplied; then count * frequency + presence is subtracted.
  int32_t penalty_window = 64;
  float repetition_penalty = 1.0f;
  float presence_penalty = 0.0f;
  float frequency_penalty = 0.0f;

  // DRY: a token that would extend a repetition of L >= allowed tokens loses multiplier * base^(L - allowed).
  // Repetitions do not reach across a breaker (see find_breaker_tokens).
  float dry_multiplier = 0.0f;  // 0: off
  float dry_base = 1.75f;
  int32_t dry_allowed_length = 2;
  int32_t dry_window = -1;                 // last tokens looked at; < 0: all
  std::vector<int32_t> dry_breakers = {};  // token ids, ascending

  std::vector<LogitBias> logit_bias = {};

  // Mirostat (arXiv 2007.14966): 1 or 2; 0: off. The cuts by top_k, typical, top_p, min_p, top_n_sigma and xtc are
  // then not applied; the temperature is, and mirostat cuts last.
  int32_t mirostat = 0;
  float mirostat_tau = 5.0f;  // wanted surprise in bits
  float mirostat_eta = 0.1f;  // learning rate

  SamplerOrder order = kDefaultSamplerOrder;
};
// Finite, in range; the message names the field. `vocabulary_size` > 0: token ids too.
Status check_sampling(const SamplingParameters& parameters, int32_t vocabulary_size = 0);

// Ids (ascending) of the tokens whose bytes hold one of the breaker strings; the usual ones are "\n", ":", "\"", "*".
std::vector<int32_t> find_breaker_tokens(std::span<const std::string_view> token_bytes,
                                         std::span<const std::string_view> breakers);

}  // namespace fastserve
