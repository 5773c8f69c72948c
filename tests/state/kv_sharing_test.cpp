// Sharing of KV blocks: forks, copies before writes, promises; at random against sequences that are plain lists.
#include <gtest/gtest.h>

#include <cstring>
#include <memory>
#include <random>

#include "memory/budget.h"
#include "state/kv_cache.h"

namespace fastserve {
namespace {

using kernels::kKvBlockTokens;

constexpr int32_t kWindow = 40;
constexpr int32_t kRows = 24;

// A sequence and what its blocks must hold: one number for each token, written in every group.
struct Life {
  SequenceKv kv;
  std::vector<uint64_t> tokens;
  int32_t total = 0;  // admitted for
};

class KvSharingTest : public testing::Test {
 protected:
  KvCache create(const std::vector<int32_t>& windows, int32_t blocks, int64_t segment_bytes = 0) {
    KvLayout layout;
    for (const int32_t window : windows) layout.layers.push_back({2, 16, 16, window});
    const int64_t tokens = int64_t{blocks} * kKvBlockTokens;
    Result<KvCache> cache = KvCache::create(layout, memory_, KvCapacity{tokens, 0, segment_bytes});
    EXPECT_TRUE(cache.ok());
    return cache.take();
  }

  static uint8_t* slot(const SequenceKv::Group& held, int32_t position) {
    return held.addresses[static_cast<size_t>(position / kKvBlockTokens)] + (position % kKvBlockTokens) * 8;
  }

  // As the engine does: slots first, then the writes, then what the window no longer needs.
  bool append(KvCache& cache, Life& life, int32_t count) {
    const auto begin = static_cast<int32_t>(life.tokens.size());
    if (!cache.reserve(life.kv, begin + count)) return false;
    for (int32_t position = begin; position < begin + count; ++position) {
      life.tokens.push_back(++next_token_);
      for (const SequenceKv::Group& held : life.kv.groups) {
        std::memcpy(slot(held, position), &life.tokens.back(), sizeof(uint64_t));
      }
    }
    cache.drop_outside_window(life.kv, begin + count);
    return true;
  }

  // Whatever the next row can attend to is there and is its own.
  void check_contents(const KvCache& cache, const Life& life) {
    const auto count = static_cast<int32_t>(life.tokens.size());
    ASSERT_EQ(life.kv.token_count, count);
    for (int32_t group = 0; group < cache.group_count() && count > 0; ++group) {
      const int32_t window = cache.window(group);
      const int32_t first = window == 0 ? 0 : std::max(0, count - window + 1);
      for (int32_t position = first; position < count; ++position) {
        uint64_t found = 0;
        const SequenceKv::Group& held = life.kv.groups[static_cast<size_t>(group)];
        ASSERT_NE(held.addresses[static_cast<size_t>(position / kKvBlockTokens)], nullptr);
        std::memcpy(&found, slot(held, position), sizeof(found));
        ASSERT_EQ(found, life.tokens[static_cast<size_t>(position)]) << "group " << group << " token " << position;
      }
    }
  }

  void check_all(const KvCache& cache, const std::vector<std::unique_ptr<Life>>& lives) {
    std::vector<const SequenceKv*> sequences;
    for (const auto& life : lives) sequences.push_back(&life->kv);
    ASSERT_TRUE(cache.check_integrity(sequences));
    for (const auto& life : lives) check_contents(cache, *life);
  }

  LimitResource memory_{page_memory(), 0};
  uint64_t next_token_ = 0;
};

TEST_F(KvSharingTest, AForkTakesNoBlockUntilItIsWritten) {
  KvCache cache = create({0}, 20);
  Life parent, child;
  ASSERT_TRUE(cache.admit(parent.kv, 100, kRows));
  ASSERT_TRUE(append(cache, parent, 24));
  ASSERT_TRUE(append(cache, parent, 16));  // 2 full blocks and a half
  cache.suspend(parent.kv);
  EXPECT_EQ(cache.pool(0).promised_count(), 0);
  ASSERT_EQ(cache.fork(parent.kv, child.kv, 40), 40);
  child.tokens = parent.tokens;
  EXPECT_EQ(cache.pool(0).used_count(), 3);

  ASSERT_TRUE(cache.admit(child.kv, 96, kRows));
  EXPECT_EQ(cache.pool(0).promised_count(), 4);  // 6 blocks, 2 of them shared for good
  ASSERT_TRUE(append(cache, child, 1));
  EXPECT_EQ(cache.pool(0).used_count(), 4);  // the copied tail
  EXPECT_EQ(cache.pool(0).reference_count(parent.kv.groups[0].blocks[0]), 2u);
  EXPECT_EQ(cache.pool(0).reference_count(parent.kv.groups[0].blocks[2]), 1u);
  check_contents(cache, parent);
  check_contents(cache, child);

  // The parent is the tail's only holder now: it writes in place.
  ASSERT_TRUE(cache.admit(parent.kv, 100, kRows));
  ASSERT_TRUE(append(cache, parent, 8));
  EXPECT_EQ(cache.pool(0).used_count(), 4);
  check_contents(cache, child);
  cache.release(parent.kv);
  EXPECT_EQ(cache.pool(0).used_count(), 3);
  check_contents(cache, child);
  cache.release(child.kv);
  EXPECT_EQ(cache.usage().used_bytes, 0);
  EXPECT_TRUE(cache.check_integrity(std::span<const SequenceKv* const>()));
}

TEST_F(KvSharingTest, TruncatedIntoASharedBlockIsCopiedBeforeTheNextWrite) {
  KvCache cache = create({0}, 20);
  Life parent, child;
  ASSERT_TRUE(cache.admit(parent.kv, 64, kRows));
  ASSERT_TRUE(append(cache, parent, 20));
  ASSERT_TRUE(append(cache, parent, 20));
  cache.suspend(parent.kv);
  ASSERT_EQ(cache.fork(parent.kv, child.kv, 1000), 40);
  child.tokens = parent.tokens;
  EXPECT_EQ(cache.truncate(child.kv, 10), 10);
  child.tokens.resize(10);
  ASSERT_TRUE(cache.admit(child.kv, 64, kRows));
  ASSERT_TRUE(append(cache, child, 3));
  check_contents(cache, parent);
  check_contents(cache, child);
  EXPECT_NE(child.kv.groups[0].blocks[0], parent.kv.groups[0].blocks[0]);
}

TEST_F(KvSharingTest, SharedBlocksArePromisedOnce) {
  KvCache cache = create({0}, 10);
  Life prompt, first, second, third;
  ASSERT_TRUE(cache.admit(prompt.kv, 6 * kKvBlockTokens, kRows));
  for (int i = 0; i < 4; ++i) ASSERT_TRUE(append(cache, prompt, 24));
  cache.suspend(prompt.kv);
  for (Life* life : {&first, &second, &third}) ASSERT_EQ(cache.fork(prompt.kv, life->kv, 96), 96);
  ASSERT_TRUE(cache.admit(first.kv, 8 * kKvBlockTokens, kRows));
  ASSERT_TRUE(cache.admit(second.kv, 8 * kKvBlockTokens, kRows));
  EXPECT_FALSE(cache.admit(third.kv, 7 * kKvBlockTokens, kRows));  // 6 + 2 + 2 are all there are
  EXPECT_EQ(third.kv.token_count, 96);
  EXPECT_TRUE(cache.check_integrity());
  cache.release(prompt.kv);  // the others hold its blocks still
  EXPECT_FALSE(cache.admit(third.kv, 7 * kKvBlockTokens, kRows));
  cache.suspend(first.kv);
  EXPECT_TRUE(cache.admit(third.kv, 7 * kKvBlockTokens, kRows));
}

// The sequences of one request: admitted before there is anything to share, forked while all of them run.
TEST_F(KvSharingTest, RunningSequencesForkWithinTheirPromise) {
  constexpr int32_t kPrompt = 40, kTotal = 80;  // 5 blocks each, 2 of them shared
  KvCache cache = create({0}, 5 + 3 * 3);
  std::vector<std::unique_ptr<Life>> beams;
  for (int i = 0; i < 4; ++i) {
    beams.push_back(std::make_unique<Life>());
    ASSERT_TRUE(cache.admit(beams.back()->kv, kTotal, kRows, {i == 0 ? 0 : kPrompt, false}));
  }
  EXPECT_EQ(cache.pool(0).unpromised_count(), 0);
  ASSERT_TRUE(append(cache, *beams[0], 24));
  ASSERT_TRUE(append(cache, *beams[0], 16));
  auto fork = [&](size_t from, size_t to) {
    ASSERT_EQ(cache.fork(beams[from]->kv, beams[to]->kv, beams[from]->kv.token_count), beams[from]->kv.token_count);
    beams[to]->tokens = beams[from]->tokens;
  };
  for (size_t i = 1; i < 4; ++i) fork(0, i);
  check_all(cache, beams);
  std::mt19937 random(5);
  for (int32_t length = kPrompt; length < kTotal; ++length) {
    for (auto& beam : beams) ASSERT_TRUE(append(cache, *beam, 1)) << length;
    const size_t from = random() % 4, to = random() % 4;
    if (from != to) fork(from, to);
    check_all(cache, beams);
  }
  cache.release(beams[0]->kv);  // the first may end before the others
  beams.erase(beams.begin());
  check_all(cache, beams);
  for (auto& beam : beams) cache.release(beam->kv);
  EXPECT_EQ(cache.usage().used_bytes, 0);
  EXPECT_EQ(cache.pool(0).unpromised_count(), 14);
}

TEST_F(KvSharingTest, AWindowHonoursWhatItStillHas) {
  KvCache cache = create({0, kWindow}, 40);
  Life life, child;
  ASSERT_TRUE(cache.admit(life.kv, 200, kRows));
  for (int i = 0; i < 5; ++i) ASSERT_TRUE(append(cache, life, 24));
  cache.suspend(life.kv);
  EXPECT_EQ(cache.reusable_prefix(life.kv, 120), 120);
  EXPECT_EQ(cache.reusable_prefix(life.kv, 119), 119);
  EXPECT_EQ(cache.reusable_prefix(life.kv, 60), 0);
  EXPECT_EQ(cache.fork(life.kv, child.kv, 60), 0);
  EXPECT_EQ(child.kv.token_count, 0);
  ASSERT_EQ(cache.fork(life.kv, child.kv, 119), 119);
  child.tokens.assign(life.tokens.begin(), life.tokens.begin() + 119);
  check_contents(cache, child);
  // Both go on and drop what they share, each on its own.
  for (Life* each : {&life, &child}) ASSERT_TRUE(cache.admit(each->kv, 300, kRows));
  for (int i = 0; i < 6; ++i) {
    for (Life* each : {&life, &child}) ASSERT_TRUE(append(cache, *each, 24));
  }
  check_contents(cache, life);
  check_contents(cache, child);
  const SequenceKv* sequences[] = {&life.kv, &child.kv};
  EXPECT_TRUE(cache.check_integrity(sequences));
}

TEST_F(KvSharingTest, RewindingIntoSharedBlocksNeedsItsOwnPromise) {
  KvCache cache = create({0}, 9);
  Life parent, child;
  ASSERT_TRUE(cache.admit(parent.kv, 64, kRows));
  for (int i = 0; i < 4; ++i) ASSERT_TRUE(append(cache, parent, 16));
  cache.suspend(parent.kv);
  ASSERT_EQ(cache.fork(parent.kv, child.kv, 64), 64);
  EXPECT_FALSE(cache.admit(child.kv, 96, kRows, {0, true}));  // 4 shared and 6 of its own
  ASSERT_TRUE(cache.admit(child.kv, 80, kRows, {0, true}));   // 4 and 5: just fits
  EXPECT_EQ(cache.truncate(child.kv, 0), 0);
  for (int i = 0; i < 5; ++i) ASSERT_TRUE(append(cache, child, 16));
  cache.release(child.kv);
  child.tokens.clear();
  // Without that promise it is a matter of what is left.
  ASSERT_EQ(cache.fork(parent.kv, child.kv, 64), 64);
  ASSERT_TRUE(cache.admit(child.kv, 96, kRows));
  Life other;
  ASSERT_TRUE(cache.admit(other.kv, 32, kRows));  // 4, 2 and 2 of 9
  EXPECT_EQ(cache.truncate(child.kv, 32), 32);
  EXPECT_TRUE(cache.reserve(child.kv, 80));
  EXPECT_FALSE(cache.reserve(child.kv, 96));
  EXPECT_TRUE(cache.check_integrity());
}

// A running sequence that is forked into an idle one: what it has already is pinned for both, once.
TEST_F(KvSharingTest, ForkOfARunningSequence) {
  KvCache cache = create({0}, 7);
  Life life, child;
  ASSERT_TRUE(cache.admit(life.kv, 6 * kKvBlockTokens, kRows));
  for (int i = 0; i < 3; ++i) ASSERT_TRUE(append(cache, life, 24));  // 4 full blocks and a half
  ASSERT_EQ(cache.fork(life.kv, child.kv, 64), 64);
  EXPECT_EQ(cache.pool(0).unpromised_count(), 1);
  ASSERT_EQ(cache.fork(life.kv, child.kv, 72), 72);  // the tail is pinned beside its promise
  EXPECT_EQ(cache.pool(0).unpromised_count(), 0);
  child.tokens = life.tokens;
  ASSERT_TRUE(append(cache, life, 24));
  check_contents(cache, child);
  check_contents(cache, life);
  const SequenceKv* sequences[] = {&life.kv, &child.kv};
  EXPECT_TRUE(cache.check_integrity(sequences));
}

class RandomSharing : public KvSharingTest {
 protected:
  size_t pick() { return random_() % lives_.size(); }
  int32_t below(int32_t limit) { return static_cast<int32_t>(random_() % static_cast<uint32_t>(limit)); }

  void begin(KvCache& cache) {
    auto life = std::make_unique<Life>();
    life->total = 1 + below(260);
    const KvSharing sharing{0, random_() % 2 == 0};
    bool admitted = cache.admit(life->kv, life->total, kRows, sharing);
    if (!admitted && random_() % 4 == 0) admitted = admit_for_others(cache, *life, sharing);
    if (admitted) lives_.push_back(std::move(life));
  }
  // Idle ones give way where that helps; those that still have room keep what they had.
  bool admit_for_others(KvCache& cache, Life& life, const KvSharing& sharing) {
    const bool may_fit = cache.could_admit(life.total, kRows);
    int32_t others_pinned = 0;
    for (const auto& other : lives_) {
      if (!other->kv.admitted) cache.loosen(other->kv);
    }
    for (int32_t group = 0; group < cache.group_count(); ++group) others_pinned += cache.pool(group).pinned_count();
    const bool admitted = cache.admit(life.kv, life.total, kRows, sharing);
    EXPECT_TRUE(may_fit || !admitted);
    EXPECT_TRUE(admitted || !may_fit || others_pinned > 0);
    for (const auto& other : lives_) {
      if (other->kv.admitted || cache.hold_again(other->kv)) continue;
      EXPECT_TRUE(admitted) << "nothing changed, so there is room as before";
      cache.release(other->kv);
      other->tokens.clear();
    }
    return admitted;
  }
  void fork(KvCache& cache) {
    auto life = std::make_unique<Life>();
    Life& source = *lives_[pick()];
    const int32_t wanted = below(static_cast<int32_t>(source.tokens.size()) + 1);
    bool admitted = false;
    if (random_() % 2 == 0) {
      life->total = wanted + 1 + below(100);
      const KvSharing sharing{wanted, random_() % 2 == 0};
      admitted = cache.admit(life->kv, life->total, kRows, sharing);
    }
    const bool must = !admitted && !source.kv.admitted;
    const int32_t kept = cache.fork(source.kv, life->kv, wanted);
    ASSERT_TRUE(kept == 0 || kept == wanted);
    if (must) {
      ASSERT_EQ(kept, cache.reusable_prefix(source.kv, wanted)) << "an idle source is always shared";
    }
    life->tokens.assign(source.tokens.begin(), source.tokens.begin() + kept);
    if (admitted && kept < wanted) {  // its promise counted on the fork
      cache.release(life->kv);
    } else {
      lives_.push_back(std::move(life));
    }
  }
  void change(KvCache& cache, Life& life) {
    const auto count = static_cast<int32_t>(life.tokens.size());
    if (life.kv.admitted) {
      if (random_() % 8 == 0) return cache.suspend(life.kv);
      if (life.kv.may_rewind && random_() % 6 == 0) return truncate(cache, life, below(count + 1));
      const int32_t rows = std::min(life.total - count, below(kRows + 1));
      if (rows > 0) {
        ASSERT_TRUE(append(cache, life, rows)) << "within its promise";
      }
      return;
    }
    if (random_() % 3 == 0) truncate(cache, life, below(count + 1));
    const int32_t total = life.kv.token_count + 1 + below(80);
    if (cache.admit(life.kv, total, kRows, {0, random_() % 2 == 0})) life.total = total;
  }
  // Memory goes, as far as what is promised and held allows, or comes back. Whoever is not told of moves keeps what it
  // has where it is.
  void resize(KvCache& cache, const KvDemand& floor, bool tells_all) {
    if (random_() % 3 == 0) {
      const bool was_complete = cache.is_complete();
      ASSERT_NE(cache.grow(), was_complete);
      return;
    }
    KvHolders holders;
    for (const auto& life : lives_) {
      if (tells_all || random_() % 2 == 0) holders.sequences.push_back(&life->kv);
    }
    int32_t largest = 0;
    for (int32_t group = 0; group < cache.group_count(); ++group) {
      const BlockPool& pool = cache.pool(group);
      const int32_t above = pool.block_count() - floor.blocks[static_cast<size_t>(group)];
      largest = std::max(largest, std::min(above, pool.unpromised_count()));
    }
    const uint64_t before = memory_.stats().used_bytes;
    const bool has_shrunk = cache.shrink(floor, holders);
    ASSERT_EQ(has_shrunk, memory_.stats().used_bytes < before);
    ASSERT_EQ(memory_.stats().used_bytes, static_cast<uint64_t>(cache.usage().total_bytes));
    if (tells_all && largest >= cache.pool(0).segment_blocks()) {
      ASSERT_TRUE(has_shrunk);
    }
    for (int32_t group = 0; group < cache.group_count(); ++group) {
      ASSERT_GE(cache.pool(group).block_count(), floor.blocks[static_cast<size_t>(group)]);
    }
    shrunk_count_ += has_shrunk ? 1 : 0;
  }

  static void truncate(KvCache& cache, Life& life, int32_t count) {
    const int32_t promised = cache.reusable_prefix(life.kv, count);
    ASSERT_EQ(cache.truncate(life.kv, count), promised);
    life.tokens.resize(static_cast<size_t>(promised));
  }

  void live(bool resizes) {
    for (const int32_t blocks : {24, 70}) {
      KvCache cache = create({0, kWindow, 0}, blocks, resizes ? 1 << 14 : 0);
      const KvDemand floor{{blocks / 6, blocks / 8}};
      for (int round = 0; round < 4000; ++round) {
        if (lives_.size() < 9 && random_() % 3 == 0) begin(cache);
        if (!lives_.empty() && lives_.size() < 9 && random_() % 3 == 0) fork(cache);
        if (lives_.empty()) continue;
        change(cache, *lives_[pick()]);
        if (random_() % 12 == 0) {
          const size_t index = pick();
          cache.release(lives_[index]->kv);
          lives_.erase(lives_.begin() + static_cast<std::ptrdiff_t>(index));
        }
        if (resizes && random_() % 4 == 0) resize(cache, floor, random_() % 2 == 0);
        if (HasFatalFailure()) return;
        check_all(cache, lives_);
        if (HasFatalFailure()) FAIL() << "round " << round << " with " << blocks << " blocks";
      }
      for (auto& life : lives_) cache.release(life->kv);
      lives_.clear();
      EXPECT_EQ(cache.usage().used_bytes, 0);
      EXPECT_TRUE(cache.check_integrity(std::span<const SequenceKv* const>()));
    }
  }
  std::mt19937 random_{7};
  int32_t shrunk_count_ = 0;
  std::vector<std::unique_ptr<Life>> lives_;
};

TEST_F(RandomSharing, ContentsAndCountsHold) { live(false); }

TEST_F(RandomSharing, ContentsAndCountsHoldWhileMemoryComesAndGoes) {
  live(true);
  EXPECT_GT(shrunk_count_, 200);
}

}  // namespace
}  // namespace fastserve
