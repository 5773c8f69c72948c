// The prefix tree against a model of it: random texts over few tokens come, are computed, end and are found again, with
// and without a window, in a pool that is too small for all.
#include "state/prefix_tree.h"

#include <gtest/gtest.h>

#include <cstring>
#include <map>
#include <random>

#include "memory/budget.h"

namespace fastserve {
namespace {

using kernels::kKvBlockTokens;
using Text = std::vector<int32_t>;

class PrefixTreeTest : public testing::TestWithParam<int32_t> {
 protected:
  PrefixTreeTest() {
    KvLayout layout;
    layout.layers.push_back({2, 16, 16, 0});
    if (GetParam() > 0) layout.layers.push_back({2, 16, 16, GetParam()});
    Result<KvCache> created = KvCache::create(layout, page_memory(), kBlocks * kKvBlockTokens);
    EXPECT_TRUE(created.ok());
    kv_ = created.take();
    tree_.reserve(kv_);
  }

  // A number that depends on the whole text up to a position, as keys and values do.
  static uint64_t value_at(const Text& text, size_t position) {
    uint64_t value = 1469598103934665603ULL;
    for (size_t i = 0; i <= position; ++i) value = (value ^ static_cast<uint32_t>(text[i])) * 1099511628211ULL;
    return value;
  }
  static uint8_t* slot(const SequenceKv::Group& held, size_t position) {
    return held.addresses[position / kKvBlockTokens] + position % kKvBlockTokens * sizeof(uint64_t);
  }

  // Computes `text` from `begin` on, in steps, checking on the way that what it began with is what it would have
  // computed.
  void compute(SequenceKv& kv, const Text& text, size_t begin) {
    for (int32_t group = 0; group < kv_.group_count(); ++group) {
      const int32_t window = kv_.window(group);
      const size_t first =
          window == 0 || begin < static_cast<size_t>(window) ? 0 : begin - static_cast<size_t>(window) + 1;
      for (size_t position = first; position < begin; ++position) {
        uint64_t found = 0;
        ASSERT_NE(kv.groups[static_cast<size_t>(group)].addresses[position / kKvBlockTokens], nullptr);
        std::memcpy(&found, slot(kv.groups[static_cast<size_t>(group)], position), sizeof(found));
        ASSERT_EQ(found, value_at(text, position));
      }
    }
    constexpr size_t kStep = 20;
    for (size_t done = begin; done < text.size(); done = std::min(done + kStep, text.size())) {
      const size_t end = std::min(done + kStep, text.size());
      ASSERT_TRUE(kv_.reserve(kv, static_cast<int32_t>(end)));
      for (size_t position = done; position < end; ++position) {
        const uint64_t value = value_at(text, position);
        for (const SequenceKv::Group& held : kv.groups) std::memcpy(slot(held, position), &value, sizeof(value));
      }
      kv_.drop_outside_window(kv, static_cast<int32_t>(end));
    }
  }

  bool admit(SequenceKv& kv, size_t tokens) {
    for (;;) {
      if (kv_.admit(kv, static_cast<int32_t>(tokens), 20)) return true;
      if (!tree_.evict(kv_)) return false;
    }
  }

  void check() {
    std::vector<SequenceKv> held;
    tree_.collect(kv_, held);
    std::vector<const SequenceKv*> all;
    for (const SequenceKv& kv : held) all.push_back(&kv);
    for (const auto& [kv, text] : running_) all.push_back(kv.get());
    ASSERT_TRUE(kv_.check_integrity(all));
    ASSERT_TRUE(tree_.check_integrity());
  }

  static constexpr int64_t kBlocks = 40;
  KvCache kv_;
  PrefixTree tree_;
  std::vector<std::pair<std::unique_ptr<SequenceKv>, Text>> running_;
};

TEST_P(PrefixTreeTest, RandomTextsFindTheirOwn) {
  std::mt19937 random(11);
  for (int round = 0; round < 1500; ++round) {
    if (running_.size() < 3 && random() % 2 == 0) {
      Text text;
      const size_t size = 1 + random() % 180;
      // Few different blocks, so that prefixes meet.
      while (text.size() < size) text.insert(text.end(), kKvBlockTokens, static_cast<int32_t>(random() % 2));
      text.resize(size);
      if (random() % 3 == 0) text.back() = 7;
      auto kv = std::make_unique<SequenceKv>();
      const int32_t matched = tree_.match(kv_, text, static_cast<int32_t>(size) - 1);
      const int32_t lent = tree_.lend(kv_, text, static_cast<int32_t>(size) - 1, *kv);
      ASSERT_EQ(lent, matched);
      ASSERT_LT(static_cast<size_t>(lent), size);
      if (!admit(*kv, size)) {
        kv_.release(*kv);
        continue;
      }
      compute(*kv, text, static_cast<size_t>(lent));
      running_.emplace_back(std::move(kv), text);
    } else if (!running_.empty()) {
      const size_t index = random() % running_.size();
      auto& [kv, text] = running_[index];
      kv_.suspend(*kv);
      tree_.insert(kv_, *kv, text);
      kv_.release(*kv);
      running_.erase(running_.begin() + static_cast<std::ptrdiff_t>(index));
    } else {
      tree_.evict(kv_);
    }
    check();
    if (HasFatalFailure()) return;
  }
  const PrefixTree::Usage usage = tree_.usage();
  EXPECT_GT(usage.hit_count, 100u);
  EXPECT_GT(usage.evicted_count, 100u);
  while (!running_.empty()) {
    kv_.release(*running_.back().first);
    running_.pop_back();
  }
  while (tree_.evict(kv_)) {
  }
  EXPECT_EQ(kv_.usage().free_count, kv_.usage().block_count);
  EXPECT_EQ(kv_.pool(0).pinned_count(), 0);
}

INSTANTIATE_TEST_SUITE_P(Windows, PrefixTreeTest, testing::Values(0, 16, 40));

class PlainPrefixTreeTest : public PrefixTreeTest {};
INSTANTIATE_TEST_SUITE_P(Windows, PlainPrefixTreeTest, testing::Values(0));

TEST_P(PlainPrefixTreeTest, TheOldestLeafGoesFirst) {
  auto keep = [&](const Text& text) {
    SequenceKv kv;
    ASSERT_TRUE(kv_.admit(kv, static_cast<int32_t>(text.size()), 20));
    compute(kv, text, 0);
    kv_.suspend(kv);
    tree_.insert(kv_, kv, text);
    kv_.release(kv);
  };
  const Text root(16, 1);
  Text left = root, right = root;
  left.insert(left.end(), 16, 2);
  right.insert(right.end(), 16, 3);
  keep(left);
  keep(right);
  EXPECT_EQ(tree_.usage().node_count, 3);  // the root is shared, and so is its block
  EXPECT_EQ(kv_.pool(0).used_count(), 3);
  auto found = [&](const Text& text) { return tree_.match(kv_, text, 32); };
  EXPECT_EQ(found(left), 32);
  SequenceKv user;
  EXPECT_EQ(tree_.lend(kv_, left, 32, user), 32);  // now right is the older one
  EXPECT_TRUE(tree_.evict(kv_));
  EXPECT_EQ(found(left), 32);
  EXPECT_EQ(found(right), 16);
  EXPECT_TRUE(tree_.evict(kv_));
  EXPECT_TRUE(tree_.evict(kv_));
  EXPECT_FALSE(tree_.evict(kv_));
  EXPECT_EQ(kv_.pool(0).used_count(), 2);  // who has them keeps them
  kv_.release(user);
  EXPECT_EQ(kv_.pool(0).used_count(), 0);
  EXPECT_EQ(found(left), 0);
}

TEST_P(PlainPrefixTreeTest, WithoutRoomItStaysEmpty) {
  PrefixTree off;
  SequenceKv kv;
  const Text text(40, 1);
  ASSERT_TRUE(kv_.admit(kv, 40, 20));
  compute(kv, text, 0);
  kv_.suspend(kv);
  off.insert(kv_, kv, text);
  SequenceKv other;
  EXPECT_EQ(off.lend(kv_, text, 39, other), 0);
  EXPECT_FALSE(off.evict(kv_));
  kv_.release(kv);
  EXPECT_EQ(kv_.pool(0).used_count(), 0);
}

}  // namespace
}  // namespace fastserve
