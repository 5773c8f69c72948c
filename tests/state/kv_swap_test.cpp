// KvSwap: what comes back from the file is what was written, whatever happens to sequences and file meanwhile.
#include "state/kv_swap.h"

#include <gtest/gtest.h>

#include <cstring>
#include <map>
#include <memory>
#include <random>

namespace fastserve {
namespace {

using kernels::kKvBlockTokens;

// A file in memory that can fail and lie.
class FakeFile final : public os::ScratchFile {
 public:
  Status write_at(uint64_t offset, const void* data, size_t size) override {
    if (during) during();
    if (fails_writing) return Status(StatusCode::kIo, "the disk is full");
    if (bytes.size() < offset + size) bytes.resize(offset + size);
    std::memcpy(bytes.data() + offset, data, size);
    return {};
  }
  Status read_at(uint64_t offset, void* data, size_t size) override {
    if (during) during();
    if (fails_reading) return Status(StatusCode::kIo, "the disk is gone");
    if (bytes.size() < offset + size) return Status(StatusCode::kCorrupt, "was cut");
    std::memcpy(data, bytes.data() + offset, size);
    return {};
  }
  std::vector<uint8_t> bytes;
  bool fails_writing = false, fails_reading = false;
  std::function<void()> during;  // without the owner's mutex
};

struct Text {
  SequenceKv kv;
  SwappedKv swapped;
  std::vector<uint64_t> tokens;
};

class KvSwapTest : public testing::Test {
 protected:
  void create(const std::vector<int32_t>& windows, uint64_t slots = 64, int32_t blocks = 64) {
    KvLayout layout;
    for (const int32_t window : windows) layout.layers.push_back({2, 16, 16, window});
    cache_ = std::make_unique<KvCache>(KvCache::create(layout, memory_, int64_t{blocks} * kKvBlockTokens).take());
    auto file = std::make_unique<FakeFile>();
    file_ = file.get();
    const auto slot = static_cast<uint64_t>(cache_->slot_bytes());
    swap_ = KvSwap::create(std::move(file), slots * slot, 3 * slot, 16, memory_).take();
  }
  std::unique_ptr<Text> begin(int32_t tokens_max) {
    auto text = std::make_unique<Text>();
    text->swapped.cache = cache_.get();
    text->swapped.kv = &text->kv;
    EXPECT_TRUE(cache_->admit(text->kv, tokens_max, 8));
    return text;
  }
  uint8_t* slot_of(Text& text, size_t group, size_t token) {
    return text.kv.groups[group].addresses[token / kKvBlockTokens] + (token % kKvBlockTokens) * 8;
  }
  void append(Text& text, int32_t count) {
    for (int32_t i = 0; i < count; ++i) {
      const auto position = text.tokens.size();
      ASSERT_TRUE(cache_->reserve(text.kv, static_cast<int32_t>(position) + 1));
      text.tokens.push_back(++next_);
      for (size_t group = 0; group < text.kv.groups.size(); ++group) {
        std::memcpy(slot_of(text, group, position), &next_, sizeof(next_));
      }
      cache_->drop_outside_window(text.kv, static_cast<int32_t>(position) + 1);
    }
  }
  void expect_contents(Text& text) {
    for (int32_t group = 0; group < cache_->group_count(); ++group) {
      const auto count = static_cast<int32_t>(text.tokens.size());
      const int32_t window = cache_->window(group);
      for (int32_t i = window == 0 ? 0 : std::max(0, count - window + 1); i < count; ++i) {
        uint64_t found = 0;
        std::memcpy(&found, slot_of(text, static_cast<size_t>(group), static_cast<size_t>(i)), sizeof(found));
        ASSERT_EQ(found, text.tokens[static_cast<size_t>(i)]) << "group " << group << " token " << i;
      }
    }
  }
  // Works until the text has no work left; how that ended.
  Status finish(Text& text) {
    std::unique_lock lock(mutex_);
    while (text.swapped.work != SwappedKv::Work::kNone) {
      KvSwap::Ended ended = swap_->work_once(lock);
      if (ended.entry == &text.swapped) return ended.status;
    }
    return {};
  }
  // Loses its blocks and has them back; how many tokens.
  int32_t restore(Text& text, int32_t tokens_max) {
    cache_->release(text.kv);
    const int32_t count = KvSwap::usable_tokens(text.swapped);
    EXPECT_TRUE(cache_->admit(text.kv, tokens_max, 8));
    if (count == 0) {
      swap_->forget(text.swapped);  // what is computed instead is another text's here
      return 0;
    }
    cache_->make_slots(text.kv, count);
    EXPECT_TRUE(swap_->load(text.swapped, count));
    if (!finish(text).ok()) {
      EXPECT_EQ(cache_->truncate(text.kv, 0), 0);
      return 0;
    }
    text.tokens.resize(static_cast<size_t>(count));
    return count;
  }
  LimitResource memory_{page_memory(), 0};
  std::unique_ptr<KvCache> cache_;
  FakeFile* file_ = nullptr;
  std::unique_ptr<KvSwap> swap_;
  std::mutex mutex_;
  uint64_t next_ = 0;
};

TEST_F(KvSwapTest, BringsWholeBlocksBack) {
  create({0});
  const auto text = begin(200);
  append(*text, 75);
  ASSERT_TRUE(swap_->save(text->swapped, 75, 200));
  ASSERT_TRUE(finish(*text).ok());
  EXPECT_EQ(KvSwap::usable_tokens(text->swapped), 64);
  append(*text, 30);
  ASSERT_TRUE(swap_->save(text->swapped, 105, 200));  // only what is new is written
  const uint64_t before = swap_->usage().written_bytes;
  ASSERT_TRUE(finish(*text).ok());
  EXPECT_EQ(swap_->usage().written_bytes - before, 2u * static_cast<uint64_t>(cache_->slot_bytes()));
  std::memset(cache_->first_segment()->data(), 0, cache_->first_segment()->size_bytes());
  EXPECT_EQ(restore(*text, 200), 96);
  expect_contents(*text);
  append(*text, 20);
  expect_contents(*text);
  cache_->release(text->kv);
  swap_->forget(text->swapped);
  EXPECT_EQ(swap_->usage().used_bytes, 0u);
}

TEST_F(KvSwapTest, SavingAtOnceGoesBeforeOthersAndOnlyWhereSomethingIsNew) {
  create({0});
  const auto first = begin(100), second = begin(100), third = begin(100);
  for (const auto* text : {&first, &second, &third}) append(**text, 40);
  ASSERT_TRUE(swap_->save(first->swapped, 40, 100));
  ASSERT_TRUE(swap_->save(second->swapped, 40, 100));
  std::unique_lock lock(mutex_);
  ASSERT_TRUE(swap_->save_now(third->swapped, 40, 100, lock).ok());
  EXPECT_EQ(KvSwap::usable_tokens(third->swapped), 32);
  EXPECT_EQ(KvSwap::usable_tokens(first->swapped), 0);
  const uint64_t written = swap_->usage().written_bytes;
  ASSERT_TRUE(swap_->save_now(third->swapped, 40, 100, lock).ok());  // the others wait as they did
  EXPECT_EQ(swap_->usage().written_bytes, written);
  lock.unlock();
  ASSERT_TRUE(finish(*first).ok());
  EXPECT_EQ(KvSwap::usable_tokens(second->swapped), 0);
  ASSERT_TRUE(finish(*second).ok());
  lock.lock();
  ASSERT_TRUE(swap_->save_now(third->swapped, 40, 100, lock).ok());  // an empty queue
  EXPECT_EQ(swap_->usage().written_bytes, 3 * written);
}

TEST_F(KvSwapTest, AWindowIsThereOrNothingIs) {
  create({0, 40});
  const auto text = begin(400);
  append(*text, 120);  // blocks before 5 are dropped: those that 112 tokens need are not all there
  ASSERT_TRUE(swap_->save(text->swapped, 120, 400));
  ASSERT_TRUE(finish(*text).ok());
  EXPECT_EQ(KvSwap::usable_tokens(text->swapped), 0);
  append(*text, 24);  // written as it goes: 144 tokens see back to 105, in block 6
  ASSERT_TRUE(swap_->save(text->swapped, 144, 400));
  ASSERT_TRUE(finish(*text).ok());
  EXPECT_EQ(KvSwap::usable_tokens(text->swapped), 144);
  EXPECT_EQ(restore(*text, 400), 144);
  expect_contents(*text);
  append(*text, 60);
  expect_contents(*text);
}

TEST_F(KvSwapTest, DamageIsFoundAndFailuresAreToldOf) {
  create({0});
  const auto text = begin(200);
  append(*text, 100);
  for (const char* what : {"a flipped byte", "a failed read", "a cut file"}) {
    ASSERT_TRUE(swap_->save(text->swapped, 96, 200));
    ASSERT_TRUE(finish(*text).ok());
    if (std::string(what) == "a flipped byte") file_->bytes[file_->bytes.size() / 2] ^= 16;
    if (std::string(what) == "a failed read") file_->fails_reading = true;
    if (std::string(what) == "a cut file") file_->bytes.resize(file_->bytes.size() - 1);
    const uint64_t failures = swap_->usage().failure_count;
    EXPECT_EQ(restore(*text, 200), 0) << what;
    EXPECT_EQ(swap_->usage().failure_count, failures + 1) << what;
    EXPECT_EQ(swap_->usage().used_bytes, 0u) << what;
    EXPECT_TRUE(cache_->check_integrity());
    file_->fails_reading = false;
    text->tokens.clear();
    append(*text, 100);
  }
}

TEST_F(KvSwapTest, AFullDiskIsGivenUpOn) {
  create({0});
  const auto text = begin(200);
  append(*text, 100);
  file_->fails_writing = true;
  for (int i = 0; i < 3; ++i) {
    ASSERT_TRUE(swap_->save(text->swapped, 96, 200));
    EXPECT_EQ(finish(*text).code(), StatusCode::kIo);
    EXPECT_EQ(swap_->usage().used_bytes, 0u);
    EXPECT_EQ(KvSwap::usable_tokens(text->swapped), 0);
  }
  EXPECT_FALSE(swap_->save(text->swapped, 96, 200));
  expect_contents(*text);
}

TEST_F(KvSwapTest, APlaceIsTakenOnceAndGivenBack) {
  create({0}, 10);
  const auto a = begin(64), b = begin(64), c = begin(64);
  for (Text* text : {a.get(), b.get(), c.get()}) append(*text, 64);
  ASSERT_TRUE(swap_->save(a->swapped, 64, 64));
  ASSERT_TRUE(swap_->save(b->swapped, 64, 64));
  EXPECT_FALSE(swap_->save(c->swapped, 64, 64)) << "two places of ten slots are left";
  // One is forgotten while its piece is being written: its place is another's only after that.
  std::unique_lock lock(mutex_);
  file_->during = [&] {
    const std::lock_guard other(mutex_);
    swap_->forget(a->swapped);
    EXPECT_FALSE(swap_->save(c->swapped, 64, 64));
    file_->during = nullptr;
  };
  EXPECT_EQ(swap_->work_once(lock).entry, nullptr);
  EXPECT_TRUE(swap_->save(c->swapped, 64, 64));
  lock.unlock();
  ASSERT_TRUE(finish(*b).ok());
  ASSERT_TRUE(finish(*c).ok());
  for (Text* text : {b.get(), c.get()}) {
    EXPECT_EQ(restore(*text, 64), 64);
    expect_contents(*text);
    swap_->forget(text->swapped);
  }
  EXPECT_EQ(swap_->usage().used_bytes, 0u);
}

// Sequences grow, are saved in part, lose their blocks, come back, end in the middle of a piece; pools shrink and grow.
TEST_F(KvSwapTest, RandomLivesKeepTheirContents) {
  for (const bool has_window : {false, true}) {
    create(has_window ? std::vector<int32_t>{0, 40} : std::vector<int32_t>{0}, 40, 90);
    std::mt19937 random(3);
    auto below = [&](uint32_t limit) { return static_cast<int32_t>(random() % limit); };
    std::vector<std::unique_ptr<Text>> texts;
    constexpr int32_t kTokensMax = 200;
    int restored = 0;
    for (int round = 0; round < 3000; ++round) {
      if (texts.size() < 5) texts.push_back(begin(kTokensMax));
      const size_t index = random() % texts.size();
      Text& text = *texts[index];
      if (text.swapped.work != SwappedKv::Work::kLoad && text.tokens.size() < kTokensMax - 20) append(text, below(20));
      if (below(3) == 0) (void)swap_->save(text.swapped, static_cast<int32_t>(text.tokens.size()), kTokensMax);
      const bool ends = below(20) == 0 || text.tokens.size() > kTokensMax - 20;
      if (ends && below(2) == 0) {
        file_->during = [&] {
          const std::lock_guard other(mutex_);
          swap_->forget(text.swapped);
          file_->during = nullptr;
        };
      }
      {
        std::unique_lock lock(mutex_);
        (void)swap_->work_once(lock);
        file_->during = nullptr;
      }
      if (ends) {
        swap_->forget(text.swapped);
        cache_->release(text.kv);
        texts.erase(texts.begin() + static_cast<std::ptrdiff_t>(index));
        continue;
      }
      if (below(12) == 0) {
        swap_->stop(text.swapped);
        const int32_t count = restore(text, kTokensMax);
        text.tokens.resize(static_cast<size_t>(count));
        restored += count > 0 ? 1 : 0;
      }
      expect_contents(text);
      if (HasFatalFailure()) FAIL() << "round " << round;
    }
    EXPECT_GT(restored, 30);
    for (auto& text : texts) {
      swap_->forget(text->swapped);
      cache_->release(text->kv);
    }
    EXPECT_EQ(swap_->usage().used_bytes, 0u);
    EXPECT_EQ(swap_->usage().failure_count, 0u);
    EXPECT_EQ(cache_->usage().used_bytes, 0);
  }
}

}  // namespace
}  // namespace fastserve
