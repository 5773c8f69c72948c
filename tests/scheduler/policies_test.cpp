// Plans of the policies that interrupt: who is in them, who gives way, and how often.
#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>

#include "scheduler/doorman.h"

namespace fastserve {
namespace {

constexpr int64_t kSecondNs = 1'000'000'000;
const CostModel kCost({1e6, 1e5, 1e5, 0, 0});  // a step 1 ms, a token of a prompt or a row 0.1 ms

// Sequences with records, shown to a scheduler plan after plan.
class PolicyTest : public testing::Test {
 protected:
  struct Shown {
    SequenceView view;
    JobRecord job;
  };
  size_t add(std::vector<Shown>& shown, SequenceView view) {
    view.id = ++next_id_;
    view.arrival_ns = static_cast<int64_t>(next_id_) * 1000;
    shown.push_back({view, {}});
    return shown.size() - 1;
  }
  // Ids in the plan, in its order.
  std::vector<uint64_t> plan(Scheduler& scheduler, int32_t slots, size_t places = 1000, int32_t rows = 512) {
    running_views_.clear();
    waiting_views_.clear();
    for (auto* shown : {&running_, &waiting_}) {
      for (Shown& each : *shown) {
        each.view.job = &each.job;
        (shown == &running_ ? running_views_ : waiting_views_).push_back(each.view);
      }
    }
    Doorman doorman(places);
    SchedulerInput input{running_views_, waiting_views_, rows, rows, &doorman};
    input.slots = slots;
    input.now_ns = now_ns_;
    input.cost = &kCost;
    scheduler.plan(input, plan_);
    dropped_ = doorman.dropped;
    std::vector<uint64_t> ids;
    for (const PlanEntry& entry : plan_.entries) {
      ids.push_back((entry.from_waiting ? waiting_views_ : running_views_)[entry.index].id);
    }
    return ids;
  }
  static bool has(const std::vector<uint64_t>& ids, uint64_t id) {
    return std::find(ids.begin(), ids.end(), id) != ids.end();
  }

  std::vector<Shown> running_, waiting_;
  std::vector<SequenceView> running_views_, waiting_views_;
  std::vector<size_t> dropped_;
  Plan plan_;
  int64_t now_ns_ = kSecondNs;
  uint64_t next_id_ = 0;
};

TEST_F(PolicyTest, AdaptiveWithoutContentionIsFcfs) {
  const auto adaptive = create_adaptive_scheduler(), fcfs = create_fcfs_scheduler();
  for (int i = 0; i < 4; ++i) add(running_, decode());
  add(running_, prefill(300));
  add(waiting_, prefill(400));
  std::vector<uint64_t> ids = plan(*adaptive, 16);
  std::vector<PlanEntry> entries = plan_.entries;
  plan(*fcfs, 16);
  const auto by_index = [](const PlanEntry& a, const PlanEntry& b) {
    return std::pair(a.from_waiting, a.index) < std::pair(b.from_waiting, b.index);
  };
  std::sort(entries.begin(), entries.end(), by_index);
  std::sort(plan_.entries.begin(), plan_.entries.end(), by_index);
  ASSERT_EQ(entries.size(), plan_.entries.size());
  for (size_t i = 0; i < entries.size(); ++i) {
    EXPECT_EQ(entries[i].index, plan_.entries[i].index);
    EXPECT_EQ(entries[i].token_count, plan_.entries[i].token_count);
  }
  EXPECT_EQ(ids.size(), 6u);
}

TEST_F(PolicyTest, AdaptivePutsTheUrgentIntoTheNextStep) {
  const auto scheduler = create_adaptive_scheduler();
  for (int i = 0; i < 4; ++i) add(running_, decode());
  EXPECT_EQ(plan(*scheduler, 4).size(), 4u);
  SequenceView urgent = prefill(20);
  urgent.priority = 1;
  add(waiting_, urgent);
  const std::vector<uint64_t> ids = plan(*scheduler, 4);
  EXPECT_EQ(ids.size(), 4u);
  EXPECT_TRUE(has(ids, 5));
  EXPECT_FALSE(has(ids, 4));  // the last that came gives way, and keeps what it has
  EXPECT_TRUE(dropped_.empty());
}

// On a machine where rows cost more than steps, an urgent prompt does not wait for others' rows; nor do those of its
// own class, or the oldest request, wait for it.
TEST_F(PolicyTest, AdaptiveReadsUrgentPromptsNearlyAlone) {
  const auto scheduler = create_adaptive_scheduler();
  for (int i = 0; i < 14; ++i) add(running_, decode());
  SequenceView urgent = prefill(48);
  urgent.priority = 1;
  add(waiting_, urgent);
  SequenceView reader = decode();
  reader.priority = 1;
  add(running_, reader);
  add(waiting_, prefill(300));
  now_ns_ += kSecondNs;
  const std::vector<uint64_t> ids = plan(*scheduler, 64);
  for (const uint64_t id : {1, 15, 16}) EXPECT_TRUE(has(ids, id)) << id;
  EXPECT_FALSE(has(ids, 17));
  EXPECT_EQ(ids.size(), 13u) << "rows of lower classes for as long as a step takes by itself: ten";
  // Its prompt is read: all go on, and others' prompts in small parts, since another urgent one may come.
  running_.push_back(waiting_[0]);
  running_.back().view = decode();
  running_.back().view.id = 15;
  waiting_.erase(waiting_.begin());
  EXPECT_EQ(plan(*scheduler, 64).size(), 17u);
  EXPECT_EQ(plan_.entries.back().token_count, 24);  // (5 - 1 - 16 * 0.1) ms at 0.1 ms
}

TEST_F(PolicyTest, AdaptiveDropsForTheUrgentWhereMemoryIsShort) {
  const auto scheduler = create_adaptive_scheduler();
  for (int i = 0; i < 4; ++i) {
    SequenceView view = decode();
    view.kv_tokens = 100;
    view.can_drop = i != 3;
    add(running_, view);
  }
  SequenceView urgent = prefill(20);
  urgent.priority = 1;
  urgent.kv_tokens = 50;
  add(waiting_, urgent);
  EXPECT_TRUE(has(plan(*scheduler, 4, 0), 5));
  EXPECT_EQ(dropped_, std::vector<size_t>{2});  // the last of those that may be
  EXPECT_EQ(running_[2].job.drop_count, 1u);
  // Not more than three times, and never where it would not be enough.
  for (Shown& shown : running_) shown.job.drop_count = 3;
  EXPECT_FALSE(has(plan(*scheduler, 4, 0), 5));
  EXPECT_TRUE(dropped_.empty());
  for (Shown& shown : running_) shown.job.drop_count = 0;
  waiting_[0].view.kv_tokens = 1000;
  EXPECT_FALSE(has(plan(*scheduler, 4, 0), 5));
  EXPECT_TRUE(dropped_.empty());
}

TEST_F(PolicyTest, AdaptiveSparesWhoIsNearlyDone) {
  const auto scheduler = create_adaptive_scheduler();
  for (int i = 0; i < 2; ++i) {
    SequenceView view = decode();
    view.can_drop = true;
    view.kv_tokens = 100;
    view.tokens_left_max = i == 1 ? 3 : 100;
    add(running_, view);
  }
  SequenceView urgent = prefill(20);
  urgent.priority = 1;
  add(waiting_, urgent);
  plan(*scheduler, 2, 0);
  EXPECT_TRUE(dropped_.empty());  // nor the oldest
}

TEST_F(PolicyTest, AdaptiveHeedsTheFirstTokensDeadline) {
  const auto scheduler = create_adaptive_scheduler();
  for (int i = 0; i < 3; ++i) add(running_, decode());
  SequenceView view = prefill(100);  // 10 ms
  view.due_ns = now_ns_ + kSecondNs;
  add(waiting_, view);
  EXPECT_FALSE(has(plan(*scheduler, 3), 4));  // there is time
  now_ns_ += kSecondNs - 21'000'000;
  EXPECT_TRUE(has(plan(*scheduler, 3), 4));
}

TEST_F(PolicyTest, AdaptiveLeavesTimeBetweenTokens) {
  const auto scheduler = create_adaptive_scheduler();
  SequenceView stream = decode();
  stream.due_ns = now_ns_ + 11'100'000;
  add(running_, stream);
  add(running_, prefill(5000));
  plan(*scheduler, 8);
  ASSERT_EQ(plan_.entries.size(), 2u);
  EXPECT_EQ(plan_.entries[1].token_count, 88);  // (0.9 * 11.1 - 1 - 0.1) ms at 0.1 ms
  running_[0].view.due_ns = now_ns_ - kSecondNs;
  plan(*scheduler, 8);
  EXPECT_EQ(plan_.entries[1].token_count, 16);  // too late in any case: the prompt still advances
  running_[0].view.due_ns = kNeverNs;
  plan(*scheduler, 8);
  EXPECT_EQ(plan_.entries[1].token_count, 511);
}

TEST_F(PolicyTest, AdaptiveSharesAmongTenants) {
  const auto scheduler = create_adaptive_scheduler();
  for (int i = 0; i < 8; ++i) {
    SequenceView view = decode();
    view.tenant = i < 6 ? 1 : 2;
    add(running_, view);
  }
  std::vector<int> rows(3);
  for (int step = 0; step < 40'000; ++step) {
    now_ns_ += 1'000'000;
    for (const uint64_t id : plan(*scheduler, 2)) ++rows[id <= 6 ? 1 : 2];
  }
  EXPECT_NEAR(rows[1], rows[2], 0.15 * rows[1]);  // though three times as many ask for tenant 1
}

TEST_F(PolicyTest, AdaptivePrefersTheShortOnlyWhereServicesAreSpread) {
  const auto scheduler = create_adaptive_scheduler();
  JobRecord ended;
  for (int i = 0; i < 100; ++i) {
    ended.service_ns = 1e7;
    scheduler->finished(ended);
  }
  add(running_, decode());
  add(running_, decode());
  for (Shown& shown : running_) shown.job.service_ns = 9e7;
  add(waiting_, prefill(5));
  EXPECT_FALSE(has(plan(*scheduler, 2), 3));
  for (int i = 0; i < 5; ++i) {
    ended.service_ns = 1e9;
    scheduler->finished(ended);
  }
  const std::vector<uint64_t> ids = plan(*scheduler, 2);
  EXPECT_TRUE(has(ids, 3));
  EXPECT_EQ(ids.size(), 2u);
}

TEST_F(PolicyTest, MlfqJoinsSinksAndRises) {
  const auto scheduler = create_mlfq_scheduler();
  add(waiting_, prefill(50));   // 5 ms: level 0
  add(waiting_, prefill(500));  // 50 ms: 10, 20, 40, 80
  EXPECT_EQ(plan(*scheduler, 1), std::vector<uint64_t>{1});
  EXPECT_EQ(waiting_[0].job.level, 0);
  EXPECT_EQ(waiting_[1].job.level, 3);
  running_ = {waiting_[0]};
  waiting_.erase(waiting_.begin());
  running_[0].view = decode();
  running_[0].view.id = 1;
  for (int step = 0; step < 12; ++step) plan(*scheduler, 1);
  EXPECT_EQ(running_[0].job.level, 1);  // it used up its 10 ms at 1.1 ms a step
  now_ns_ += 3 * kSecondNs;
  running_[0].job.last_planned_ns = now_ns_;
  EXPECT_EQ(plan(*scheduler, 1), std::vector<uint64_t>{2});  // starved: to the top
  EXPECT_EQ(waiting_[0].job.level, 0);
}

}  // namespace
}  // namespace fastserve
