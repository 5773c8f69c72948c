// The engine's small parts: numbered slots, the ring of events.
#include <gtest/gtest.h>
#include <poll.h>

#include <algorithm>
#include <map>
#include <random>

#include "engine/event_hub.h"
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

}  // namespace
}  // namespace fastserve
