// LimitResource over a counting upstream, and page_memory itself.
#include "memory/budget.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <cstring>
#include <thread>
#include <vector>

#include "base/os.h"

namespace fastserve {
namespace {

// Counts what is live; may be told to refuse.
class FakeUpstream final : public MemoryResource {
 public:
  void* allocate(size_t size_bytes, size_t alignment, MemoryUse) noexcept override {
    if (refuse) return nullptr;
    live_bytes += size_bytes;
    return std::aligned_alloc(alignment, (size_bytes + alignment - 1) / alignment * alignment);
  }
  void deallocate(void* address, size_t size_bytes, size_t, MemoryUse) noexcept override {
    live_bytes -= size_bytes;
    std::free(address);
  }
  std::atomic<uint64_t> live_bytes{0};
  std::atomic<bool> refuse{false};
};

TEST(Budget, LimitsAndCountsByUse) {
  FakeUpstream upstream;
  LimitResource limit(upstream, 1000);
  EXPECT_EQ(limit.available_bytes(), 1000u);
  void* a = limit.allocate(600, 64, MemoryUse::kWeights);
  ASSERT_NE(a, nullptr);
  EXPECT_EQ(limit.allocate(401, 64, MemoryUse::kKv), nullptr);
  void* b = limit.allocate(400, 64, MemoryUse::kKv);
  ASSERT_NE(b, nullptr);
  EXPECT_EQ(limit.available_bytes(), 0u);
  EXPECT_EQ(limit.allocate(1, 64, MemoryUse::kOther), nullptr);
  MemoryStats stats = limit.stats();
  EXPECT_EQ(stats.budget_bytes, 1000u);
  EXPECT_EQ(stats.used_bytes, 1000u);
  EXPECT_EQ(stats.used_bytes_by_use[static_cast<size_t>(MemoryUse::kWeights)], 600u);
  EXPECT_EQ(stats.used_bytes_by_use[static_cast<size_t>(MemoryUse::kKv)], 400u);
  limit.deallocate(a, 600, 64, MemoryUse::kWeights);
  limit.deallocate(b, 400, 64, MemoryUse::kKv);
  stats = limit.stats();
  EXPECT_EQ(stats.used_bytes, 0u);
  EXPECT_EQ(stats.peak_bytes, 1000u);
  EXPECT_EQ(upstream.live_bytes, 0u);
}

TEST(Budget, ShrinksBelowWhatIsUsedAndGrowsBack) {
  FakeUpstream upstream;
  LimitResource limit(upstream, 0);
  EXPECT_EQ(limit.available_bytes(), UINT64_MAX);
  void* a = limit.allocate(500, 64, MemoryUse::kKv);
  ASSERT_NE(a, nullptr);
  limit.set_budget_bytes(100);
  EXPECT_EQ(limit.available_bytes(), 0u);
  EXPECT_EQ(limit.allocate(1, 64, MemoryUse::kKv), nullptr);
  limit.deallocate(a, 500, 64, MemoryUse::kKv);
  void* b = limit.allocate(100, 64, MemoryUse::kKv);
  ASSERT_NE(b, nullptr);
  limit.set_budget_bytes(0);
  void* c = limit.allocate(5000, 64, MemoryUse::kKv);
  ASSERT_NE(c, nullptr);
  limit.deallocate(b, 100, 64, MemoryUse::kKv);
  limit.deallocate(c, 5000, 64, MemoryUse::kKv);
}

TEST(Budget, ARefusingUpstreamLeavesTheCountsAlone) {
  FakeUpstream upstream;
  upstream.refuse = true;
  LimitResource limit(upstream, 1000);
  EXPECT_EQ(limit.allocate(10, 64, MemoryUse::kKv), nullptr);
  EXPECT_EQ(limit.stats().used_bytes, 0u);
  EXPECT_EQ(limit.stats().peak_bytes, 0u);
  EXPECT_EQ(limit.stats().used_bytes_by_use[static_cast<size_t>(MemoryUse::kKv)], 0u);
}

TEST(Budget, HugeSizesDoNotWrapAround) {
  LimitResource unlimited(page_memory(), 0);
  void* a = unlimited.allocate(64, 64, MemoryUse::kOther);
  ASSERT_NE(a, nullptr);
  EXPECT_EQ(unlimited.allocate(SIZE_MAX, 64, MemoryUse::kOther), nullptr);
  EXPECT_EQ(unlimited.allocate(SIZE_MAX - 100, 64, MemoryUse::kOther), nullptr);
  EXPECT_EQ(unlimited.stats().used_bytes, 64u);
  unlimited.deallocate(a, 64, 64, MemoryUse::kOther);
}

TEST(Budget, ConcurrentCallersNeverPassTheBudget) {
  FakeUpstream upstream;
  LimitResource limit(upstream, 10000);
  std::atomic<bool> passed{false};
  std::atomic<int> served{0};
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < 3000; ++i) {
        const auto size = static_cast<size_t>(1000 + (i * 37 + t * 101) % 4000);
        const auto use = static_cast<MemoryUse>((i + t) % 4);
        void* address = limit.allocate(size, 64, use);
        if (upstream.live_bytes > 10000) passed = true;
        if (address == nullptr) continue;
        ++served;
        limit.deallocate(address, size, 64, use);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_FALSE(passed);
  EXPECT_GT(served, 0);
  const MemoryStats stats = limit.stats();
  EXPECT_EQ(stats.used_bytes, 0u);
  EXPECT_LE(stats.peak_bytes, 10000u);
  for (uint64_t used : stats.used_bytes_by_use) EXPECT_EQ(used, 0u);
}

TEST(PageMemory, GivesZeroedAlignedPages) {
  const size_t page = os::page_size_bytes();
  auto* bytes = static_cast<uint8_t*>(page_memory().allocate(3 * page + 1, page, MemoryUse::kOther));
  ASSERT_NE(bytes, nullptr);
  EXPECT_EQ(reinterpret_cast<uintptr_t>(bytes) % page, 0u);
  for (size_t i = 0; i < 3 * page + 1; ++i) ASSERT_EQ(bytes[i], 0);
  std::memset(bytes, 7, 3 * page + 1);
  page_memory().deallocate(bytes, 3 * page + 1, page, MemoryUse::kOther);
  EXPECT_EQ(page_memory().allocate(16, 2 * page, MemoryUse::kOther), nullptr);  // alignment beyond the contract
  EXPECT_EQ(page_memory().allocate(0, 64, MemoryUse::kOther), nullptr);
}

TEST(Buffer, OwnsMovesAndReports) {
  FakeUpstream upstream;
  LimitResource limit(upstream, 256);
  {
    auto buffer = Buffer::allocate(limit, 200, MemoryUse::kActivations);
    ASSERT_TRUE(buffer.ok());
    Buffer moved = buffer.take();
    EXPECT_EQ(moved.size_bytes(), 200u);
    EXPECT_EQ(reinterpret_cast<uintptr_t>(moved.data()) % Buffer::kAlignment, 0u);
    const auto second = Buffer::allocate(limit, 200, MemoryUse::kActivations);
    ASSERT_FALSE(second.ok());
    EXPECT_EQ(second.status().code(), StatusCode::kOutOfMemory);
    EXPECT_TRUE(Buffer::allocate(limit, 0, MemoryUse::kActivations).ok());
  }
  EXPECT_EQ(limit.stats().used_bytes, 0u);
}

}  // namespace
}  // namespace fastserve
