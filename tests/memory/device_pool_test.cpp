// The device pool in both modes over an upstream that counts, refuses and checks: regions never overlap, memory is
// used again without the driver, trim gives back what is free, and every refusal is a null pointer.
#include "memory/device_pool.h"

#include <gtest/gtest.h>

#include <map>
#include <mutex>
#include <random>
#include <set>
#include <thread>

#include "memory/device_pages.h"
#include "memory/device_slabs.h"

namespace fastserve {
namespace {

constexpr size_t kMebi = size_t{1} << 20;

class Upstream final : public DeviceUpstream {
 public:
  void* allocate(size_t size_bytes) noexcept override {
    const std::lock_guard lock(mutex);
    if (!may_take(size_bytes)) return nullptr;
    used_bytes += size_bytes;
    return place(blocks, size_bytes);
  }
  void release(void* address) noexcept override {
    const std::lock_guard lock(mutex);
    ++calls;
    used_bytes -= blocks.at(address);
    blocks.erase(address);
  }
  size_t page_bytes() const noexcept override { return page; }
  void* reserve(size_t size_bytes) noexcept override {
    const std::lock_guard lock(mutex);
    ++calls;
    return refuses ? nullptr : place(ranges, size_bytes);
  }
  void unreserve(void* address, size_t size_bytes) noexcept override {
    const std::lock_guard lock(mutex);
    ++calls;
    EXPECT_EQ(ranges.at(address), size_bytes);
    ranges.erase(address);
  }
  bool map(void* address, size_t size_bytes) noexcept override {
    const std::lock_guard lock(mutex);
    if (!may_take(size_bytes)) return false;
    used_bytes += size_bytes;
    EXPECT_TRUE(pages.insert(address).second) << "mapped twice";
    return true;
  }
  void unmap(void* address, size_t size_bytes) noexcept override {
    const std::lock_guard lock(mutex);
    ++calls;
    used_bytes -= size_bytes;
    EXPECT_EQ(pages.erase(address), 1U) << "unmapped what was not mapped";
  }

  bool is_empty() const { return blocks.empty() && ranges.empty() && pages.empty() && used_bytes == 0; }

  std::mutex mutex;
  uint64_t capacity_bytes = UINT64_MAX, used_bytes = 0, calls = 0;
  size_t page = 2 * kMebi;
  bool refuses = false;
  std::map<void*, size_t> blocks, ranges;
  std::set<void*> pages;

 private:
  bool may_take(size_t size_bytes) {
    ++calls;
    return !refuses && size_bytes <= capacity_bytes - used_bytes;
  }
  void* place(std::map<void*, size_t>& where, size_t size_bytes) {
    auto* address = reinterpret_cast<void*>(next_);
    next_ += (size_bytes + 4 * kMebi) / (2 * kMebi) * (2 * kMebi);
    where[address] = size_bytes;
    return address;
  }
  uintptr_t next_ = 1024 * kMebi;
};

class DevicePoolModes : public ::testing::TestWithParam<DevicePoolMode> {
 protected:
  std::unique_ptr<DevicePool> make(bool maps_ahead = false) {
    auto made = create_device_pool(upstream_, GetParam(), maps_ahead);
    EXPECT_TRUE(made.ok()) << made.status().message();
    return made.take();
  }
  bool take_whole(DevicePool& pool, size_t size_bytes, void** address) {
    *address = pool.allocate(size_bytes);
    return *address != nullptr && pool.commit(*address, size_bytes);
  }
  Upstream upstream_;
};

TEST_P(DevicePoolModes, RegionsNeverOverlapAndAllGoesBack) {
  {
    const std::unique_ptr<DevicePool> pool = make();
    std::map<uint8_t*, size_t> held;
    std::mt19937 random(5);
    for (int round = 0; round < 3000; ++round) {
      if (held.size() > 20 || (random() % 3 == 0 && !held.empty())) {
        auto it = std::next(held.begin(), static_cast<std::ptrdiff_t>(random() % held.size()));
        pool->deallocate(it->first);
        held.erase(it);
        if (random() % 40 == 0) (void)pool->trim();
        continue;
      }
      const size_t size = 1 + random() % (random() % 8 == 0 ? 50 * kMebi : kMebi);
      void* address = nullptr;
      ASSERT_TRUE(take_whole(*pool, size, &address));
      auto* at = static_cast<uint8_t*>(address);
      ASSERT_EQ(reinterpret_cast<uintptr_t>(at) % 256, 0U);
      const auto after = held.lower_bound(at);
      ASSERT_TRUE(after == held.end() || at + size <= after->first);
      ASSERT_TRUE(after == held.begin() || std::prev(after)->first + std::prev(after)->second <= at);
      held[at] = size;
      auto* slabs = dynamic_cast<SlabPool*>(pool.get());
      ASSERT_TRUE(slabs == nullptr || slabs->check_integrity());
    }
    for (const auto& [address, size] : held) pool->deallocate(address);
    EXPECT_EQ(pool->stats().used_bytes, 0U);
    EXPECT_EQ(pool->stats().reserved_bytes, upstream_.used_bytes);
    (void)pool->trim();
    EXPECT_EQ(pool->stats().reserved_bytes, 0U);
    EXPECT_EQ(upstream_.used_bytes, 0U);
  }
  EXPECT_TRUE(upstream_.is_empty());
}

TEST_P(DevicePoolModes, TheSameAgainAsksTheDriverNothing) {
  const std::unique_ptr<DevicePool> pool = make();
  uint64_t calls = 0;
  for (int round = 0; round < 10000; ++round) {
    void *large = nullptr, *small = nullptr;
    ASSERT_TRUE(take_whole(*pool, 40 * kMebi, &large));
    ASSERT_TRUE(take_whole(*pool, 5000, &small));
    pool->deallocate(large);
    pool->deallocate(small);
    if (round == 0) calls = upstream_.calls;
  }
  EXPECT_EQ(upstream_.calls, calls);
}

TEST_P(DevicePoolModes, CyclesWithTrimDoNotGrow) {
  const std::unique_ptr<DevicePool> pool = make();
  for (int round = 0; round < 10000; ++round) {
    void* address = nullptr;
    ASSERT_TRUE(take_whole(*pool, (1 + static_cast<size_t>(round) % 7) * kMebi, &address));
    pool->deallocate(address);
    (void)pool->trim();
    ASSERT_EQ(upstream_.used_bytes, 0U);
  }
}

TEST_P(DevicePoolModes, WhatIsKeptMakesRoomForOthers) {
  const std::unique_ptr<DevicePool> pool = make();
  upstream_.capacity_bytes = 100 * kMebi;
  void *first = nullptr, *second = nullptr, *third = nullptr;
  ASSERT_TRUE(take_whole(*pool, 60 * kMebi, &first));
  EXPECT_FALSE(take_whole(*pool, 90 * kMebi, &second));
  pool->deallocate(second);
  pool->deallocate(first);
  EXPECT_TRUE(take_whole(*pool, 90 * kMebi, &third)) << "the first region is in the way";
  pool->deallocate(third);
}

TEST_P(DevicePoolModes, ARefusingDriverIsOutOfMemoryAndThePoolGoesOn) {
  const std::unique_ptr<DevicePool> pool = make();
  upstream_.refuses = true;
  void* address = nullptr;
  EXPECT_FALSE(take_whole(*pool, 3 * kMebi, &address));
  pool->deallocate(address);
  EXPECT_EQ(pool->allocate(SIZE_MAX - 5), nullptr);
  upstream_.refuses = false;
  EXPECT_TRUE(take_whole(*pool, 3 * kMebi, &address));
}

INSTANTIATE_TEST_SUITE_P(All, DevicePoolModes, ::testing::Values(DevicePoolMode::kSlabs, DevicePoolMode::kPages),
                         [](const auto& param) { return param.param == DevicePoolMode::kSlabs ? "Slabs" : "Pages"; });

TEST(DevicePool, ModeFollowsWhatTheDeviceCan) {
  Upstream upstream;
  EXPECT_STREQ(create_device_pool(upstream, DevicePoolMode::kAuto, false).take()->mode_name(), "pages");
  upstream.page = 0;
  EXPECT_STREQ(create_device_pool(upstream, DevicePoolMode::kAuto, false).take()->mode_name(), "slabs");
  EXPECT_EQ(create_device_pool(upstream, DevicePoolMode::kPages, false).status().code(), StatusCode::kUnsupported);
}

TEST(PagePool, PagesComeAsTheyAreCommittedOrAhead) {
  Upstream upstream;
  PagePool on_demand(upstream);
  auto* address = static_cast<uint8_t*>(on_demand.allocate(20 * kMebi));
  EXPECT_EQ(upstream.pages.size(), 0U);
  EXPECT_TRUE(on_demand.commit(address, 1));
  EXPECT_EQ(upstream.pages.size(), 1U);
  EXPECT_TRUE(on_demand.commit(address + 5 * kMebi, kMebi));
  EXPECT_EQ(upstream.pages.size(), 3U);
  EXPECT_FALSE(on_demand.commit(address, 21 * kMebi)) << "beyond the region";

  Upstream other;
  auto ahead = create_device_pool(other, DevicePoolMode::kPages, true);
  ASSERT_TRUE(ahead.ok());
  void* region = ahead.value()->allocate(30 * kMebi);
  auto page_count = [&] {
    const std::lock_guard lock(other.mutex);
    return other.pages.size();
  };
  while (page_count() < 15) std::this_thread::yield();  // the thread maps all of it, though nobody commits
  EXPECT_TRUE(ahead.value()->commit(region, 30 * kMebi));
  EXPECT_EQ(other.pages.size(), 15U);
}

TEST(PagePool, ThreadsThatCommitAtOnceMapEachPageOnce) {
  Upstream upstream;
  for (int round = 0; round < 50; ++round) {
    auto pool = create_device_pool(upstream, DevicePoolMode::kPages, true).take();
    auto* region = static_cast<uint8_t*>(pool->allocate(64 * kMebi));
    struct Part {
      DevicePool* pool;
      uint8_t* begin;
    };
    Part parts[4];
    std::vector<os::Thread> threads;
    for (int i = 0; i < 4; ++i) {
      parts[i] = {pool.get(), region + static_cast<size_t>(i) * 16 * kMebi};
      auto started = os::Thread::start(
          "commit",
          [](void* argument) {
            const auto& part = *static_cast<Part*>(argument);
            for (size_t at = 0; at < 16; ++at) EXPECT_TRUE(part.pool->commit(part.begin + at * kMebi, kMebi));
          },
          &parts[i]);
      ASSERT_TRUE(started.ok());
      threads.push_back(started.take());
    }
    threads.clear();
    EXPECT_EQ(upstream.pages.size(), 32U);
    pool.reset();
    EXPECT_TRUE(upstream.is_empty());
  }
}

}  // namespace
}  // namespace fastserve
