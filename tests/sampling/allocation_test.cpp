// A steady decode step allocates nothing.
#include <gtest/gtest.h>

#include "base/heap.h"
#include "sampling/sampler.h"
#include "sampling/sampling_statistics.h"

namespace fastserve {
namespace {

std::vector<SamplingParameters> settings() {
  std::vector<SamplingParameters> all(8);
  all[0].temperature = 0;
  all[2].top_k = 40;
  all[2].top_p = 0.9f;
  all[2].min_p = 0.01f;
  all[3].top_p = 0.99f;
  all[4].typical_p = 0.9f;
  all[4].top_n_sigma = 2;
  all[4].xtc_probability = 1;
  all[5].repetition_penalty = 1.1f;
  all[5].frequency_penalty = 0.1f;
  all[5].dry_multiplier = 0.8f;
  all[5].logit_bias = {{3, 1.0f}};
  all[6].mirostat = 1;
  all[7].mirostat = 2;
  all[7].dynamic_temperature_range = 0.3f;
  return all;
}

TEST(SamplerAllocations, NoneInASteadyStep) {
  constexpr int32_t kVocabulary = 3000;
  constexpr int32_t kSteps = 50;
  const std::vector<float> logits = testing::random_logits(kVocabulary, 5);
  const int32_t banned[] = {1, 2};
  SamplerScratch scratch;
  ASSERT_TRUE(scratch.reserve(kVocabulary, 2 * kSteps).ok());
  std::vector<TokenLogprob> top;
  top.reserve(20);
  for (const SamplingParameters& parameters : settings()) {
    Sampler sampler(parameters);
    ASSERT_TRUE(sampler.reserve_history(2 * kSteps).ok());
    const uint64_t before = heap_hooks::counts().allocations;
    for (int32_t i = 0; i < kSteps; ++i) {
      const auto result =
          sampler.sample(logits, i % 2 == 0 ? std::span<const int32_t>(banned) : std::span<const int32_t>(),
                         static_cast<uint64_t>(i), true, scratch);
      if (!result.ok()) break;
      sampler.accept(result.value());
      top_log_probabilities(logits, 20, scratch, top);
    }
    const uint64_t after = heap_hooks::counts().allocations;
    EXPECT_EQ(after, before);
    EXPECT_EQ(sampler.history().size(), static_cast<size_t>(kSteps));
  }
}

}  // namespace
}  // namespace fastserve
