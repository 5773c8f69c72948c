// The cost model against formulas it does not know, with noise, outliers and changes.
#include "scheduler/cost_model.h"

#include <gtest/gtest.h>

#include <random>

namespace fastserve {
namespace {

StepWork random_work(std::mt19937& random) {
  StepWork work;
  work.prefill_tokens = random() % 3 == 0 ? 1 + random() % 512 : 0;
  work.decode_rows = random() % 33;
  if (work.prefill_tokens + work.decode_rows == 0) work.decode_rows = 1;
  work.context_tokens = work.decode_rows * static_cast<int64_t>(random() % 2000);
  if (work.prefill_tokens > 0)
    work.prefill_context_tokens = work.prefill_tokens * static_cast<int64_t>(random() % 1500);
  return work;
}

double truth_ns(const CostModel::Coefficients& ns, const StepWork& work) { return ns.predict_ns(work); }

void teach(CostModel& model, const CostModel::Coefficients& truth, int steps, double noise, std::mt19937& random) {
  std::uniform_real_distribution<double> spread(1 - noise, 1 + noise);
  for (int i = 0; i < steps; ++i) {
    const StepWork work = random_work(random);
    model.observe(work, static_cast<int64_t>(truth_ns(truth, work) * spread(random)));
  }
}

void expect_close(const CostModel& model, const CostModel::Coefficients& truth, double share, std::mt19937& random) {
  for (int i = 0; i < 200; ++i) {
    const StepWork work = random_work(random);
    const double expected = truth_ns(truth, work);
    ASSERT_NEAR(model.predict_ns(work), expected, share * expected)
        << work.prefill_tokens << " " << work.decode_rows << " " << work.context_tokens;
  }
}

constexpr CostModel::Coefficients kSmall = {1.5e6, 5.3e5, 7.4e5, 450, 410};
constexpr CostModel::Coefficients kLarge = {6.4e6, 3.2e4, 1.5e4, 52, 1};

TEST(CostModelTest, FindsTheFormula) {
  for (const auto& truth : {kSmall, kLarge}) {
    std::mt19937 random(1);
    CostModel model;
    teach(model, truth, 600, 0, random);
    const CostModel::Coefficients found = model.coefficients();
    EXPECT_NEAR(found.step_ns, truth.step_ns, 0.03 * truth.step_ns);
    EXPECT_NEAR(found.prefill_token_ns, truth.prefill_token_ns, 0.03 * truth.prefill_token_ns);
    EXPECT_NEAR(found.decode_row_ns, truth.decode_row_ns, 0.05 * truth.decode_row_ns + 1000);
    EXPECT_NEAR(found.context_token_ns, truth.context_token_ns, 0.05 * truth.context_token_ns + 5);
    EXPECT_NEAR(found.prefill_context_ns, truth.prefill_context_ns, 0.05 * truth.prefill_context_ns + 5);
    expect_close(model, truth, 0.02, random);
  }
}

TEST(CostModelTest, NoiseAveragesOut) {
  std::mt19937 random(2);
  CostModel model;
  teach(model, kSmall, 1000, 0.2, random);
  expect_close(model, kSmall, 0.1, random);
}

TEST(CostModelTest, OutliersHardlyCount) {
  std::mt19937 random(3);
  CostModel model;
  teach(model, kSmall, 200, 0.02, random);
  for (int i = 0; i < 200; ++i) {
    const StepWork work = random_work(random);
    const bool is_outlier = i % 10 == 0;
    model.observe(work, static_cast<int64_t>(truth_ns(kSmall, work) * (is_outlier ? 50 : 1)));
  }
  expect_close(model, kSmall, 0.15, random);
}

TEST(CostModelTest, FollowsAMachineThatBecameSlower) {
  std::mt19937 random(4);
  CostModel model;
  teach(model, kSmall, 500, 0.02, random);
  const CostModel::Coefficients slower = {4 * kSmall.step_ns, 4 * kSmall.prefill_token_ns, 4 * kSmall.decode_row_ns,
                                          4 * kSmall.context_token_ns, 4 * kSmall.prefill_context_ns};
  teach(model, slower, 1500, 0.02, random);
  expect_close(model, slower, 0.1, random);
  teach(model, kSmall, 1500, 0.02, random);
  expect_close(model, kSmall, 0.1, random);
}

TEST(CostModelTest, NothingIsEverNegative) {
  std::mt19937 random(5);
  for (int round = 0; round < 200; ++round) {
    CostModel model;
    for (int i = 0; i < 100; ++i) {
      model.observe(random_work(random), static_cast<int64_t>(random() % 100'000'000) - 1'000'000);
      const CostModel::Coefficients found = model.coefficients();
      for (const double ns : {found.step_ns, found.prefill_token_ns, found.decode_row_ns, found.context_token_ns,
                              found.prefill_context_ns}) {
        ASSERT_GE(ns, 0);
        ASSERT_TRUE(std::isfinite(ns));
      }
    }
  }
}

TEST(CostModelTest, KnowsSomethingFromTheFirstStepOn) {
  CostModel model;
  EXPECT_GT(model.predict_ns({.decode_rows = 1}), 0);
  model.observe({.decode_rows = 4, .context_tokens = 100}, 8'000'000);
  EXPECT_NEAR(model.predict_ns({.decode_rows = 4, .context_tokens = 100}), 8e6, 8e5);
  EXPECT_EQ(model.observation_count(), 1u);
  model.observe({.decode_rows = 4}, 0);  // a clock that stands still says nothing
  EXPECT_EQ(model.observation_count(), 1u);
}

TEST(CostModelTest, TurnsTimeIntoPromptTokens) {
  const CostModel model(kSmall);
  const StepWork decodes{.decode_rows = 8, .context_tokens = 1000};
  const double without = model.predict_ns(decodes);
  EXPECT_EQ(model.prefill_tokens_within(decodes, without - 1), 0);
  for (const int64_t computed : {0, 100, 16'000}) {
    const int64_t tokens = model.prefill_tokens_within(decodes, without + 200e6, computed);
    StepWork with = decodes, beyond = decodes;
    with.add_prompt(tokens, computed);
    beyond.add_prompt(tokens + 1, computed);
    EXPECT_LE(model.predict_ns(with), without + 200e6 + 1) << computed;
    EXPECT_GT(model.predict_ns(beyond), without + 200e6) << computed;
  }
}

}  // namespace
}  // namespace fastserve
