// Every allocation of an engine's whole life fails in turn: statuses only, nothing hangs, nothing leaks, and the next
// life is as if nothing had been.
#include <gtest/gtest.h>

#include <algorithm>

#include "base/heap.h"
#include "fault/host_run.h"

namespace fastserve::test {
namespace {

uint64_t live_blocks() {
  const heap_hooks::Counts counts = heap_hooks::counts();
  return counts.allocations - counts.frees;
}

// Only what a failed allocation can mean to a host.
bool is_expected(fsv_status status) {
  return status == FSV_ERROR_OUT_OF_MEMORY || status == FSV_ERROR_STALE || status == FSV_ERROR_SHUTDOWN;
}

void fail_each(bool is_pumped, bool and_all_after, uint64_t stride) {
  const TemporaryFile file([] {
    TinyShape shape = life_shape();
    shape.type = kTinyQ4_0;
    return shape;
  }());
  const RunResult expected = run_a_life(file.path(), is_pumped);
  ASSERT_TRUE(expected.finished);
  ASSERT_EQ(expected.failure_count, 0u);
  ASSERT_EQ(expected.token_count, 12u);
  ASSERT_EQ(expected.chat_token_count, 8u);
  ASSERT_EQ(expected.session_token_count, 60u);
  ASSERT_EQ(expected.reloaded_token_count, 12u);
  ASSERT_GT(log_lines, 0u);
  const uint64_t before_all = heap_hooks::counts().allocations;
  (void)run_a_life(file.path(), is_pumped);
  const uint64_t per_life = heap_hooks::counts().allocations - before_all;
  ASSERT_GT(per_life, 100u);

  for (uint64_t n = 1; n <= per_life + 20; n += stride) {
    const uint64_t live = live_blocks(), failures = heap_hooks::counts().failures;
    heap_hooks::fail_at(n, and_all_after);
    const RunResult result = run_a_life(file.path(), is_pumped);
    heap_hooks::fail_at(0);
    ASSERT_EQ(live_blocks(), live) << "allocation " << n << " of " << per_life;
    for (size_t i = 0; i < result.failure_count; ++i) {
      ASSERT_TRUE(is_expected(result.failures[i])) << fsv_status_name(result.failures[i]) << " after allocation " << n;
    }
    // What did come out is right, and all of it comes out when nothing failed.
    ASSERT_LE(result.token_count, expected.token_count) << n;
    ASSERT_TRUE(std::equal(result.tokens, result.tokens + result.token_count, expected.tokens)) << n;
    ASSERT_TRUE(std::equal(result.chat_tokens, result.chat_tokens + result.chat_token_count, expected.chat_tokens))
        << n;
    ASSERT_TRUE(std::equal(result.reloaded_tokens, result.reloaded_tokens + result.reloaded_token_count,
                           expected.reloaded_tokens))
        << n;
    if (heap_hooks::counts().failures != failures) continue;
    ASSERT_EQ(result.failure_count, 0u) << n;
    ASSERT_EQ(result.token_count, expected.token_count) << n;
    ASSERT_TRUE(std::ranges::equal(result.chat_tokens, expected.chat_tokens)) << n;
    ASSERT_TRUE(std::ranges::equal(result.session_tokens, expected.session_tokens)) << n;
    ASSERT_EQ(result.reloaded_token_count, expected.reloaded_token_count) << n;
  }
  const RunResult after = run_a_life(file.path(), is_pumped);
  EXPECT_EQ(after.failure_count, 0u);
  EXPECT_EQ(after.token_count, expected.token_count);
}

TEST(HeapFailure, EveryAllocationOfAPumpedLife) { fail_each(true, false, 1); }
TEST(HeapFailure, EveryAllocationAndAllAfterOfAPumpedLife) { fail_each(true, true, 1); }
TEST(HeapFailure, SomeAllocationsOfAThreadedLife) { fail_each(false, false, 41); }
TEST(HeapFailureSlow, EveryAllocationOfAThreadedLife) { fail_each(false, false, 1); }

}  // namespace
}  // namespace fastserve::test
