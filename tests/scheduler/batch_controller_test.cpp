// The batch controller against machines that it does not know: it holds the percentile, grows and backs off, and never
// leaves its bounds.
#include "scheduler/batch_controller.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <random>

namespace fastserve {
namespace {

constexpr CostModel::Coefficients kCpu = {1.5e6, 4.25e5, 7.4e5, 450, 410};
constexpr CostModel::Coefficients kGpu = {6.4e6, 3.2e4, 1.5e4, 52, 1};
constexpr int64_t kMillisecond = 1'000'000;

BatchDemand demand(int64_t decode_rows, int64_t context, int64_t prompt_tokens) {
  return {{.decode_rows = decode_rows, .context_tokens = decode_rows * context}, prompt_tokens, 0};
}

// A machine: steps as a formula has them, times noise of a heavy tail.
struct Machine {
  CostModel::Coefficients truth;
  double noise = 0;
  CostModel model;
  BatchController controller;
  std::mt19937_64 random{7};
  std::vector<double> durations = {};  // of the steps so far, in ns
  std::vector<int32_t> sizes = {};

  // A step of all decodes and as many tokens of prompts as there is room for.
  int32_t step(int64_t target_ns, const BatchDemand& asked, int32_t limit = 4096) {
    const int32_t tokens = controller.tokens_max(target_ns, model, asked, limit);
    StepWork work = asked.decodes;
    work.decode_rows = std::min<int64_t>(work.decode_rows, tokens);
    work.context_tokens =
        asked.decodes.context_tokens * work.decode_rows / std::max<int64_t>(asked.decodes.decode_rows, 1);
    work.add_prompt(std::min<int64_t>(asked.prompt_tokens, tokens - work.decode_rows), 0);
    std::lognormal_distribution<double> spread(0, std::max(noise, 1e-9));
    const double ns = truth.predict_ns(work) * spread(random);
    model.observe(work, static_cast<int64_t>(ns));
    controller.record(work.decode_rows + work.prefill_tokens, static_cast<int64_t>(ns));
    durations.push_back(ns);
    sizes.push_back(tokens);
    return tokens;
  }
  double percentile(double share, size_t last) const {
    std::vector<double> values(durations.end() - static_cast<std::ptrdiff_t>(last), durations.end());
    std::sort(values.begin(), values.end());
    return values[static_cast<size_t>(share * static_cast<double>(values.size() - 1))];
  }
  void forget() {
    durations.clear();
    sizes.clear();
  }
};

TEST(BatchControllerTest, WithoutATargetTheBatchIsWhatItMayBe) {
  BatchController controller;
  const CostModel model(kCpu);
  EXPECT_EQ(controller.tokens_max(0, model, demand(3, 10, 1000), 512), 512);
  controller.record(512, 900 * kMillisecond);
  EXPECT_EQ(controller.tokens_max(0, model, demand(3, 10, 1000), 512), 512);
  EXPECT_EQ(controller.figures(0, model, 512).objective, 0);
  EXPECT_EQ(controller.figures(0, model, 512).step_p95_ns, 900 * kMillisecond);
}

TEST(BatchControllerTest, TheMeasuredPercentileComesToTheTarget) {
  for (const auto& truth : {kCpu, kGpu}) {
    for (const double noise : {0.01, 0.05, 0.2}) {
      for (const int64_t target : {20 * kMillisecond, 60 * kMillisecond}) {
        Machine machine{truth, noise, CostModel(), BatchController()};
        for (int i = 0; i < 8000; ++i) {
          if (i == 4000) machine.forget();
          machine.step(target, demand(8, 500, 2000));  // not so many that bursts are called for
        }
        const double p95 = machine.percentile(0.95, 4000) / static_cast<double>(target);
        EXPECT_LE(p95, 1.0) << noise << " noise, target " << target;
        EXPECT_GE(p95, 0.97 - noise) << noise << " noise, target " << target;
      }
    }
  }
}

// The model believes in half of what steps take (a busy neighbour that comes and goes too fast for it to follow).
TEST(BatchControllerTest, WhatTheModelGetsWrongIsLearned) {
  const int64_t target = 40 * kMillisecond;
  CostModel wrong({kCpu.step_ns / 2, kCpu.prefill_token_ns / 2, kCpu.decode_row_ns / 2, 0, 0});
  BatchController controller;
  std::vector<double> durations;
  for (int i = 0; i < 3000; ++i) {
    const BatchDemand asked = demand(4, 0, 500);
    const int32_t tokens = controller.tokens_max(target, wrong, asked, 512);
    StepWork work = asked.decodes;
    work.prefill_tokens = tokens - 4;
    const double ns = 2 * wrong.predict_ns(work);
    controller.record(tokens, static_cast<int64_t>(ns));
    if (i >= 1000) durations.push_back(ns);
  }
  std::sort(durations.begin(), durations.end());
  EXPECT_LE(durations[durations.size() * 95 / 100], static_cast<double>(target));
  EXPECT_GE(durations[durations.size() / 2], 0.85 * static_cast<double>(target));
}

TEST(BatchControllerTest, ItGrowsWhileStepsKeepToTheTargetAndBacksOffAboveIt) {
  const int64_t target = 40 * kMillisecond;
  Machine machine{kCpu, 0, CostModel(kCpu), BatchController()};
  for (int i = 0; i < 20; ++i) machine.step(target, demand(4, 100, 200));
  for (int i = 0; i < 60; ++i) {
    const int32_t before = machine.sizes.back();
    EXPECT_GE(machine.step(target, demand(4, 100, 200)), before - 1) << i;  // the model still moves a little
  }
  const int32_t grown = machine.sizes.back();
  EXPECT_GT(grown, machine.sizes[20]);
  for (int i = 0; i < 10; ++i) {
    machine.controller.tokens_max(target, machine.model, demand(4, 100, 200), 512);
    machine.controller.record(grown, 2 * target);
  }
  EXPECT_LT(machine.step(target, demand(4, 100, 200)), grown / 2 + 8);
}

TEST(BatchControllerTest, StepsThatWereNotFullTeachNothing) {
  const CostModel model(kCpu);
  BatchController idle, fresh;
  for (int i = 0; i < 500; ++i) {
    idle.tokens_max(40 * kMillisecond, model, demand(1, 10, 0), 512);
    idle.record(1, 3 * kMillisecond);
  }
  for (int i = 0; i < 10; ++i) fresh.record(1, 3 * kMillisecond);
  EXPECT_EQ(idle.tokens_max(40 * kMillisecond, model, demand(4, 10, 60), 512),
            fresh.tokens_max(40 * kMillisecond, model, demand(4, 10, 60), 512));
}

// Below what one row takes there is nothing to win: the batch stays where rows cost next to nothing.
TEST(BatchControllerTest, ATargetThatCannotBeKeptCostsNoThroughputForNothing) {
  Machine machine{kGpu, 0.02, CostModel(kGpu), BatchController()};
  for (int i = 0; i < 2000; ++i) machine.step(kMillisecond, demand(16, 200, 1000));
  EXPECT_GE(machine.sizes.back(), 32);
  EXPECT_LE(machine.percentile(0.95, 1000), 1.4 * kGpu.step_ns);
  EXPECT_LT(machine.controller.figures(kMillisecond, machine.model, 4096).objective, 0);
}

TEST(BatchControllerTest, ATargetLittleAboveTheSmallestStepIsKept) {
  const int64_t target = 8 * kMillisecond;  // a step of one row takes 6.5
  Machine machine{kGpu, 0.02, CostModel(kGpu), BatchController()};
  for (int i = 0; i < 4000; ++i) machine.step(target, demand(64, 500, 2000));
  EXPECT_LE(machine.percentile(0.95, 2000), static_cast<double>(target));
  EXPECT_GE(machine.sizes.back(), 16);
}

TEST(BatchControllerTest, DecodesBeyondTheTargetTakeTurns) {
  Machine machine{kCpu, 0.01, CostModel(kCpu), BatchController()};
  const int64_t target = 20 * kMillisecond;  // for some 24 of 64 rows
  for (int i = 0; i < 2000; ++i) machine.step(target, demand(64, 50, 1000));
  EXPECT_LE(machine.percentile(0.95, 1000), static_cast<double>(target));
  EXPECT_GE(machine.sizes.back(), 16);
  EXPECT_LT(machine.sizes.back(), 30);
}

// One step in forty, and only while prompts queue up; the 95th percentile stays.
TEST(BatchControllerTest, BurstsAreAbsorbedWithinThePercentile) {
  const int64_t target = 40 * kMillisecond;
  Machine machine{kCpu, 0.02, CostModel(kCpu), BatchController()};
  for (int i = 0; i < 2000; ++i) machine.step(target, demand(8, 100, 1'000'000));
  machine.forget();
  for (int i = 0; i < 2000; ++i) machine.step(target, demand(8, 100, 1'000'000));
  EXPECT_LE(machine.percentile(0.95, 2000), static_cast<double>(target));
  const auto bursts = std::count_if(machine.durations.begin(), machine.durations.end(),
                                    [&](double ns) { return ns > 2.0 * static_cast<double>(target); });
  EXPECT_GE(bursts, 2000 / BatchController::kBurstPeriod - 2);
  EXPECT_LE(bursts, 2000 / BatchController::kBurstPeriod + 1);
  EXPECT_LE(machine.percentile(1, 2000), 1.1 * BatchController::kBurstTargets * static_cast<double>(target));
  machine.forget();
  for (int i = 0; i < 500; ++i) machine.step(target, demand(8, 100, 100));
  EXPECT_LE(machine.percentile(1, 500), 1.2 * static_cast<double>(target));
}

TEST(BatchControllerTest, TheObjectiveIsTheFormula) {
  const int64_t target = 50 * kMillisecond;
  const CostModel model({10e6, 1e6, 1e6, 0, 0});
  BatchController controller;
  for (int i = 0; i < 128; ++i) controller.record(20, 30 * kMillisecond);
  const BatchController::Figures figures = controller.figures(target, model, 100);
  EXPECT_EQ(figures.step_p95_ns, 30 * kMillisecond);
  EXPECT_NEAR(figures.tokens_per_s, 20 / 0.030, 1e-6);
  EXPECT_NEAR(figures.full_tokens_per_s, 100 / 0.110, 1e-6);  // 10 ms and 1 ms a row
  EXPECT_NEAR(figures.objective, 0.5 * (50.0 - 30.0) / 50.0 + 0.5 * (20 / 0.030) / (100 / 0.110), 1e-9);
}

TEST(BatchControllerTest, RandomDemandsAndTimesKeepTheBounds) {
  std::mt19937_64 random(3);
  auto below = [&](uint64_t limit) { return static_cast<int64_t>(random() % limit); };
  for (int round = 0; round < 200; ++round) {
    CostModel model;
    BatchController controller;
    for (int i = 0; i < 200; ++i) {
      const int64_t target = below(3) == 0 ? 0 : int64_t{1} << below(45);
      const auto limit = static_cast<int32_t>(1 + below(5000));
      const int32_t tokens =
          controller.tokens_max(target, model, demand(below(300), below(1 << 20), below(1 << 20)), limit);
      ASSERT_GE(tokens, 1);
      ASSERT_LE(tokens, limit);
      const int64_t duration = below(4) == 0 ? -below(10) : int64_t{1} << below(50);
      model.observe({.prefill_tokens = below(500), .decode_rows = below(60), .context_tokens = below(1 << 16)},
                    duration);
      controller.record(below(limit + 1), duration);
      const BatchController::Figures figures = controller.figures(target, model, limit);
      ASSERT_TRUE(std::isfinite(figures.objective) && std::isfinite(figures.full_tokens_per_s));
      ASSERT_LE(figures.objective, 1.0);
    }
  }
}

}  // namespace
}  // namespace fastserve
