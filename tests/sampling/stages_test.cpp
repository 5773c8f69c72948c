// Every stage against independent implementations (goldens), draws against exact distributions, history, refusals.
#include <gtest/gtest.h>

#include <limits>
#include <set>

#include "sampling/golden_cases.h"
#include "sampling/random.h"
#include "sampling/sampling_statistics.h"

namespace fastserve {
namespace {

using testing::random_logits;
constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr uint64_t kDraws = 100000;

std::map<int32_t, double> distribution(const Sampler& sampler, std::span<const float> logits, uint64_t draw_index = 0) {
  SamplerScratch scratch;
  std::vector<TokenProbability> probabilities;
  const Status status = sampler.distribution(logits, {}, draw_index, scratch, probabilities);
  EXPECT_TRUE(status.ok()) << status.message();
  std::map<int32_t, double> result;
  for (const TokenProbability& entry : probabilities) result[entry.token_id] = entry.probability;
  return result;
}

void expect_same(const std::map<int32_t, double>& got, const std::map<int32_t, double>& expected) {
  constexpr double kNegligible = 1e-30;  // below, the sampler's f32 exponential may be 0
  for (const auto& [id, probability] : expected) {
    if (probability < kNegligible) continue;
    ASSERT_TRUE(got.count(id) == 1) << "token " << id << " was cut";
    ASSERT_NEAR(got.at(id), probability, 2e-6 + 1e-5 * probability) << "token " << id;
  }
  for (const auto& [id, probability] : got) ASSERT_TRUE(expected.count(id) == 1) << "token " << id << " was kept";
}

TEST(SamplerStages, MatchIndependentImplementations) {
  const auto cases = testing::read_golden_cases(FASTSERVE_TEST_DATA "/sampling/distributions.txt");
  ASSERT_GE(cases.size(), 150u);
  for (const testing::GoldenCase& golden : cases) {
    SCOPED_TRACE(golden.name);
    ASSERT_TRUE(check_sampling(golden.parameters, static_cast<int32_t>(golden.logits.size())).ok());
    Sampler sampler(golden.parameters);
    ASSERT_TRUE(sampler.accept_prompt(golden.history).ok());
    for (const testing::GoldenDraw& draw : golden.draws) {
      expect_same(distribution(sampler, golden.logits), draw.expected);
      if (draw.token_id < 0) continue;
      sampler.accept({draw.token_id, 0.0f, static_cast<float>(-std::log2(draw.probability))});
    }
  }
}

// Draws follow the distribution that the goldens prove right, XTC's coin included.
TEST(SamplerStages, DrawsFollowTheDistribution) {
  SamplingParameters typical, xtc, mirostat1, mirostat2, dynamic, penalised, sigma;
  typical.typical_p = 0.7f;
  sigma.top_n_sigma = 1.5f;
  sigma.temperature = 2.0f;
  mirostat1.mirostat = 1;
  mirostat1.mirostat_tau = 2.0f;
  mirostat2.mirostat = 2;
  mirostat2.mirostat_tau = 1.5f;
  dynamic.dynamic_temperature_range = 0.6f;
  dynamic.dynamic_temperature_exponent = 1.3f;
  dynamic.top_p = 0.9f;
  penalised.repetition_penalty = 1.3f;
  penalised.frequency_penalty = 0.2f;
  penalised.dry_multiplier = 0.7f;
  penalised.logit_bias = {{3, 2.0f}, {5, -kInfinity}};
  xtc.xtc_probability = 0.4f;
  xtc.xtc_threshold = 0.08f;
  const std::vector<float> logits = random_logits(60, 17, 2.0f);
  for (SamplingParameters parameters : {typical, xtc, mirostat1, mirostat2, dynamic, penalised, sigma}) {
    parameters.seed = 99;
    Sampler sampler(parameters);
    ASSERT_TRUE(sampler.accept_prompt(std::vector<int32_t>{1, 2, 3, 1, 2, 3, 1, 2}).ok());
    std::vector<double> expected(logits.size(), 0.0);
    const auto add = [&](float share, float probability) {
      SamplingParameters fixed = parameters;
      fixed.xtc_probability = probability;
      Sampler one(fixed);
      ASSERT_TRUE(one.accept_prompt(sampler.history()).ok());
      for (const auto& [id, p] : distribution(one, logits))
        expected[static_cast<size_t>(id)] += static_cast<double>(share) * p;
    };
    add(parameters.xtc_probability, 1.0f);
    add(1.0f - parameters.xtc_probability, 0.0f);
    SamplerScratch scratch;
    ASSERT_TRUE(scratch.reserve(60, 64).ok());
    std::vector<uint64_t> counts(logits.size());
    for (uint64_t i = 0; i < kDraws; ++i) {
      const auto result = sampler.sample(logits, {}, i, false, scratch);
      ASSERT_TRUE(result.ok());
      ++counts[static_cast<size_t>(result.value().token_id)];
      if (parameters.mirostat != 0) {
        ASSERT_NEAR(result.value().surprise_bits, -std::log2(expected[static_cast<size_t>(result.value().token_id)]),
                    1e-4);
      }
    }
    const auto test = testing::chi_square(expected, counts);
    EXPECT_EQ(test.impossible, 0u);
    EXPECT_LT(test.statistic, test.limit);
  }
}

TEST(SamplerStages, MirostatHoldsTheWantedSurprise) {
  const std::vector<float> logits = random_logits(2000, 23, 2.5f);
  for (const int32_t version : {1, 2}) {
    SamplingParameters parameters;
    parameters.mirostat = version;
    parameters.mirostat_tau = 3.0f;
    Sampler sampler(parameters);
    SamplerScratch scratch;
    double sum = 0;
    for (uint64_t i = 0; i < 3000; ++i) {
      const auto result = sampler.sample(logits, {}, i, false, scratch);
      ASSERT_TRUE(result.ok());
      sampler.accept(result.value());
      if (i >= 1000) sum += static_cast<double>(result.value().surprise_bits);
    }
    EXPECT_NEAR(sum / 2000, 3.0, 0.15) << "version " << version;
  }
}

TEST(SamplerStages, RollbackAndForkRestoreTheState) {
  const std::vector<float> logits = random_logits(300, 29, 2.0f);
  SamplingParameters parameters;
  parameters.mirostat = 2;
  parameters.mirostat_tau = 2.0f;
  parameters.dry_multiplier = 0.5f;
  parameters.repetition_penalty = 1.2f;
  Sampler sampler(parameters);
  SamplerScratch scratch;
  ASSERT_TRUE(sampler.reserve_history(100).ok());
  ASSERT_TRUE(sampler.accept_prompt(std::vector<int32_t>{4, 5, 4, 5}).ok());
  const auto run = [&](Sampler& one, uint64_t from, uint64_t to) {
    std::vector<int32_t> ids;
    for (uint64_t i = from; i < to; ++i) {
      const auto result = one.sample(logits, {}, i, false, scratch);
      EXPECT_TRUE(result.ok());
      one.accept(result.value());
      ids.push_back(result.value().token_id);
    }
    return ids;
  };
  run(sampler, 0, 10);
  Sampler fork = sampler;
  const auto expected_state = distribution(sampler, logits, 10);
  const std::vector<int32_t> first = run(sampler, 10, 30);
  sampler.rollback(20);
  EXPECT_EQ(sampler.history().size(), 14u);
  expect_same(distribution(sampler, logits, 10), expected_state);
  EXPECT_EQ(run(sampler, 10, 30), first);
  EXPECT_EQ(run(fork, 10, 30), first);
  sampler.rollback(1000);
  EXPECT_TRUE(sampler.history().empty());
  expect_same(distribution(sampler, logits), distribution(Sampler(parameters), logits));
}

TEST(SamplerStages, DefaultsNeedNoHistory) {
  EXPECT_FALSE(Sampler(SamplingParameters{}).needs_history());
  SamplingParameters parameters;
  parameters.presence_penalty = 0.1f;
  EXPECT_TRUE(Sampler(parameters).needs_history());
  parameters.penalty_window = 0;
  EXPECT_FALSE(Sampler(parameters).needs_history());
  parameters.dry_multiplier = 0.1f;
  EXPECT_TRUE(Sampler(parameters).needs_history());
}

TEST(SamplerStages, GreedyAppliesWhatChangesTheBest) {
  const std::vector<float> logits{1.0f, 3.0f, 2.9f, 2.0f};
  SamplingParameters parameters;
  parameters.temperature = 0;
  parameters.top_k = 2;
  const auto greedy = [&](const SamplingParameters& asked, std::vector<int32_t> history) {
    Sampler sampler(asked);
    EXPECT_TRUE(sampler.accept_prompt(history).ok());
    SamplerScratch scratch;
    return sampler.sample(logits, {}, 0, false, scratch).value().token_id;
  };
  EXPECT_EQ(greedy(parameters, {1}), 1);
  parameters.repetition_penalty = 1.5f;
  EXPECT_EQ(greedy(parameters, {1}), 2);
  parameters.logit_bias = {{0, 9.0f}};
  EXPECT_EQ(greedy(parameters, {1}), 0);
  parameters = {};
  parameters.temperature = 0;
  parameters.xtc_probability = 1;
  EXPECT_EQ(greedy(parameters, {}), 3);  // 1, 2 and 3 reach 0.1: the least likely of them stays
}

TEST(SamplerStages, HistoryOutsideTheRowIsIgnored) {
  SamplingParameters parameters;
  parameters.repetition_penalty = 2.0f;
  parameters.dry_multiplier = 1.0f;
  Sampler sampler(parameters);
  ASSERT_TRUE(sampler.accept_prompt(std::vector<int32_t>{900, -5, 900, -5, 900, -5, 900}).ok());
  const std::vector<float> logits{1.0f, 2.0f};
  expect_same(distribution(sampler, logits), distribution(Sampler(SamplingParameters{}), logits));
}

TEST(SamplerStages, EverythingBiasedAwayIsNamed) {
  SamplingParameters parameters;
  parameters.logit_bias = {{0, -kInfinity}, {1, -kInfinity}};
  SamplerScratch scratch;
  const auto result = Sampler(parameters).sample(std::vector<float>{1, 2}, {}, 0, false, scratch);
  EXPECT_EQ(result.status().code(), StatusCode::kInternal);
  EXPECT_NE(std::string(result.status().message()).find("no token"), std::string::npos);
}

TEST(SamplerStages, EdgesKeepOneToken) {
  const std::vector<float> flat(500, 1.0f);
  SamplingParameters parameters;
  parameters.typical_p = 0;
  EXPECT_EQ(distribution(Sampler(parameters), flat).size(), 1u);
  parameters = {};
  parameters.top_n_sigma = 1;
  EXPECT_EQ(distribution(Sampler(parameters), flat).size(), 500u);
  parameters = {};
  parameters.mirostat = 2;
  parameters.mirostat_tau = 0;
  EXPECT_EQ(distribution(Sampler(parameters), flat).size(), 500u);  // all equal to the one that stays
  parameters.mirostat = 1;
  EXPECT_GE(distribution(Sampler(parameters), flat).size(), 1u);
  EXPECT_EQ(distribution(Sampler(parameters), std::vector<float>{2.0f}).size(), 1u);
  parameters = {};
  parameters.dynamic_temperature_range = 5;
  EXPECT_EQ(distribution(Sampler(parameters), std::vector<float>{2.0f}).size(), 1u);
  parameters = {};
  parameters.dry_multiplier = 1e4f;
  parameters.dry_base = 1e4f;
  Sampler sampler(parameters);
  ASSERT_TRUE(sampler.accept_prompt(std::vector<int32_t>(500, 7)).ok());
  EXPECT_EQ(distribution(sampler, flat).count(7), 0u);
}

TEST(SamplerStages, ParametersAreChecked) {
  const auto refused = [](auto change, std::string_view field) {
    SamplingParameters parameters;
    change(parameters);
    const Status status = check_sampling(parameters, 100);
    EXPECT_EQ(status.code(), StatusCode::kInvalidArgument) << field;
    EXPECT_NE(std::string_view(status.message()).find(field), std::string_view::npos) << status.message();
  };
  using P = SamplingParameters;
  refused([](P& p) { p.typical_p = -1; }, "typical_p");
  refused([](P& p) { p.xtc_probability = 2; }, "xtc_probability");
  refused([](P& p) { p.repetition_penalty = 0; }, "repetition_penalty");
  refused([](P& p) { p.presence_penalty = kInfinity; }, "presence_penalty");
  refused([](P& p) { p.dry_base = 0.5f; }, "dry_base");
  refused([](P& p) { p.dry_allowed_length = 0; }, "dry_allowed_length");
  refused([](P& p) { p.dry_breakers = {100}; }, "dry_breakers");
  refused([](P& p) { p.dry_breakers = {5, 2}; }, "ascending");
  refused([](P& p) { p.logit_bias = {{-1, 0.0f}}; }, "logit_bias");
  refused([](P& p) { p.logit_bias = {{1, kInfinity}}; }, "logit_bias");
  refused([](P& p) { p.mirostat = 3; }, "mirostat");
  refused([](P& p) { p.mirostat_eta = -1; }, "mirostat_eta");
  refused([](P& p) { p.order.stages[1] = SamplerStage::kLogitBias; }, "twice");
  refused([](P& p) { p.order.stages[1] = static_cast<SamplerStage>(77); }, "unknown stage");
  const std::string_view names[] = {"top_k", "xtc", "temperature"};
  const auto order = sampler_order_from_names(names);
  ASSERT_TRUE(order.ok());
  EXPECT_EQ(sampler_stage_name(order.value().view()[1]), "xtc");
  const std::string_view unknown[] = {"top_q"};
  EXPECT_NE(std::string(sampler_order_from_names(unknown).status().message()).find("top_q"), std::string::npos);
}

TEST(SamplerStages, BreakerTokensHoldABreaker) {
  const std::string_view tokens[] = {"a", "b\n", ":", "c", " \"x", "\n\n"};
  const std::string_view breakers[] = {"\n", ":", "\""};
  EXPECT_EQ(find_breaker_tokens(tokens, breakers), (std::vector<int32_t>{1, 2, 4, 5}));
}

}  // namespace
}  // namespace fastserve
