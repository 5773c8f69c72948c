// The sampler against exact distributions, at its edges, and on large vocabularies.
#include "sampling/sampler.h"

#include <gtest/gtest.h>

#include <limits>
#include <set>

#include "sampling/random.h"
#include "sampling/sampling_statistics.h"

namespace fastserve {
namespace {

using testing::random_logits;
constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr uint64_t kDraws = 100000;

// The definition, without any shortcut: sort, cut, temper.
std::vector<double> exact_distribution(std::span<const float> logits, const SamplingParameters& parameters) {
  const std::vector<int32_t> order = testing::sorted_ids(logits);
  size_t kept = order.size();
  if (parameters.top_k > 0) kept = std::min(kept, static_cast<size_t>(parameters.top_k));
  std::vector<float> sorted;
  for (size_t i = 0; i < kept; ++i) sorted.push_back(logits[static_cast<size_t>(order[i])]);
  const std::vector<double> probabilities = testing::softmax(sorted);
  if (parameters.top_p < 1.0f) {
    double sum = 0;
    size_t end = 0;
    while (end < kept && (end == 0 || sum < static_cast<double>(parameters.top_p))) sum += probabilities[end++];
    kept = end;
  }
  size_t likely = 0;
  while (likely < kept && probabilities[likely] >= static_cast<double>(parameters.min_p) * probabilities[0]) ++likely;
  sorted.resize(std::max<size_t>(likely, 1));
  const std::vector<double> tempered = testing::softmax(sorted, static_cast<double>(parameters.temperature));
  std::vector<double> result(logits.size(), 0.0);
  for (size_t i = 0; i < sorted.size(); ++i) result[static_cast<size_t>(order[i])] = tempered[i];
  return result;
}

int32_t sample_one(std::span<const float> logits, const SamplingParameters& parameters, uint64_t draw_index = 0,
                   std::vector<int32_t> banned = {}) {
  SamplerScratch scratch;
  const auto result = Sampler(parameters).sample(logits, banned, draw_index, false, scratch);
  EXPECT_TRUE(result.ok()) << result.status().message();
  return result.ok() ? result.value().token_id : -1;
}

TEST(Random, MatchesPublishedPhiloxVectors) {
  using Words = std::array<uint32_t, 4>;
  EXPECT_EQ(philox4x32({0, 0, 0, 0}, {0, 0}), (Words{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}));
  EXPECT_EQ(philox4x32({~0u, ~0u, ~0u, ~0u}, {~0u, ~0u}), (Words{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}));
  EXPECT_EQ(philox4x32({0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}, {0xa4093822, 0x299f31d0}),
            (Words{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}));
}

TEST(Random, UniformIsUniformAndDependsOnEverything) {
  std::vector<uint64_t> counts(100);
  for (uint64_t i = 0; i < kDraws; ++i) {
    const double u = uniform_random(7, i, RandomPurpose::kToken);
    ASSERT_GE(u, 0.0);
    ASSERT_LT(u, 1.0);
    ++counts[static_cast<size_t>(u * 100)];
  }
  const auto test = testing::chi_square(std::vector<double>(100, 0.01), counts);
  EXPECT_LT(test.statistic, test.limit);
  std::set<double> values;
  for (uint64_t seed : {uint64_t{0}, uint64_t{1}, uint64_t{1} << 32}) {
    for (uint64_t index : {uint64_t{0}, uint64_t{1}, uint64_t{1} << 32}) {
      values.insert(uniform_random(seed, index, RandomPurpose::kToken));
      values.insert(uniform_random(seed, index, RandomPurpose::kXtc));
    }
  }
  EXPECT_EQ(values.size(), 18u);
}

TEST(Exponential, IsWithinTwoUlp) {
  for (float x = 0.0f; x > -86.9f; x -= 0.00137f) {
    const double exact = std::exp(static_cast<double>(x));
    ASSERT_NEAR(static_cast<double>(exp_nonpositive(x)) / exact, 1.0, 2e-7) << x;
  }
  EXPECT_EQ(exp_nonpositive(0.0f), 1.0f);
  EXPECT_EQ(exp_nonpositive(-kInfinity), 0.0f);
  EXPECT_EQ(exp_nonpositive(-1e30f), 0.0f);
}

struct Setting {
  const char* name;
  size_t vocabulary_size;
  SamplingParameters parameters;
};
class SamplerDistribution : public ::testing::TestWithParam<Setting> {};

TEST_P(SamplerDistribution, MatchesExactProbabilities) {
  const Setting& setting = GetParam();
  const std::vector<float> logits = random_logits(setting.vocabulary_size, 11, 2.0f);
  const std::vector<double> expected = exact_distribution(logits, setting.parameters);
  SamplerScratch scratch;
  ASSERT_TRUE(scratch.reserve(static_cast<int32_t>(logits.size())).ok());
  const Sampler sampler(setting.parameters);
  std::vector<uint64_t> counts(logits.size());
  for (uint64_t i = 0; i < kDraws; ++i) {
    const auto result = sampler.sample(logits, {}, i, false, scratch);
    ASSERT_TRUE(result.ok());
    ++counts[static_cast<size_t>(result.value().token_id)];
  }
  const auto test = testing::chi_square(expected, counts);
  EXPECT_EQ(test.impossible, 0u);
  EXPECT_LT(test.statistic, test.limit);
}

SamplingParameters make(int32_t top_k, float temperature, float top_p, float min_p) {
  return {.top_k = top_k, .temperature = temperature, .top_p = top_p, .min_p = min_p, .seed = 1234};
}
INSTANTIATE_TEST_SUITE_P(Settings, SamplerDistribution,
                         ::testing::Values(Setting{"plain", 300, make(0, 1.0f, 1.0f, 0.0f)},
                                           Setting{"hot", 130, make(0, 1.7f, 1.0f, 0.0f)},
                                           Setting{"cold", 400, make(0, 0.6f, 1.0f, 0.0f)},
                                           Setting{"top_k", 400, make(40, 1.0f, 1.0f, 0.0f)},
                                           Setting{"top_k_of_few", 50, make(7, 0.8f, 1.0f, 0.0f)},
                                           Setting{"top_p", 200, make(0, 1.0f, 0.8f, 0.0f)},
                                           Setting{"top_p_hot", 150, make(0, 1.5f, 0.95f, 0.0f)},
                                           Setting{"min_p", 700, make(0, 1.0f, 1.0f, 0.05f)},
                                           Setting{"min_p_hot", 700, make(0, 2.0f, 1.0f, 0.1f)},
                                           Setting{"everything", 300, make(60, 0.9f, 0.9f, 0.02f)},
                                           Setting{"top_k_and_top_p", 300, make(20, 1.2f, 0.7f, 0.0f)}),
                         [](const auto& setting) { return setting.param.name; });

// Which ids can come out at all: by the support of many draws at a very high temperature.
std::set<int32_t> support(std::span<const float> logits, SamplingParameters parameters, int draws = 4000) {
  parameters.temperature = 1e6f;
  std::set<int32_t> ids;
  for (int i = 0; i < draws; ++i) ids.insert(sample_one(logits, parameters, static_cast<uint64_t>(i)));
  return ids;
}

TEST(Sampler, GreedyTakesTheLargestWithTheLowestId) {
  const SamplingParameters greedy{.temperature = 0.0f};
  EXPECT_EQ(sample_one(std::vector<float>{1, 5, 5, 2}, greedy), 1);
  EXPECT_EQ(sample_one(std::vector<float>{-3}, greedy), 0);
  EXPECT_EQ(sample_one(std::vector<float>{-kInfinity, -1e38f}, greedy), 1);
  EXPECT_EQ(sample_one(std::vector<float>{1, 5, 5, 2}, greedy, 0, {1}), 2);
  EXPECT_EQ(sample_one(std::vector<float>{1, 5, 5, 2}, greedy, 0, {2, 1, 99, -1}), 3);
  for (const size_t count : {63, 64, 65, 128, 1000, 49152}) {
    std::vector<float> logits = random_logits(count, 5);
    const size_t at = count - 1;
    logits[at] = 100.0f;
    EXPECT_EQ(sample_one(logits, greedy), static_cast<int32_t>(at));
    logits[0] = 100.0f;
    EXPECT_EQ(sample_one(logits, greedy), 0);
  }
}

TEST(Sampler, TopKCutsTiesByLowestId) {
  const std::vector<float> logits{1, 2, 2, 2, 0};
  EXPECT_EQ(support(logits, {.top_k = 2}), (std::set<int32_t>{1, 2}));
  EXPECT_EQ(support(logits, {.top_k = 4}), (std::set<int32_t>{0, 1, 2, 3}));
  EXPECT_EQ(support(logits, {.top_k = 1}), (std::set<int32_t>{1}));
  EXPECT_EQ(support(logits, {.top_k = 500}).size(), 5u);
  EXPECT_EQ(support(std::vector<float>(200, 0.5f), {.top_k = 3}), (std::set<int32_t>{0, 1, 2}));
}

TEST(Sampler, TopPKeepsTheShortestPrefix) {
  const std::vector<float> logits{std::log(0.1f), std::log(0.4f), std::log(0.3f), std::log(0.2f)};
  EXPECT_EQ(support(logits, {.top_p = 0.0f}), (std::set<int32_t>{1}));
  EXPECT_EQ(support(logits, {.top_p = 0.39f}), (std::set<int32_t>{1}));
  EXPECT_EQ(support(logits, {.top_p = 0.41f}), (std::set<int32_t>{1, 2}));
  EXPECT_EQ(support(logits, {.top_p = 0.71f}), (std::set<int32_t>{1, 2, 3}));
  EXPECT_EQ(support(logits, {.top_p = 0.95f}).size(), 4u);
  EXPECT_EQ(support(logits, {.top_p = 1.0f}).size(), 4u);
  // top_k first: 0.4 and 0.3 become 0.57 and 0.43.
  EXPECT_EQ(support(logits, {.top_k = 2, .top_p = 0.5f}), (std::set<int32_t>{1}));
  EXPECT_EQ(support(std::vector<float>(8, 1.0f), {.top_p = 0.49f}), (std::set<int32_t>{0, 1, 2, 3}));
}

TEST(Sampler, MinPKeepsThatShareOfTheLargest) {
  const std::vector<float> logits{std::log(0.1f), std::log(0.4f), std::log(0.3f), std::log(0.2f)};
  EXPECT_EQ(support(logits, {.min_p = 1.0f}), (std::set<int32_t>{1}));
  EXPECT_EQ(support(logits, {.min_p = 0.74f}), (std::set<int32_t>{1, 2}));
  EXPECT_EQ(support(logits, {.min_p = 0.76f}), (std::set<int32_t>{1}));
  EXPECT_EQ(support(logits, {.min_p = 0.24f}).size(), 4u);
  EXPECT_EQ(support(std::vector<float>{3, 3, 1}, {.min_p = 1.0f}), (std::set<int32_t>{0, 1}));
}

// On big vocabularies every shortcut must cut exactly where the full sort does.
TEST(Sampler, LargeVocabularyCutsExactly) {
  for (const float spread : {0.01f, 1.0f, 4.0f}) {
    const std::vector<float> logits = random_logits(100000, 77, spread);
    for (const SamplingParameters& cut :
         {make(64, 1.0f, 1.0f, 0.0f), make(5000, 1.0f, 1.0f, 0.0f), make(0, 1.0f, 0.9f, 0.0f), make(0, 1, 0.999f, 0),
          make(0, 1.0f, 1.0f, 0.3f), make(1000, 1.0f, 0.5f, 0.01f)}) {
      const std::vector<double> expected = exact_distribution(logits, cut);
      SamplerScratch scratch;
      const Sampler sampler(cut);
      for (uint64_t i = 0; i < 3; ++i) {
        // The draw walks in id order, so the exact inverse of the distribution is known, but for rounding.
        const auto result = sampler.sample(logits, {}, i, false, scratch);
        ASSERT_TRUE(result.ok());
        ASSERT_GT(expected[static_cast<size_t>(result.value().token_id)], 0.0);
      }
      const auto kept =
          static_cast<double>(expected.size() - static_cast<size_t>(std::count(expected.begin(), expected.end(), 0.0)));
      // A sum over 1e5 f32 terms may move the end of a flat prefix by a few tokens.
      EXPECT_NEAR(static_cast<double>(scratch.candidates.size()), kept, cut.top_p < 1.0f ? 2.0 + kept * 1e-6 : 0.0);
    }
  }
}

TEST(Sampler, DrawIsAPureFunctionOfSeedAndIndex) {
  const std::vector<float> logits = random_logits(5000, 3);
  const SamplingParameters parameters{.top_k = 50, .temperature = 0.8f, .top_p = 0.95f, .seed = 42};
  std::vector<int32_t> forward, backward;
  for (uint64_t i = 0; i < 200; ++i) forward.push_back(sample_one(logits, parameters, i));
  for (uint64_t i = 200; i-- > 0;) backward.push_back(sample_one(logits, parameters, i));
  std::reverse(backward.begin(), backward.end());
  EXPECT_EQ(forward, backward);
  SamplingParameters other = parameters;
  other.seed = 43;
  std::vector<int32_t> different;
  for (uint64_t i = 0; i < 200; ++i) different.push_back(sample_one(logits, other, i));
  EXPECT_NE(forward, different);
}

TEST(Sampler, BannedIdsKeepTheOthersRatios) {
  const std::vector<float> logits = random_logits(100, 9, 1.0f);
  std::vector<float> masked = logits;
  masked[3] = masked[50] = -kInfinity;
  const std::vector<double> expected = testing::softmax(masked);
  std::vector<uint64_t> counts(logits.size());
  SamplerScratch scratch;
  const Sampler sampler(SamplingParameters{.seed = 5});
  for (uint64_t i = 0; i < kDraws; ++i) {
    const int32_t banned[] = {50, 3};
    ++counts[static_cast<size_t>(sampler.sample(logits, banned, i, false, scratch).value().token_id)];
  }
  const auto test = testing::chi_square(expected, counts);
  EXPECT_EQ(test.impossible, 0u);
  EXPECT_LT(test.statistic, test.limit);
}

// Maxima that came with the row change no draw, whatever is banned or penalised; one that is NaN names the token.
TEST(Sampler, KnownMaximaChangeNothing) {
  std::vector<float> logits = random_logits(1000, 31, 2.0f);
  std::vector<float> maxima(logit_block_count(logits.size()));
  ASSERT_TRUE(scan_blocks(std::span<const float>(logits), maxima).ok());
  SamplerScratch scratch;
  const auto best = static_cast<int32_t>(std::max_element(logits.begin(), logits.end()) - logits.begin());
  const std::vector<int32_t> bans[] = {{}, {best}, {best, 7, 999}};
  const SamplingParameters settings[] = {{.temperature = 0.0f},
                                         {.seed = 3},
                                         {.top_k = 20, .top_p = 0.9f, .seed = 4},
                                         {.seed = 5, .repetition_penalty = 1.5f}};
  for (const SamplingParameters& parameters : settings) {
    Sampler sampler(parameters);
    ASSERT_TRUE(sampler.accept_prompt(std::vector<int32_t>{best, 1, 2}).ok());
    for (const std::vector<int32_t>& banned : bans) {
      for (uint64_t i = 0; i < 50; ++i) {
        const auto known = sampler.sample({logits, maxima}, banned, i, true, scratch);
        const auto unknown = sampler.sample(logits, banned, i, true, scratch);
        ASSERT_TRUE(known.ok() && unknown.ok());
        ASSERT_EQ(known->token_id, unknown->token_id);
        ASSERT_EQ(known->logprob, unknown->logprob);
      }
    }
  }
  logits[700] = kInfinity;
  maxima[700 / kLogitBlock] = std::nanf("");
  const auto refused = Sampler().sample({logits, maxima}, {}, 0, false, scratch);
  EXPECT_EQ(refused.status().code(), StatusCode::kCorrupt);
  EXPECT_NE(std::string(refused.status().message()).find("700"), std::string::npos) << refused.status().message();
}

TEST(Sampler, TinyTemperaturesAreGreedyAndHugeOnesFlat) {
  const std::vector<float> logits = random_logits(1000, 21);
  const int32_t best = sample_one(logits, {.temperature = 0.0f});
  for (const float temperature : {1e-3f, 1e-19f, 1e-38f, 1e-45f}) {
    for (uint64_t i = 0; i < 50; ++i) EXPECT_EQ(sample_one(logits, {.temperature = temperature}, i), best);
  }
  std::set<int32_t> seen;
  for (uint64_t i = 0; i < 20000; ++i) seen.insert(sample_one(logits, {.temperature = 3e38f}, i));
  EXPECT_EQ(seen.size(), logits.size());
}

TEST(Sampler, BadLogitsAreNamed) {
  SamplerScratch scratch;
  const auto message = [&](std::vector<float> logits, std::vector<int32_t> banned, float temperature) {
    const auto result = Sampler({.temperature = temperature}).sample(logits, banned, 0, true, scratch);
    EXPECT_FALSE(result.ok());
    const bool is_finite =
        std::none_of(logits.begin(), logits.end(), [](float x) { return std::isnan(x) || x == kInfinity; });
    EXPECT_EQ(result.status().code(), is_finite ? StatusCode::kInternal : StatusCode::kCorrupt);
    return std::string(result.status().message());
  };
  for (const float temperature : {0.0f, 1.0f}) {
    for (const size_t at : {0, 1, 63, 64, 99}) {
      std::vector<float> logits(100, 1.0f);
      logits[at] = std::numeric_limits<float>::quiet_NaN();
      EXPECT_NE(message(logits, {}, temperature).find("token " + std::to_string(at) + " is NaN"), std::string::npos);
      logits[at] = kInfinity;
      EXPECT_NE(message(logits, {}, temperature).find("infinite"), std::string::npos);
    }
    EXPECT_NE(message({1, 2}, {0, 1}, temperature).find("no token"), std::string::npos);
    EXPECT_NE(message({-kInfinity, -kInfinity}, {}, temperature).find("no token"), std::string::npos);
    EXPECT_NE(message({}, {}, temperature).find("empty"), std::string::npos);
  }
}

TEST(Sampler, ParametersAreChecked) {
  EXPECT_TRUE(check_sampling({}).ok());
  EXPECT_TRUE(check_sampling({.top_k = -1, .temperature = 0, .top_p = 2, .min_p = 1}).ok());
  const auto field = [](SamplingParameters parameters) {
    const Status status = check_sampling(parameters);
    EXPECT_EQ(status.code(), StatusCode::kInvalidArgument);
    return std::string(status.message());
  };
  const float nan = std::numeric_limits<float>::quiet_NaN();
  EXPECT_NE(field({.temperature = -0.1f}).find("temperature"), std::string::npos);
  EXPECT_NE(field({.temperature = nan}).find("temperature"), std::string::npos);
  EXPECT_NE(field({.temperature = kInfinity}).find("temperature"), std::string::npos);
  EXPECT_NE(field({.top_p = nan}).find("top_p"), std::string::npos);
  EXPECT_NE(field({.top_p = -1}).find("top_p"), std::string::npos);
  EXPECT_NE(field({.min_p = 1.5f}).find("min_p"), std::string::npos);
  EXPECT_NE(field({.min_p = nan}).find("min_p"), std::string::npos);
}

TEST(Logprobs, MatchDoubleLogSoftmax) {
  for (const size_t count : {1, 64, 1000, 49152}) {
    const std::vector<float> logits = random_logits(count, 31, 4.0f);
    const std::vector<double> probabilities = testing::softmax(logits);
    for (size_t i = 0; i < count; i += 1 + count / 50) {
      EXPECT_NEAR(log_probability(logits, static_cast<int32_t>(i)), std::log(probabilities[i]), 2e-6);
    }
    const std::vector<int32_t> order = testing::sorted_ids(logits);
    SamplerScratch scratch;
    std::vector<TokenLogprob> top;
    top_log_probabilities(logits, 20, scratch, top);
    ASSERT_EQ(top.size(), std::min<size_t>(20, count));
    for (size_t i = 0; i < top.size(); ++i) {
      EXPECT_EQ(top[i].token_id, order[i]);
      EXPECT_EQ(top[i].logprob, log_probability(logits, top[i].token_id));
    }
  }
}

TEST(Logprobs, AreOfTheRawLogits) {
  const std::vector<float> logits{0.0f, 1.0f, 2.0f, -kInfinity};
  SamplerScratch scratch;
  const int32_t banned[] = {2};
  const auto result = Sampler({.temperature = 0.0f}).sample(logits, banned, 0, true, scratch);
  ASSERT_TRUE(result.ok());
  EXPECT_EQ(result.value().token_id, 1);
  EXPECT_NEAR(result.value().logprob, 1.0 - std::log(1.0 + std::exp(1.0) + std::exp(2.0)), 1e-6);
  EXPECT_EQ(log_probability(logits, 3), -kInfinity);
  EXPECT_EQ(log_probability(logits, 4), -kInfinity);
  EXPECT_EQ(log_probability(logits, -1), -kInfinity);
  std::vector<TokenLogprob> top;
  top_log_probabilities(logits, 20, scratch, top);
  EXPECT_EQ(top.size(), 3u);
  top_log_probabilities(logits, 0, scratch, top);
  EXPECT_TRUE(top.empty());
}

TEST(Logprobs, TiesGoByLowestId) {
  SamplerScratch scratch;
  std::vector<TokenLogprob> top;
  top_log_probabilities(std::vector<float>(1000, 0.25f), 3, scratch, top);
  ASSERT_EQ(top.size(), 3u);
  for (int32_t i = 0; i < 3; ++i) EXPECT_EQ(top[static_cast<size_t>(i)].token_id, i);
  EXPECT_NEAR(top[0].logprob, -std::log(1000.0), 1e-6);
}

}  // namespace
}  // namespace fastserve
