// Every call of the system that an engine's life makes fails in turn: threads that do not start, reads that fail or end
// early, mappings and descriptors that are refused. Statuses only; nothing leaks; the next life is as if nothing had
// been. The calls are wrapped at link time (--wrap).
#include <gtest/gtest.h>
#include <poll.h>
#include <pthread.h>
#include <sys/mman.h>
#include <sys/types.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <filesystem>
#include <functional>

#include "base/heap.h"
#include "fault/host_run.h"

namespace {

// Counts the calls of one function and fails the n-th.
struct Injector {
  std::atomic<uint64_t> calls{0}, fail_at{0};
  bool must_fail() { return ++calls == fail_at.load(); }
};
Injector thread_starts, reads, short_reads, mappings, event_handles, wakes;

}  // namespace

extern "C" {
int __real_pthread_create(pthread_t*, const pthread_attr_t*, void* (*)(void*), void*);
int __wrap_pthread_create(pthread_t* thread, const pthread_attr_t* attributes, void* (*entry)(void*), void* argument) {
  if (thread_starts.must_fail()) return EAGAIN;
  return __real_pthread_create(thread, attributes, entry, argument);
}
ssize_t __real_pread(int, void*, size_t, off_t);
ssize_t __wrap_pread(int file, void* buffer, size_t size, off_t offset) {
  if (short_reads.must_fail()) return 0;  // the file ended: someone cut it
  if (!reads.must_fail()) return __real_pread(file, buffer, size, offset);
  errno = EIO;
  return -1;
}
void* __real_mmap(void*, size_t, int, int, int, off_t);
void* __wrap_mmap(void* address, size_t size, int protection, int flags, int file, off_t offset) {
  if (!mappings.must_fail()) return __real_mmap(address, size, protection, flags, file, offset);
  errno = ENOMEM;
  return MAP_FAILED;
}
ssize_t __real_write(int, const void*, size_t);
ssize_t __wrap_write(int file, const void* buffer, size_t size) {
  // An event handle's counter takes eight bytes.
  if (size != sizeof(uint64_t) || !wakes.must_fail()) return __real_write(file, buffer, size);
  errno = EIO;
  return -1;
}
int __real_eventfd(unsigned, int);
int __wrap_eventfd(unsigned value, int flags) {
  if (!event_handles.must_fail()) return __real_eventfd(value, flags);
  errno = EMFILE;
  return -1;
}
}

namespace fastserve::test {
namespace {

size_t entries_of(const char* folder) {
  return static_cast<size_t>(std::distance(std::filesystem::directory_iterator(folder), {}));
}

bool is_one_of(fsv_status status, std::initializer_list<fsv_status> expected) {
  return status == FSV_ERROR_STALE || status == FSV_ERROR_SHUTDOWN ||
         std::find(expected.begin(), expected.end(), status) != expected.end();
}

void fail_each(Injector& injector, bool is_pumped, std::initializer_list<fsv_status> expected, uint64_t calls_min) {
  const TemporaryFile file(life_shape());
  const RunResult whole = run_a_life(file.path(), is_pumped);
  ASSERT_TRUE(whole.finished);
  ASSERT_EQ(whole.failure_count, 0u);
  injector.calls = 0;
  (void)run_a_life(file.path(), is_pumped);
  const uint64_t per_life = injector.calls;
  ASSERT_GE(per_life, calls_min);
  const size_t descriptors = entries_of("/proc/self/fd"), threads = entries_of("/proc/self/task");
  for (uint64_t n = 1; n <= per_life; ++n) {
    const heap_hooks::Counts before = heap_hooks::counts();
    injector.calls = 0;
    injector.fail_at = n;
    const RunResult result = run_a_life(file.path(), is_pumped);
    injector.fail_at = 0;
    const heap_hooks::Counts after = heap_hooks::counts();
    ASSERT_EQ(after.allocations - after.frees, before.allocations - before.frees) << n;
    ASSERT_EQ(entries_of("/proc/self/fd"), descriptors) << n;
    ASSERT_EQ(entries_of("/proc/self/task"), threads) << n;
    for (size_t i = 0; i < result.failure_count; ++i) {
      ASSERT_TRUE(is_one_of(result.failures[i], expected)) << n << ": " << fsv_status_name(result.failures[i]);
    }
    ASSERT_TRUE(std::equal(result.tokens, result.tokens + result.token_count, whole.tokens)) << n;
  }
  const RunResult again = run_a_life(file.path(), is_pumped);
  EXPECT_EQ(again.failure_count, 0u);
  EXPECT_EQ(again.token_count, whole.token_count);
  EXPECT_EQ(again.reloaded_token_count, 12u);
}

TEST(SystemFailure, EveryThreadThatCannotStart) { fail_each(thread_starts, false, {FSV_ERROR_OUT_OF_MEMORY}, 3); }
TEST(SystemFailure, EveryReadOfAPumpedLife) { fail_each(reads, true, {FSV_ERROR_IO}, 3); }
TEST(SystemFailure, EveryReadOfAThreadedLife) { fail_each(reads, false, {FSV_ERROR_IO}, 3); }
TEST(SystemFailure, EveryReadThatEndsEarly) { fail_each(short_reads, true, {FSV_ERROR_CORRUPT}, 3); }
TEST(SystemFailure, EveryMapping) { fail_each(mappings, true, {FSV_ERROR_OUT_OF_MEMORY}, 3); }
TEST(SystemFailure, EveryMappingOfAThreadedLife) { fail_each(mappings, false, {FSV_ERROR_OUT_OF_MEMORY}, 3); }
TEST(SystemFailure, EveryWaitHandle) { fail_each(event_handles, true, {FSV_ERROR_IO}, 1); }

// The wake-up of a host, when something is there to tell, fails the n-th time: nothing is lost, and nobody sleeps on.
void expect_heard_in_spite_of_wakes(bool is_pumped, uint64_t stride) {
  const TemporaryFile file(life_shape());
  const RunResult whole = run_a_life(file.path(), is_pumped);
  ASSERT_TRUE(whole.finished);
  wakes.calls = 0;
  (void)run_a_life(file.path(), is_pumped);
  const uint64_t per_life = wakes.calls;
  ASSERT_GE(per_life, 5u);
  for (uint64_t n = 1; n <= per_life; n += stride) {
    wakes.calls = 0;
    wakes.fail_at = n;
    const RunResult result = run_a_life(file.path(), is_pumped);
    wakes.fail_at = 0;
    ASSERT_EQ(result.failure_count, 0u) << n;
    ASSERT_TRUE(result.finished) << n;
    ASSERT_EQ(result.token_count, whole.token_count) << n;
    ASSERT_TRUE(std::equal(whole.tokens, whole.tokens + whole.token_count, result.tokens)) << n;
    ASSERT_TRUE(std::ranges::equal(result.chat_tokens, whole.chat_tokens)) << n;
    ASSERT_TRUE(std::ranges::equal(result.session_tokens, whole.session_tokens)) << n;
  }
}

TEST(SystemFailure, EveryWakeOfAPumpedLife) { expect_heard_in_spite_of_wakes(true, 1); }
TEST(SystemFailure, SomeWakesOfAThreadedLife) { expect_heard_in_spite_of_wakes(false, 11); }
TEST(SystemFailureSlow, EveryWakeOfAThreadedLife) { expect_heard_in_spite_of_wakes(false, 1); }

// A host that sleeps on the handle alone, and looks only when it is set.
size_t tokens_heard_through_the_handle(fsv_engine* engine, fsv_model* model) {
  const int32_t ids[] = {10, 20, 30};
  fsv_generate_config config;
  fsv_generate_config_init(&config, sizeof(config));
  config.token_ids = ids;
  config.token_count = 3;
  config.max_tokens = 16;
  config.ignore_eos = 1;
  fsv_request request = 0;
  EXPECT_EQ(fsv_submit_generate(engine, model, &config, &request, nullptr), FSV_OK);
  pollfd handle{};
  intptr_t native = -1;
  EXPECT_EQ(fsv_wait_handle(engine, &native, nullptr), FSV_OK);
  handle.fd = static_cast<int>(native);
  handle.events = POLLIN;
  RunResult heard;
  while (!heard.finished) {
    if (poll(&handle, 1, 20000) != 1) return 0;  // asleep for ever
    poll_into(engine, heard);
  }
  return heard.token_count;
}

TEST(SystemFailure, AHostThatSleepsOnTheHandleHearsOfEveryPush) {
  const TemporaryFile file(life_shape());
  fsv_engine_config config;
  fsv_engine_config_init(&config, sizeof(config));
  config.thread_count = 1;
  fsv_engine* engine = nullptr;
  ASSERT_EQ(fsv_engine_create(&config, &engine, nullptr), FSV_OK);
  RunResult result;
  fsv_model* model = load_model(engine, file.path(), false, result);
  ASSERT_NE(model, nullptr);
  poll_into(engine, result);
  for (uint64_t n = 1; n <= 24; ++n) {
    wakes.calls = 0;
    wakes.fail_at = n;
    ASSERT_EQ(tokens_heard_through_the_handle(engine, model), 16u) << n;
  }
  wakes.fail_at = 0;
  EXPECT_EQ(fsv_model_release(model, nullptr), FSV_OK);
  EXPECT_EQ(fsv_engine_release(engine, nullptr), FSV_OK);
}

}  // namespace
}  // namespace fastserve::test
