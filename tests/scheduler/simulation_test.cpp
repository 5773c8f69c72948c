// Whole schedules over a virtual clock: whatever the policy, the workload and the memory, every request ends with its
// tokens, blocks are conserved, and nobody starves.
#include <gtest/gtest.h>

#include "experiment.h"
#include "target_experiment.h"

namespace fastserve::simulate {
namespace {

CostProfile random_profile(std::mt19937_64& random) {
  auto between = [&](double least, double most) { return std::uniform_real_distribution<double>(least, most)(random); };
  CostProfile profile{
      "random", {between(1e5, 1e7), between(1e3, 1e6), between(1e3, 1e6), between(0, 1e3), between(0, 1e3)}, 0, 0};
  profile.max_batch_tokens = std::uniform_int_distribution<int32_t>(4, 64)(random);
  return profile;
}

std::vector<SimulatedRequest> random_requests(std::mt19937_64& random, int64_t& largest) {
  auto pick = [&](int32_t least, int32_t most) { return std::uniform_int_distribution<int32_t>(least, most)(random); };
  std::vector<SimulatedRequest> requests;
  int64_t now_ns = 0;
  const int32_t count = pick(1, 24), gap_us = pick(0, 1) == 0 ? 0 : pick(1, 50'000);
  for (int32_t i = 0; i < count; ++i) {
    SimulatedRequest request;
    now_ns += int64_t{pick(0, 2)} * gap_us * 1000;
    request.arrival_ns = now_ns;
    request.prompt_tokens = pick(1, 5) == 1 ? pick(40, 160) : pick(1, 40);
    request.output_tokens = pick(1, 6) == 1 ? pick(40, 160) : pick(1, 20);
    request.max_tokens = request.output_tokens + (pick(0, 1) == 0 ? 0 : pick(0, 40));
    request.priority = pick(0, 3) == 0 ? pick(-1, 2) : 0;
    request.tenant = static_cast<uint64_t>(pick(0, 2));
    if (pick(0, 3) == 0) request.first_token_deadline_ns = int64_t{pick(1, 100'000)} * 1000;
    if (pick(0, 3) == 0) request.token_deadline_ns = int64_t{pick(1, 50'000)} * 1000;
    if (pick(0, 4) == 0) request.cancel_ns = std::max<int64_t>(now_ns + int64_t{pick(-50, 200)} * 1'000'000, 1);
    largest = std::max<int64_t>(largest, request.prompt_tokens + request.max_tokens);
    requests.push_back(request);
  }
  return requests;
}

// Whatever came later or stood above it, the oldest request has one slot of 32 to itself. So a request with memory for
// all ends by the time that it and those before it take, a row in each such plan and every plan as long as can be.
int64_t latest_end_ns(const std::vector<SimulatedRequest>& requests, size_t index, const CostProfile& profile,
                      const SimulationOptions& options) {
  int64_t rows = 0, context = 0;
  for (size_t i = 0; i < requests.size(); ++i) {
    const int64_t tokens = requests[i].prompt_tokens + requests[i].output_tokens;
    if (i <= index) rows += tokens;
    context = std::max(context, tokens);
  }
  StepWork longest{.prefill_tokens = profile.max_batch_tokens, .decode_rows = options.slots};
  longest.context_tokens = options.slots * context;
  longest.prefill_context_tokens = profile.max_batch_tokens * context;
  const int64_t period = std::max(32 / options.slots, 1);
  const double step_ns = (1 + options.noise) * profile.step_ns(longest);
  return requests[index].arrival_ns + static_cast<int64_t>(static_cast<double>((rows + 1) * period) * step_ns);
}

// Memory from what the largest request needs up to plenty; every step's bounds are checked, and the end: nobody holds a
// block, and every text is the one that its request says alone, those beside whom others were cancelled too.
void expect_bounds_kept(const std::string& policy, uint64_t first_seed, uint64_t last_seed) {
  uint64_t drops = 0, cancels = 0, bounded = 0;
  for (uint64_t seed = first_seed; seed <= last_seed; ++seed) {
    std::mt19937_64 random(seed);
    int64_t largest = 0;
    const std::vector<SimulatedRequest> requests = random_requests(random, largest);
    const CostProfile profile = random_profile(random);
    SimulationOptions options;
    options.slots = std::uniform_int_distribution<int32_t>(1, 6)(random);
    options.queue_max = std::uniform_int_distribution<size_t>(options.slots, 40)(random);
    const bool is_ample = random() % 4 == 0;
    options.kv_tokens = (is_ample ? 40 : 1) * (largest + 16) + std::uniform_int_distribution<int64_t>(0, 600)(random);
    if (is_ample) options.queue_max = requests.size() + 1;
    if (random() % 3 == 0) options.step_target_ns = static_cast<int64_t>(1 + random() % 50'000'000);
    options.checks = true;
    Result<SimulatedEngine> engine = SimulatedEngine::create(profile, options);
    ASSERT_TRUE(engine.ok()) << engine.status().message();
    auto scheduler = create_policy(policy, requests, profile);
    ASSERT_TRUE(scheduler.ok());
    const Result<SimulationResult> result = engine->run(requests, **scheduler, seed);
    ASSERT_TRUE(result.ok()) << result.status().message();
    ASSERT_EQ(result->broken, "") << "seed " << seed;
    for (size_t i = 0; i < requests.size(); ++i) {
      const Outcome& outcome = result->outcomes[i];
      ASSERT_LE(outcome.drops, 3u) << "seed " << seed;
      cancels += outcome.is_cancelled ? 1 : 0;
      if (outcome.is_cancelled) continue;
      ASSERT_GE(outcome.finished_ns, outcome.first_token_ns);
      if (!is_ample || policy != "adaptive") continue;
      ASSERT_LE(outcome.finished_ns, latest_end_ns(requests, i, profile, options)) << "seed " << seed << ", " << i;
      ++bounded;
    }
    drops += result->drops;
  }
  EXPECT_EQ(drops > 0, policy != "fcfs");  // where memory is that short, interruptions happen
  EXPECT_GT(cancels, 0u);
  EXPECT_EQ(bounded > 0, policy == "adaptive");
}

class SimulationTest : public testing::TestWithParam<const char*> {};
TEST_P(SimulationTest, RandomSchedulesKeepTheirBounds) { expect_bounds_kept(GetParam(), 1, 150); }

class SimulationSlow : public testing::TestWithParam<const char*> {};
TEST_P(SimulationSlow, ManyRandomSchedulesKeepTheirBounds) { expect_bounds_kept(GetParam(), 151, 4000); }

INSTANTIATE_TEST_SUITE_P(Policies, SimulationSlow, testing::Values("fcfs", "mlfq", "adaptive"),
                         [](const auto& tested) { return std::string(tested.param); });
INSTANTIATE_TEST_SUITE_P(Policies, SimulationTest, testing::Values("fcfs", "mlfq", "adaptive"),
                         [](const auto& tested) { return std::string(tested.param); });

LengthSource mix(const char* name) { return LengthSource::from_mix(name).take(); }

// An endless stream of urgent short requests beside one long background request: it ends all the same, and no later
// than if one in 32 of all slots were its own.
TEST(StarvationTest, TheOldestAlwaysAdvances) {
  for (const int32_t slots : {1, 4, 16}) {
    std::vector<SimulatedRequest> requests = draw_requests(mix("even"), 1000, 0, 1);
    for (SimulatedRequest& request : requests) request.priority = 5;
    requests[0].priority = -5;
    requests[0].output_tokens = requests[0].max_tokens = 150;
    const CostProfile profile = load_profile("gpu").take();
    SimulationOptions options;
    options.slots = slots;
    options.queue_max = 100;
    Result<SimulatedEngine> engine = SimulatedEngine::create(profile, options);
    ASSERT_TRUE(engine.ok());
    const auto scheduler = create_adaptive_scheduler();
    const Result<SimulationResult> result = engine->run(requests, *scheduler, 1);
    ASSERT_TRUE(result.ok());
    ASSERT_EQ(result->broken, "");
    const double step_ns = 1.1 * profile.step_ns({2048, slots, slots * 300});  // the longest there is
    const double turns = 32.0 / slots > 1 ? 32.0 / slots : 1;
    EXPECT_LT(static_cast<double>(result->outcomes[0].finished_ns), (150 + 2) * turns * step_ns) << slots << " slots";
  }
}

// The text that checks compare depends on every key: a block that two sequences write is seen.
TEST(SimulatedTextTest, SeesBlocksThatOthersWrite) {
  SimulatedText text(4);
  std::vector<uint64_t> tokens = SimulatedText::prompt(1, 20), other = SimulatedText::prompt(2, 20);
  const std::vector<int32_t> blocks = {2, 0}, shared = {3, 0};
  text.compute(blocks, tokens, 0, 20);
  tokens.push_back(text.next(blocks, 20));
  EXPECT_EQ(tokens, SimulatedText::alone(1, 20, 1));
  text.compute(shared, other, 0, 20);
  EXPECT_NE(text.next(blocks, 20), tokens.back());
  EXPECT_NE(SimulatedText::alone(1, 20, 3), SimulatedText::alone(2, 20, 3));
}

// Streams whose readers want a token every 60 ms beside a prompt of 16,000 tokens, on a machine that takes 7 s to read
// it: no gap is longer, and the prompt loses no more than those steps cost.
TEST(DeadlineTest, StreamsKeepTheirsBesideALongPrompt) {
  constexpr int64_t kDeadlineNs = 60'000'000;
  std::vector<SimulatedRequest> requests;
  for (int i = 0; i < 8; ++i) {
    requests.push_back({.prompt_tokens = 20, .output_tokens = 600, .max_tokens = 600});
    requests.back().token_deadline_ns = kDeadlineNs;
  }
  requests.push_back({.arrival_ns = 1'000'000'000, .prompt_tokens = 16'000, .output_tokens = 4, .max_tokens = 4});
  for (const char* name : {"cpu", "gpu"}) {
    const CostProfile profile = load_profile(name).take();
    for (const char* policy : {"adaptive", "fcfs"}) {
      SimulationOptions options;
      options.checks = true;
      Result<SimulatedEngine> engine = SimulatedEngine::create(profile, options);
      ASSERT_TRUE(engine.ok());
      auto scheduler = create_policy(policy, requests, profile).take();
      const Result<SimulationResult> result = engine->run(requests, *scheduler, 1);
      ASSERT_TRUE(result.ok());
      ASSERT_EQ(result->broken, "");
      int64_t longest_ns = 0;
      for (int i = 0; i < 8; ++i) longest_ns = std::max(longest_ns, result->outcomes[i].longest_gap_ns);
      const bool is_kept = longest_ns <= kDeadlineNs + kDeadlineNs / 20;
      EXPECT_EQ(is_kept, policy == std::string("adaptive")) << name << ", " << policy << ": " << longest_ns;
    }
  }
}

Summary summary_at(const char* policy, const char* workload, const char* profile, double load, size_t count) {
  Setting setting{load_profile(profile).take(), mix(workload), {}, count, std::string(workload) == "burst"};
  const double capacity = capacity_of(setting, 1).take();
  return run_at(setting, policy, load * capacity, 1).take().summary;
}

TEST(PolicySimulationTest, AdaptiveIsFcfsWhereLengthsAreAlike) {
  for (const double load : {0.3, 0.9}) {
    const Summary fcfs = summary_at("fcfs", "even", "cpu", load, 400);
    const Summary adaptive = summary_at("adaptive", "even", "cpu", load, 400);
    EXPECT_LE(adaptive.completion.mean, 1.01 * fcfs.completion.mean);
    EXPECT_LE(adaptive.completion.p95, 1.01 * fcfs.completion.p95);
    EXPECT_LE(adaptive.first_token.p99, 1.01 * fcfs.first_token.p99);
    EXPECT_EQ(adaptive.drops, 0u);
  }
}

TEST(PolicySimulationTest, AdaptiveServesTheShortInAHeavyMix) {
  const Summary fcfs = summary_at("fcfs", "heavy", "gpu", 0.95, 800);
  const Summary adaptive = summary_at("adaptive", "heavy", "gpu", 0.95, 800);
  EXPECT_LT(adaptive.completion.mean, 0.7 * fcfs.completion.mean);
  EXPECT_LT(adaptive.by_output[0].completion.p95, 0.5 * fcfs.by_output[0].completion.p95);
  EXPECT_LT(adaptive.token_s_mean, 0.5 * fcfs.token_s_mean);
  EXPECT_EQ(adaptive.drops, 0u);
}

TEST(PolicySimulationTest, TheInteractiveClassPassesABurst) {
  const Summary fcfs = summary_at("fcfs", "burst", "gpu", 0.3, 1500);
  const Summary adaptive = summary_at("adaptive", "burst", "gpu", 0.3, 1500);
  EXPECT_LT(adaptive.interactive_first_token.p99, 0.2 * fcfs.interactive_first_token.p99);
  EXPECT_GT(adaptive.tokens_per_second, 0.98 * fcfs.tokens_per_second);
}

// Background answers beside the interactive class cost it little more than its own company does.
TEST(PolicySimulationTest, UrgentPromptsHardlyWaitForOthersRows) {
  const Summary fcfs = summary_at("fcfs", "burst", "cpu", 0.3, 1500);
  const Summary adaptive = summary_at("adaptive", "burst", "cpu", 0.3, 1500);
  const Summary alone = summary_at("alone", "burst", "cpu", 0.3, 1500);
  EXPECT_LT(adaptive.interactive_first_token.p99, 0.4 * fcfs.interactive_first_token.p99);
  EXPECT_LT(adaptive.interactive_first_token.p99, 2 * alone.interactive_first_token.p99);
  EXPECT_GT(adaptive.tokens_per_second, 0.98 * fcfs.tokens_per_second);
}

// At a rate that no fixed batch keeps within the target, the controller does.
TEST(TargetSlow, TheControllerKeepsMoreThanTheBestFixedBatch) {
  Setting setting{load_profile("cpu").take(), mix("heavy"), {}, 600, false};
  setting.simulation.slots = 64;
  const TargetRow row = compare_batching(setting, 0.02, 1).take();
  EXPECT_GT(row.fixed_rate, 0);
  EXPECT_GT(row.controlled_rate, row.fixed_rate);
  EXPECT_LE(row.controlled_gap.p95, 0.02);
  EXPECT_LE(row.fixed_gap.p95, 0.02);
}

TEST(WorkloadTest, RefusesWhatIsNoTrace) {
  EXPECT_EQ(LengthSource::from_trace("/nonexistent/trace.csv").status().code(), StatusCode::kNotFound);
  EXPECT_EQ(LengthSource::from_mix("no such").status().code(), StatusCode::kInvalidArgument);
  EXPECT_EQ(load_profile("/nonexistent/profile.json").status().code(), StatusCode::kNotFound);
}

TEST(WorkloadTest, ArrivalsHaveTheirRate) {
  const std::vector<SimulatedRequest> requests = draw_requests(mix("heavy"), 20'000, 50, 7);
  EXPECT_NEAR(static_cast<double>(requests.back().arrival_ns) * 1e-9, 400, 12);
  size_t long_count = 0;
  for (const SimulatedRequest& request : requests) long_count += request.output_tokens > 40 ? 1 : 0;
  EXPECT_NEAR(static_cast<double>(long_count), 1000, 120);
}

}  // namespace
}  // namespace fastserve::simulate
