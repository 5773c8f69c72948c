// BlockPool: segments that come and go, and what moves when one goes.
#include "memory/block_pool.h"

#include <gtest/gtest.h>

#include <cstring>
#include <vector>

#include "memory/budget.h"

namespace fastserve {
namespace {

constexpr BlockPoolSize kTenOfTwelve{256, 10, 12, 4};  // segments of 4, 4, 2 and 2

struct Held {
  explicit Held(const BlockPool& pool)
      : counts(static_cast<size_t>(pool.block_count_max())), moved(counts.size(), -1) {}
  std::vector<uint32_t> counts;
  std::vector<int32_t> moved;
};

TEST(BlockPoolTest, TakesWhatItHasAndNoMore) {
  LimitResource memory(page_memory(), 0);
  BlockPool pool = BlockPool::create(memory, kTenOfTwelve, MemoryUse::kKv).take();
  EXPECT_EQ(pool.block_count(), 10);
  EXPECT_EQ(pool.block_count_max(), 12);
  EXPECT_EQ(memory.stats().used_bytes, 2560u);
  EXPECT_TRUE(pool.grow());
  EXPECT_FALSE(pool.grow());
  EXPECT_EQ(memory.stats().used_bytes, 3072u);
  EXPECT_EQ(pool.unpromised_count(), 12);
  EXPECT_TRUE(pool.check_integrity());
}

TEST(BlockPoolTest, GrowsWithinTheBudgetAlone) {
  LimitResource memory(page_memory(), 2560 + 511);
  BlockPool pool = BlockPool::create(memory, kTenOfTwelve, MemoryUse::kKv).take();
  EXPECT_FALSE(pool.grow());
  EXPECT_EQ(pool.block_count(), 10);
  memory.set_budget_bytes(2560 + 512);
  EXPECT_TRUE(pool.grow());
  EXPECT_TRUE(pool.check_integrity());
}

TEST(BlockPoolTest, WhatIsInUseMovesAndKeepsItsBytes) {
  LimitResource memory(page_memory(), 0);
  BlockPool pool = BlockPool::create(memory, {256, 10, 0, 2}, MemoryUse::kKv).take();
  Held held(pool);
  std::vector<int32_t> blocks;
  for (int i = 0; i < 10; ++i) blocks.push_back(pool.acquire());
  for (int i = 0; i < 5; ++i) {  // one is left of each segment
    pool.release(blocks[static_cast<size_t>(i) + 1]);
    blocks.erase(blocks.begin() + i + 1);
    std::memset(pool.address(blocks[static_cast<size_t>(i)]), 'a' + i, 256);
    pool.pin(blocks[static_cast<size_t>(i)]);
    held.counts[static_cast<size_t>(blocks[static_cast<size_t>(i)])] = 1;
  }
  pool.retain(blocks[0]);
  held.counts[static_cast<size_t>(blocks[0])] = 2;
  while (pool.shrink(4, held.counts, held.moved)) {
    for (int32_t& block : blocks) {
      const auto old = static_cast<size_t>(block);
      if (held.moved[old] < 0) continue;
      block = held.moved[old];
      held.counts[static_cast<size_t>(block)] = std::exchange(held.counts[old], 0);
      held.moved[old] = -1;
    }
    EXPECT_TRUE(pool.check_integrity());
  }
  EXPECT_EQ(pool.block_count(), 6);
  EXPECT_EQ(pool.used_count(), 5);
  EXPECT_EQ(pool.pinned_count(), 5);
  EXPECT_EQ(pool.reference_count(blocks[0]), 2u);
  for (int i = 0; i < 5; ++i) EXPECT_EQ(*pool.address(blocks[static_cast<size_t>(i)]), 'a' + i);
  EXPECT_EQ(memory.stats().used_bytes, static_cast<uint64_t>(pool.block_count()) * 256);
}

TEST(BlockPoolTest, WhatOthersHoldOrWerePromisedStays) {
  LimitResource memory(page_memory(), 0);
  BlockPool pool = BlockPool::create(memory, {256, 4, 0, 4}, MemoryUse::kKv).take();
  Held held(pool);
  const int32_t block = pool.acquire();
  EXPECT_FALSE(pool.shrink(4, held.counts, held.moved)) << "a reference that the caller does not know";
  pool.release(block);
  EXPECT_TRUE(pool.promise(1));
  EXPECT_FALSE(pool.shrink(4, held.counts, held.moved));
  pool.withdraw(1);
  EXPECT_FALSE(pool.shrink(3, held.counts, held.moved)) << "more than may go";
  EXPECT_TRUE(pool.shrink(4, held.counts, held.moved));
  EXPECT_EQ(pool.block_count(), 0);
  EXPECT_EQ(pool.acquire(), -1);
  EXPECT_EQ(memory.stats().used_bytes, 0u);
  EXPECT_TRUE(pool.grow());
  EXPECT_GE(pool.acquire(), 0);
}

}  // namespace
}  // namespace fastserve
