// Every call of every hook that a host lends an engine fails in turn, over a whole life: statuses only, what the hooks
// gave out comes back, nothing hangs, and the next life is as if nothing had been.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <algorithm>
#include <cstdlib>

#include "base/heap.h"
#include "fault/host_run.h"

namespace fastserve::test {
namespace {

// Calls of one hook, of which the n-th fails; and what it has given out.
struct HookFault {
  std::atomic<uint64_t> calls{0}, fail_at{0};
  std::atomic<int64_t> given{0};
  int way = 0;  // of failing, where there are several
  bool strikes() { return ++calls == fail_at.load(); }
};
HookFault fault;

void* allocate(void*, size_t size_bytes, size_t alignment, uint32_t) {
  if (fault.strikes()) return nullptr;
  const size_t whole = (size_bytes + alignment - 1) / alignment * alignment;
  void* address = std::aligned_alloc(alignment, whole);
  fault.given += address != nullptr ? 1 : 0;
  return address;
}
void deallocate(void*, void* address, size_t, size_t, uint32_t) {
  --fault.given;
  std::free(address);
}

constexpr fsv_status kIoStatus = FSV_ERROR_DEVICE;

fsv_status open_file(void*, const char* name, size_t, void** file, uint64_t* size_bytes) {
  if (fault.strikes()) return kIoStatus;
  const int descriptor = ::open(name, O_RDONLY | O_CLOEXEC);
  struct stat facts;
  if (descriptor < 0 || ::fstat(descriptor, &facts) != 0) return FSV_ERROR_NOT_FOUND;
  ++fault.given;
  *file = reinterpret_cast<void*>(static_cast<intptr_t>(descriptor) + 1);
  *size_bytes = static_cast<uint64_t>(facts.st_size);
  return FSV_OK;
}
int descriptor_of(void* file) { return static_cast<int>(reinterpret_cast<intptr_t>(file) - 1); }
fsv_status read_file(void*, void* file, uint64_t offset, void* buffer, size_t size_bytes) {
  if (fault.strikes()) return kIoStatus;
  const ssize_t count = ::pread(descriptor_of(file), buffer, size_bytes, static_cast<off_t>(offset));
  return count == static_cast<ssize_t>(size_bytes) ? FSV_OK : FSV_ERROR_IO;
}
void close_file(void*, void* file) {
  --fault.given;
  ::close(descriptor_of(file));
}

// Ways to fail: nothing is run; only the first part is; all are, and an error is returned; half are, and none is.
constexpr int kExecutorWays = 4;
fsv_status run_parts(void*, uint32_t part_count, fsv_task task, void* context) {
  const bool strikes = fault.strikes();
  const uint32_t ways[kExecutorWays] = {0, 1, part_count, part_count / 2};
  const uint32_t end = strikes ? ways[fault.way] : part_count;
  for (uint32_t part = 0; part < end; ++part) task(context, part);
  return strikes && fault.way != 3 ? FSV_ERROR_INTERNAL : FSV_OK;
}

void lend_allocator(fsv_engine_config& config) {
  static fsv_allocator hook;
  fsv_allocator_init(&hook, sizeof(hook));
  hook.allocate = allocate;
  hook.deallocate = deallocate;
  config.allocator = &hook;
}
void lend_files(fsv_engine_config& config) {
  static fsv_io hook;
  fsv_io_init(&hook, sizeof(hook));
  hook.open = open_file;
  hook.read_at = read_file;
  hook.close = close_file;
  config.io = &hook;
}
void lend_executor(fsv_engine_config& config) {
  static fsv_executor hook;
  fsv_executor_init(&hook, sizeof(hook));
  hook.width = 3;
  hook.run = run_parts;
  config.executor = &hook;
}

void expect_whole(const RunResult& result, const RunResult& whole, uint64_t n) {
  ASSERT_EQ(result.failure_count, 0u) << n;
  ASSERT_TRUE(result.finished) << n;
  ASSERT_EQ(result.token_count, whole.token_count) << n;
  ASSERT_TRUE(std::ranges::equal(result.tokens, whole.tokens)) << n;
  ASSERT_TRUE(std::ranges::equal(result.chat_tokens, whole.chat_tokens)) << n;
  ASSERT_TRUE(std::ranges::equal(result.session_tokens, whole.session_tokens)) << n;
  ASSERT_EQ(whole.reloaded_token_count, 12u) << n;
  ASSERT_TRUE(std::ranges::equal(result.reloaded_tokens, whole.reloaded_tokens)) << n;
}

// `failure`: what hosts may see of it (FSV_OK: nothing).
void fail_each(void (*lend)(fsv_engine_config&), bool is_pumped, fsv_status failure, uint64_t calls_min,
               uint64_t stride = 1) {
  const TemporaryFile file(life_shape());
  const RunResult whole = run_a_life(file.path(), is_pumped);
  ASSERT_TRUE(whole.finished);
  fault.fail_at = 0;
  fault.calls = 0;
  expect_whole(run_a_life(file.path(), is_pumped, lend), whole, 0);
  const uint64_t per_life = fault.calls;
  ASSERT_GE(per_life, calls_min);
  for (uint64_t n = 1; n <= per_life; n += stride) {
    const heap_hooks::Counts before = heap_hooks::counts();
    fault.calls = 0;
    fault.fail_at = n;
    const RunResult result = run_a_life(file.path(), is_pumped, lend);
    fault.fail_at = 0;
    const heap_hooks::Counts after = heap_hooks::counts();
    ASSERT_EQ(after.allocations - after.frees, before.allocations - before.frees) << n;
    ASSERT_EQ(fault.given, 0) << n;
    if (failure == FSV_OK) {
      expect_whole(result, whole, n);
      continue;
    }
    // A pool that gets no more memory waits for those who hold some, if there are any.
    if (failure == FSV_ERROR_OUT_OF_MEMORY && result.failure_count == 0) {
      expect_whole(result, whole, n);
      continue;
    }
    ASSERT_GT(result.failure_count, 0u) << n;
    for (size_t i = 0; i < result.failure_count; ++i) {
      const fsv_status status = result.failures[i];
      ASSERT_TRUE(status == failure || status == FSV_ERROR_STALE) << n << ": " << fsv_status_name(status);
    }
    ASSERT_TRUE(std::equal(result.tokens, result.tokens + result.token_count, whole.tokens)) << n;
    ASSERT_TRUE(
        std::equal(result.reloaded_tokens, result.reloaded_tokens + result.reloaded_token_count, whole.reloaded_tokens))
        << n;
  }
  expect_whole(run_a_life(file.path(), is_pumped, lend), whole, 0);
}

TEST(HookFailure, EveryAllocation) { fail_each(lend_allocator, true, FSV_ERROR_OUT_OF_MEMORY, 3); }
TEST(HookFailure, EveryAllocationOfAThreadedLife) { fail_each(lend_allocator, false, FSV_ERROR_OUT_OF_MEMORY, 3); }
TEST(HookFailure, EveryOpeningAndRead) { fail_each(lend_files, true, kIoStatus, 20); }
TEST(HookFailure, EveryOpeningAndReadOfAThreadedLife) { fail_each(lend_files, false, kIoStatus, 20); }

class ExecutorFailure : public testing::TestWithParam<int> {
 protected:
  void SetUp() override { fault.way = GetParam(); }
};
TEST_P(ExecutorFailure, SomeRuns) { fail_each(lend_executor, true, FSV_OK, 500, 97); }
TEST_P(ExecutorFailure, SomeRunsOfAThreadedLife) { fail_each(lend_executor, false, FSV_OK, 500, 211); }
INSTANTIATE_TEST_SUITE_P(All, ExecutorFailure, testing::Range(0, kExecutorWays));

// Ways of a clock to go wrong: it stands still; it swings; each call is an hour later; it is at its end, and starts
// again.
struct WildClock {
  int way = 0;
  std::atomic<uint64_t> calls{0};
  uint64_t now_ns() {
    constexpr uint64_t kHour = 3600000000000;
    const uint64_t call = ++calls;
    const uint64_t ways[] = {0, (call * 7919 % 1000) * 1000000, call * kHour, call % 3 == 0 ? 0 : UINT64_MAX - call};
    return ways[way];
  }
};
constexpr int kClockWays = 4;
WildClock wild_clock;

void lend_clock(fsv_engine_config& config) {
  static fsv_clock hook;
  fsv_clock_init(&hook, sizeof(hook));
  hook.now_ns = [](void*) { return wild_clock.now_ns(); };
  config.clock = &hook;
}

class ClockFailure : public testing::TestWithParam<int> {};
TEST_P(ClockFailure, NothingIsLost) {
  const TemporaryFile file(life_shape());
  for (const bool is_pumped : {true, false}) {
    const RunResult whole = run_a_life(file.path(), is_pumped);
    ASSERT_TRUE(whole.finished);
    wild_clock.way = GetParam();
    wild_clock.calls = 0;
    expect_whole(run_a_life(file.path(), is_pumped, lend_clock), whole, 0);
    EXPECT_GT(wild_clock.calls, 10u);
  }
}
INSTANTIATE_TEST_SUITE_P(All, ClockFailure, testing::Range(0, kClockWays));

TEST(HookFailureSlow, EveryRun) {
  for (fault.way = 0; fault.way < kExecutorWays; ++fault.way) fail_each(lend_executor, true, FSV_OK, 500);
}

}  // namespace
}  // namespace fastserve::test
