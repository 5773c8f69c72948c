// First come, first served.
#include <gtest/gtest.h>

#include <random>

#include "scheduler/doorman.h"

namespace fastserve {
namespace {

TEST(FcfsTest, DecodesThenPrefillsThenAdmissions) {
  const auto scheduler = create_fcfs_scheduler();
  const std::vector<SequenceView> running = {prefill(100), decode(), prefill(5), decode()};
  const std::vector<SequenceView> waiting = {prefill(7), prefill(200), prefill(3)};
  Doorman doorman(2);
  SchedulerInput input{running, waiting, 64, 32, &doorman};
  Plan plan;
  scheduler->plan(input, plan);
  struct Entry {
    bool from_waiting;
    uint32_t index;
    int32_t count;
  };
  const Entry expected[] = {{false, 1, 1}, {false, 3, 1}, {false, 0, 32}, {false, 2, 5}, {true, 0, 7}, {true, 1, 18}};
  ASSERT_EQ(plan.entries.size(), std::size(expected));
  for (size_t i = 0; i < plan.entries.size(); ++i) {
    EXPECT_EQ(plan.entries[i].from_waiting, expected[i].from_waiting) << i;
    EXPECT_EQ(plan.entries[i].index, expected[i].index) << i;
    EXPECT_EQ(plan.entries[i].token_count, expected[i].count) << i;
  }
  EXPECT_EQ(doorman.asked, (std::vector<size_t>{0, 1}));  // the budget was spent by then
}

TEST(FcfsTest, NobodyPassesOneThatDoesNotFit) {
  const auto scheduler = create_fcfs_scheduler();
  const std::vector<SequenceView> waiting = {prefill(7), prefill(1)};
  Doorman doorman(0);
  SchedulerInput input{{}, waiting, 64, 32, &doorman};
  Plan plan;
  plan.entries.push_back({});
  scheduler->plan(input, plan);
  EXPECT_TRUE(plan.entries.empty());
  EXPECT_EQ(doorman.asked, std::vector<size_t>{0});
}

TEST(FcfsTest, PrioritiesComeBeforeArrival) {
  const auto scheduler = create_fcfs_scheduler();
  auto with_priority = [](int32_t priority) {
    SequenceView view = prefill(10);
    view.priority = priority;
    return view;
  };
  const std::vector<SequenceView> running = {with_priority(-1), decode(), with_priority(5), with_priority(5)};
  const std::vector<SequenceView> waiting = {with_priority(0), with_priority(-7), with_priority(3), with_priority(0)};
  Doorman doorman(3);
  SchedulerInput input{running, waiting, 1000, 32, &doorman};
  Plan plan;
  scheduler->plan(input, plan);
  std::vector<uint32_t> order;
  for (const PlanEntry& entry : plan.entries) order.push_back(entry.index);
  EXPECT_EQ(order, (std::vector<uint32_t>{1, 2, 3, 0, 2, 0, 3}));
  EXPECT_EQ(doorman.asked, (std::vector<size_t>{2, 0, 3, 1}));  // the last one has no place
}

TEST(FcfsTest, RandomPlansKeepTheirBounds) {
  const auto scheduler = create_fcfs_scheduler();
  std::mt19937 random(2);
  for (int round = 0; round < 500; ++round) {
    std::vector<SequenceView> running, waiting;
    for (uint32_t i = 0; i < random() % 12; ++i) {
      running.push_back(random() % 2 ? decode() : prefill(1 + static_cast<int32_t>(random() % 90)));
    }
    for (uint32_t i = 0; i < random() % 12; ++i) waiting.push_back(prefill(1 + static_cast<int32_t>(random() % 90)));
    Doorman doorman(random() % 12);
    const int32_t budget = 1 + static_cast<int32_t>(random() % 80), chunk = 1 + static_cast<int32_t>(random() % 40);
    SchedulerInput input{running, waiting, budget, chunk, &doorman};
    Plan plan;
    scheduler->plan(input, plan);
    int32_t total = 0;
    for (const PlanEntry& entry : plan.entries) {
      const SequenceView& view = (entry.from_waiting ? waiting : running)[entry.index];
      ASSERT_GE(entry.token_count, 1);
      ASSERT_LE(entry.token_count, std::min(view.pending_tokens, chunk));
      total += entry.token_count;
    }
    ASSERT_LE(total, budget);
    // Nothing is left idle while there is room.
    ASSERT_TRUE(total == budget || plan.entries.size() >= running.size());
  }
}

}  // namespace
}  // namespace fastserve
