// The engine's small parts: numbered slots, the ring of events, first-come-first-served plans.
#include <gtest/gtest.h>
#include <poll.h>

#include <algorithm>
#include <map>
#include <random>

#include "engine/event_hub.h"
#include "engine/scheduler.h"
#include "engine/slot_table.h"

namespace fastserve {
namespace {

TEST(SlotTableTest, NumbersAreNeverMistaken) {
  SlotTable<int> table(7, 1, 100), other_kind(7, 2, 100), other_engine(8, 1, 100);
  const uint64_t first = table.insert(std::make_shared<int>(1));
  EXPECT_EQ(*table.find(first), 1);
  EXPECT_TRUE(table.is_own(first));
  EXPECT_FALSE(other_kind.is_own(first));
  EXPECT_FALSE(other_engine.is_own(first));
  table.erase(first);
  EXPECT_EQ(table.find(first), nullptr);
  EXPECT_TRUE(table.is_own(first));  // stale, not foreign
  const uint64_t second = table.insert(std::make_shared<int>(2));
  EXPECT_NE(first, second);  // the same slot, another generation
  EXPECT_EQ(table.find(first), nullptr);
  table.erase(first);
  EXPECT_EQ(*table.find(second), 2);
  EXPECT_EQ(table.count(), 1u);
  for (const uint64_t number : {uint64_t{0}, uint64_t{1}, UINT64_MAX, second + 1, second ^ (uint64_t{1} << 60)}) {
    EXPECT_EQ(table.find(number), nullptr) << number;
  }
}

TEST(SlotTableTest, IsBoundedAndReusesItsSlots) {
  SlotTable<int> table(1, 1, 3);
  std::vector<uint64_t> numbers;
  for (int i = 0; i < 3; ++i) numbers.push_back(table.insert(std::make_shared<int>(i)));
  EXPECT_EQ(table.insert(std::make_shared<int>(9)), 0u);
  std::map<uint64_t, int> seen;
  for (int round = 0; round < 1000; ++round) {
    const size_t at = static_cast<size_t>(round) % 3;
    table.erase(numbers[at]);
    numbers[at] = table.insert(std::make_shared<int>(round));
    EXPECT_NE(numbers[at], 0u);
    EXPECT_EQ(seen[numbers[at]]++, 0);
  }
}

TEST(EventHubTest, IsARingWithoutWhatWasRemoved) {
  auto created = EventHub::create(8);
  ASSERT_TRUE(created.ok());
  EventHub& hub = **created;
  auto is_signalled = [&] {
    pollfd entry{static_cast<int>(hub.native_handle()), POLLIN, 0};
    return ::poll(&entry, 1, 0) == 1;
  };
  std::vector<uint64_t> expected;
  std::mt19937 random(1);
  uint64_t next = 1;
  for (int i = 0; i < 5000; ++i) {
    const uint32_t choice = random() % 4;
    if (choice <= 1 && expected.size() < 8) {
      hub.push(next);
      expected.push_back(next++);
    } else if (choice == 2 && !expected.empty()) {
      EXPECT_EQ(hub.pop(), expected.front());
      expected.erase(expected.begin());
    } else if (choice == 3 && !expected.empty()) {
      const size_t at = random() % expected.size();
      hub.remove(expected[at]);
      expected.erase(expected.begin() + static_cast<std::ptrdiff_t>(at));
      hub.remove(next);  // never there
    }
    ASSERT_EQ(hub.size(), expected.size());
    ASSERT_EQ(is_signalled(), !expected.empty());
  }
}

// Admits the waiting up to a number.
class Doorman final : public Admission {
 public:
  explicit Doorman(size_t places) : places_(places) {}
  bool try_admit(size_t waiting_index) override {
    asked.push_back(waiting_index);
    return asked.size() <= places_;
  }
  std::vector<size_t> asked;

 private:
  size_t places_;
};

SequenceView prefill(int32_t pending) { return {0, 0, pending, 0, false}; }
SequenceView decode() { return {0, 0, 1, 10, true}; }

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
