// The counting and failing operators that the allocation tests stand on.
#include <gtest/gtest.h>

#include <memory>
#include <new>
#include <string>
#include <thread>
#include <vector>

#include "base/heap.h"

namespace fastserve {
namespace {

using heap_hooks::counts;
using heap_hooks::fail_at;

// Keeps the compiler from removing an allocation that nothing reads.
void keep(const void* address) { asm volatile("" : : "r"(address) : "memory"); }

TEST(HeapHooks, CountsEveryKindOfAllocation) {
  struct alignas(64) Wide {
    char bytes[64];
  };
  const heap_hooks::Counts before = counts();
  auto one = std::make_unique<int>(1);
  auto many = std::make_unique<int[]>(100);
  auto wide = std::make_unique<Wide>();
  auto text = std::make_unique<std::string>(1000, 'x');  // itself and its characters
  int* quiet = new (std::nothrow) int(1);
  for (const void* address : {static_cast<const void*>(one.get()), static_cast<const void*>(many.get()),
                              static_cast<const void*>(wide.get()), static_cast<const void*>(text.get())}) {
    keep(address);
  }
  keep(quiet);
  EXPECT_EQ(reinterpret_cast<uintptr_t>(wide.get()) % 64, 0u);
  EXPECT_EQ(counts().allocations - before.allocations, 6u);
  EXPECT_EQ(counts().frees, before.frees);
  one.reset(), many.reset(), wide.reset(), text.reset();
  delete quiet;
  EXPECT_EQ(counts().frees - before.frees, 6u);
}

TEST(HeapHooks, CountsOtherThreads) {
  const heap_hooks::Counts before = counts();
  std::thread([] { keep(std::make_unique<int>(1).get()); }).join();
  EXPECT_GE(counts().allocations - before.allocations, 2u);  // the thread's state and the int
}

TEST(HeapHooks, FailsTheNthAllocation) {
  std::vector<std::unique_ptr<int>> kept;
  kept.reserve(8);
  const heap_hooks::Counts before = counts();
  fail_at(3);
  kept.push_back(std::make_unique<int>(1));
  kept.push_back(std::make_unique<int>(2));
  bool thrown = false;
  try {
    kept.push_back(std::make_unique<int>(3));
  } catch (const std::bad_alloc&) {
    thrown = true;
  }
  kept.push_back(std::make_unique<int>(4));
  fail_at(0);
  EXPECT_TRUE(thrown);
  EXPECT_EQ(kept.size(), 3u);
  EXPECT_EQ(counts().failures - before.failures, 1u);
}

TEST(HeapHooks, FailsEverythingFromTheNthOn) {
  fail_at(1, true);
  int* first = new (std::nothrow) int(1);
  int* second = new (std::nothrow) int(2);
  fail_at(0);
  int* third = new (std::nothrow) int(3);
  EXPECT_EQ(first, nullptr);
  EXPECT_EQ(second, nullptr);
  ASSERT_NE(third, nullptr);
  delete third;
}

TEST(HeapUser, CountsWhoIsThere) {
  EXPECT_FALSE(HeapUser::any());
  {
    HeapUser user;
    EXPECT_TRUE(HeapUser::any());
  }
  EXPECT_FALSE(HeapUser::any());
}

}  // namespace
}  // namespace fastserve
