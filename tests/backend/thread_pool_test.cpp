// Executors: every part runs exactly once, results are visible to the caller, sleeping workers wake, destruction joins.
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <numeric>
#include <thread>
#include <vector>

#include "backend/executor.h"
#include "support/thread_activity.h"

#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
#define FASTSERVE_TEST_SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer) || __has_feature(address_sanitizer) || __has_feature(memory_sanitizer)
#define FASTSERVE_TEST_SANITIZED 1
#endif
#endif
#if defined(__linux__) && !defined(FASTSERVE_TEST_SANITIZED)  // sanitizers need address space of their own
#include <sys/resource.h>
#define FASTSERVE_TEST_THREAD_FAILURE 1
#endif

namespace fastserve {
namespace {

std::unique_ptr<Executor> pool_of(uint32_t width) {
  auto pool = create_thread_pool(width);
  EXPECT_TRUE(pool.ok()) << pool.status().message();
  return pool.ok() ? pool.take() : nullptr;
}

class ThreadPool : public testing::TestWithParam<uint32_t> {};

TEST_P(ThreadPool, RunsEveryPartOnceAndPublishesItsWrites) {
  const uint32_t width = GetParam();
  const auto pool = pool_of(width);
  ASSERT_NE(pool, nullptr);
  EXPECT_EQ(pool->width(), width);
  std::vector<int64_t> items(997, 0);  // plain memory: a missing happens-before is a TSan report
  std::vector<uint32_t> calls(width, 0);
  constexpr int kRuns = 1000;
  for (int run = 0; run < kRuns; ++run) {
    pool->run([&](uint32_t part, uint32_t part_count) {
      ASSERT_EQ(part_count, width);
      ++calls[part];
      const Range range = split_range(static_cast<int64_t>(items.size()), part, part_count);
      for (int64_t i = range.begin; i < range.end; ++i) items[static_cast<size_t>(i)] += i;
    });
  }
  for (uint32_t count : calls) EXPECT_EQ(count, static_cast<uint32_t>(kRuns));
  for (size_t i = 0; i < items.size(); ++i) ASSERT_EQ(items[i], kRuns * static_cast<int64_t>(i));
}

TEST_P(ThreadPool, SleepingWorkersWake) {
  const auto pool = pool_of(GetParam());
  ASSERT_NE(pool, nullptr);
  for (int pause_us : {0, 10, 30, 200, 3000, 1, 25}) {
    std::atomic<uint32_t> sum{0};
    std::this_thread::sleep_for(std::chrono::microseconds(pause_us));
    pool->run([&](uint32_t part, uint32_t) { sum += part + 1; });
    EXPECT_EQ(sum, GetParam() * (GetParam() + 1) / 2);
  }
}

TEST_P(ThreadPool, CallerSleepsUntilASlowWorkerIsDone) {
  const auto pool = pool_of(GetParam());
  ASSERT_NE(pool, nullptr);
  for (int round = 0; round < 5; ++round) {
    uint32_t finished = 0;
    pool->run([&](uint32_t part, uint32_t part_count) {
      if (part + 1 != part_count) return;
      std::this_thread::sleep_for(std::chrono::milliseconds(2));
      finished = 1;
    });
    EXPECT_EQ(finished, 1u);
  }
}

TEST_P(ThreadPool, DestructionEndsSleepingAndBusyWorkers) {
  for (int pause_us : {0, 5, 40, 2000}) {
    const auto pool = pool_of(GetParam());
    ASSERT_NE(pool, nullptr);
    pool->run([](uint32_t, uint32_t) {});
    std::this_thread::sleep_for(std::chrono::microseconds(pause_us));
  }
  for (int i = 0; i < 20; ++i) ASSERT_NE(pool_of(GetParam()), nullptr);  // never run at all
}

INSTANTIATE_TEST_SUITE_P(Widths, ThreadPool, testing::Values(1, 2, 3, 4, 5, 6, 7, 8));

TEST(ThreadPoolIdle, NothingSpins) {
  const auto pool = pool_of(4);
  ASSERT_NE(pool, nullptr);
  pool->run([](uint32_t, uint32_t) {});
  EXPECT_EQ(test::wait_for_library_threads(3).size(), 3u);
  EXPECT_TRUE(test::library_threads_rest());
}

TEST(ThreadPoolErrors, WidthOutOfRangeIsRefused) {
  for (uint32_t width : {0u, 1025u, 0xffffffffu}) {
    const auto pool = create_thread_pool(width);
    ASSERT_FALSE(pool.ok());
    EXPECT_EQ(pool.status().code(), StatusCode::kInvalidArgument);
  }
}

#ifdef FASTSERVE_TEST_THREAD_FAILURE
// With the address space capped, some stack cannot be mapped. Returns the number of the check that failed.
int check_thread_failure() {
  const rlimit limit{size_t{400} << 20, size_t{400} << 20};
  if (setrlimit(RLIMIT_AS, &limit) != 0) return 10;
  {
    auto pool = create_thread_pool(1024);
    if (pool.ok()) return 11;
    if (pool.status().code() != StatusCode::kOutOfMemory) return 12;
  }
  for (int i = 0; i < 20; ++i) {  // the stacks of workers that did start would use up what is left, if they leaked
    if (!create_thread_pool(64).ok()) return 13;
  }
  return 0;
}

TEST(ThreadPoolErrors, AWorkerThatCannotStartIsAStatus) {
  EXPECT_EXIT(std::_Exit(check_thread_failure()), testing::ExitedWithCode(0), "");
}
#endif

TEST(SerialExecutor, RunsTheCallerAlone) {
  const auto executor = create_serial_executor();
  EXPECT_EQ(executor->width(), 1u);
  int calls = 0;
  executor->run([&](uint32_t part, uint32_t part_count) {
    EXPECT_EQ(part, 0u);
    EXPECT_EQ(part_count, 1u);
    ++calls;
  });
  EXPECT_EQ(calls, 1);
}

TEST(SplitRange, CoversEverythingOnceInOrder) {
  for (int64_t count : {0, 1, 5, 7, 64, 1000}) {
    for (uint32_t parts : {1u, 2u, 3u, 7u, 8u, 64u}) {
      int64_t next = 0;
      for (uint32_t part = 0; part < parts; ++part) {
        const Range range = split_range(count, part, parts);
        ASSERT_EQ(range.begin, next);
        ASSERT_GE(range.end, range.begin);
        ASSERT_LE(range.end - range.begin, count / parts + 1);
        next = range.end;
      }
      ASSERT_EQ(next, count);
    }
  }
}

}  // namespace
}  // namespace fastserve
