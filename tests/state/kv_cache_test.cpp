// KvCache: admission, promises and windows against a plain count, at random; and BlockPool below it.
#include "state/kv_cache.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <set>

#include "memory/budget.h"

namespace fastserve {
namespace {

using kernels::kKvBlockTokens;

KvLayout layout_of(std::vector<int32_t> windows) {
  KvLayout layout;
  for (const int32_t window : windows) layout.layers.push_back({2, 16, 16, window});
  return layout;
}

class KvCacheTest : public testing::Test {
 protected:
  KvCache create(const KvLayout& layout, int64_t tokens) {
    Result<KvCache> cache = KvCache::create(layout, memory_, tokens);
    EXPECT_TRUE(cache.ok());
    return cache.take();
  }
  LimitResource memory_{page_memory(), 0};
};

TEST_F(KvCacheTest, GroupsLayersByWindow) {
  const KvCache cache = create(layout_of({0, 64, 64, 0, 128}), 256);
  ASSERT_EQ(cache.group_count(), 3);
  EXPECT_EQ(std::vector<int32_t>(cache.layer_groups(), cache.layer_groups() + 5),
            (std::vector<int32_t>{0, 1, 1, 0, 2}));
  // Layers of a group lie one after the other in its blocks.
  const kernels::KvLayer* layers = cache.layers();
  EXPECT_EQ(layers[0].k_offset_bytes, 0);
  EXPECT_GT(layers[3].k_offset_bytes, layers[0].v_offset_bytes);
  EXPECT_EQ(layers[1].k_offset_bytes, 0);
  EXPECT_EQ(layers[2].v_offset_bytes % 64, 0);
  EXPECT_EQ(memory_.stats().used_bytes_by_use[static_cast<size_t>(MemoryUse::kKv)],
            static_cast<uint64_t>(cache.usage().total_bytes));
}

TEST_F(KvCacheTest, AdmitsWhatFitsAndNoMore) {
  KvCache cache = create(layout_of({0}), 10 * kKvBlockTokens);
  SequenceKv first, second, third;
  EXPECT_FALSE(cache.can_ever_admit(10 * kKvBlockTokens + 1, 8));
  EXPECT_TRUE(cache.can_ever_admit(10 * kKvBlockTokens, 8));
  EXPECT_TRUE(cache.admit(first, 6 * kKvBlockTokens, 8));
  EXPECT_FALSE(cache.admit(second, 4 * kKvBlockTokens + 1, 8));  // promised, though not yet taken
  EXPECT_TRUE(cache.check_integrity());
  EXPECT_TRUE(cache.admit(second, 4 * kKvBlockTokens, 8));
  EXPECT_FALSE(cache.admit(third, 1, 8));
  EXPECT_EQ(cache.usage().free_count, 10);
  EXPECT_TRUE(cache.reserve(first, 1));
  EXPECT_TRUE(cache.reserve(second, 4 * kKvBlockTokens));
  EXPECT_EQ(cache.usage().free_count, 5);
  EXPECT_FALSE(cache.reserve(second, 4 * kKvBlockTokens + 1));  // beyond its promise
  cache.release(second);
  EXPECT_TRUE(cache.admit(third, 4 * kKvBlockTokens, 8));
  cache.release(first);
  cache.release(third);
  EXPECT_EQ(cache.usage().free_count, 10);
  EXPECT_EQ(cache.pool(0).promised_count(), 0);
  EXPECT_TRUE(cache.check_integrity());
}

TEST_F(KvCacheTest, AWindowGivesItsOldBlocksBack) {
  constexpr int32_t kWindow = 40, kRows = 8;
  KvCache cache = create(layout_of({0, kWindow}), 1024);
  SequenceKv sequence;
  ASSERT_TRUE(cache.admit(sequence, 1000, kRows));
  for (int32_t computed = 0; computed + kRows <= 1000; computed += kRows) {
    ASSERT_TRUE(cache.reserve(sequence, computed + kRows)) << computed;
    const auto& held = sequence.groups[1];
    // Every row of the step sees its whole window.
    const int32_t first_needed = std::max(0, computed - kWindow + 1) / kKvBlockTokens;
    for (size_t block = static_cast<size_t>(first_needed); block < held.blocks.size(); ++block) {
      ASSERT_GE(held.blocks[block], 0) << "block " << block << " at " << computed;
      ASSERT_EQ(held.addresses[block], cache.pool(1).address(held.blocks[block]));
    }
    cache.drop_outside_window(sequence, computed + kRows);
    ASSERT_LE(cache.pool(1).used_count(), (kWindow + kRows) / kKvBlockTokens + 2);
    ASSERT_TRUE(cache.check_integrity());
  }
  EXPECT_EQ(cache.pool(0).used_count(), (1000 + kKvBlockTokens - 1) / kKvBlockTokens);
  cache.release(sequence);
  EXPECT_EQ(cache.usage().used_bytes, 0);
  EXPECT_EQ(cache.pool(1).promised_count(), 0);
}

TEST_F(KvCacheTest, TruncateKeepsWhatItCan) {
  KvCache cache = create(layout_of({0, 32}), 512);
  SequenceKv sequence;
  ASSERT_TRUE(cache.admit(sequence, 200, 16));
  for (int32_t computed = 0; computed < 160; computed += 16) {
    ASSERT_TRUE(cache.reserve(sequence, computed + 16));
    cache.drop_outside_window(sequence, computed + 16);
  }
  EXPECT_EQ(cache.truncate(sequence, 159), 159);  // its window is still there
  EXPECT_EQ(sequence.token_count, 159);
  EXPECT_EQ(cache.truncate(sequence, 60), 0);  // its window is gone
  EXPECT_TRUE(cache.check_integrity());
  EXPECT_EQ(cache.usage().used_bytes, 0);
  // The promise is as it was: all of it can be taken again.
  for (int32_t computed = 0; computed < 192; computed += 16) {
    ASSERT_TRUE(cache.reserve(sequence, computed + 16));
    cache.drop_outside_window(sequence, computed + 16);
  }
  cache.release(sequence);
  EXPECT_EQ(cache.pool(1).promised_count(), 0);
}

// Random sequences: no block has two owners, promises always hold, and all comes back.
TEST_F(KvCacheTest, RandomLives) {
  std::mt19937 random(3);
  KvCache cache = create(layout_of({0, 48}), 60 * kKvBlockTokens);
  struct Life {
    SequenceKv kv;
    int32_t computed = 0, total = 0;
  };
  std::vector<Life> lives;
  constexpr int32_t kRows = 24;
  for (int round = 0; round < 3000; ++round) {
    if (lives.size() < 8 && random() % 3 == 0) {
      Life life;
      life.total = 1 + static_cast<int32_t>(random() % 300);
      if (cache.admit(life.kv, life.total, kRows)) lives.push_back(std::move(life));
    }
    for (Life& life : lives) {
      const int32_t rows = std::min(life.total - life.computed, static_cast<int32_t>(random() % (kRows + 1)));
      ASSERT_TRUE(cache.reserve(life.kv, life.computed + rows));
      life.computed += rows;
      cache.drop_outside_window(life.kv, life.computed);
      if (random() % 50 == 0) life.computed = cache.truncate(life.kv, life.computed / 2);
    }
    for (int32_t group = 0; group < 2; ++group) {
      std::set<int32_t> owned;
      size_t count = 0;
      for (const Life& life : lives) {
        for (const int32_t block : life.kv.groups[static_cast<size_t>(group)].blocks) {
          if (block >= 0) owned.insert(block), ++count;
        }
      }
      ASSERT_EQ(owned.size(), count);
      ASSERT_EQ(cache.pool(group).used_count(), static_cast<int32_t>(count));
    }
    ASSERT_TRUE(cache.check_integrity());
    for (size_t i = lives.size(); i-- > 0;) {
      if (lives[i].computed < lives[i].total && random() % 40 != 0) continue;
      cache.release(lives[i].kv);
      lives.erase(lives.begin() + static_cast<std::ptrdiff_t>(i));
    }
  }
  for (Life& life : lives) cache.release(life.kv);
  EXPECT_EQ(cache.usage().used_bytes, 0);
  EXPECT_EQ(cache.pool(0).promised_count() + cache.pool(1).promised_count(), 0);
}

TEST_F(KvCacheTest, TokenBytesAreWhatThePoolTakes) {
  const KvLayout layout = layout_of({0, 0, 0});
  const KvCache cache = create(layout, 160);
  EXPECT_EQ(cache.usage().total_bytes, kv_token_bytes(layout) * 160);
}

TEST(BlockPoolAccount, ReferencesAndPromises) {
  LimitResource memory(page_memory(), 0);
  Result<BlockPool> created = BlockPool::create(memory, {256, 4, 0, 0}, MemoryUse::kKv);
  ASSERT_TRUE(created.ok());
  BlockPool pool = created.take();
  EXPECT_TRUE(pool.promise(3));
  EXPECT_FALSE(pool.promise(2));
  EXPECT_TRUE(pool.promise(1));
  pool.withdraw(4);
  const int32_t shared = pool.acquire();
  pool.retain(shared);
  EXPECT_EQ(pool.reference_count(shared), 2u);
  pool.release(shared);
  EXPECT_EQ(pool.free_count(), 3);
  pool.release(shared);
  EXPECT_EQ(pool.free_count(), 4);
  std::set<uint8_t*> addresses;
  for (int i = 0; i < 4; ++i) addresses.insert(pool.address(pool.acquire()));
  EXPECT_EQ(addresses.size(), 4u);
  EXPECT_EQ(pool.acquire(), -1);
  EXPECT_TRUE(pool.check_integrity());
}

}  // namespace
}  // namespace fastserve
