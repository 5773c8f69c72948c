// Every call of the system that an engine's life makes fails in turn: threads that do not start, reads that fail or end
// early, mappings and descriptors that are refused. Statuses only; nothing leaks; the next life is as if nothing had
// been. The calls are wrapped at link time (--wrap).
#include <gtest/gtest.h>
#include <pthread.h>
#include <sys/mman.h>
#include <sys/types.h>

#include <atomic>
#include <cerrno>
#include <filesystem>
#include <functional>

#include "base/heap.h"
#include "fault/host_run.h"
#include "support/tiny_model.h"

namespace {

// Counts the calls of one function and fails the n-th.
struct Injector {
  std::atomic<uint64_t> calls{0}, fail_at{0};
  bool must_fail() { return ++calls == fail_at.load(); }
};
Injector thread_starts, reads, short_reads, mappings, event_handles;

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
  const TemporaryFile file(TinyShape{});
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
}

TEST(SystemFailure, EveryThreadThatCannotStart) { fail_each(thread_starts, false, {FSV_ERROR_OUT_OF_MEMORY}, 3); }
TEST(SystemFailure, EveryReadOfAPumpedLife) { fail_each(reads, true, {FSV_ERROR_IO}, 3); }
TEST(SystemFailure, EveryReadOfAThreadedLife) { fail_each(reads, false, {FSV_ERROR_IO}, 3); }
TEST(SystemFailure, EveryReadThatEndsEarly) { fail_each(short_reads, true, {FSV_ERROR_CORRUPT}, 3); }
TEST(SystemFailure, EveryMapping) { fail_each(mappings, true, {FSV_ERROR_OUT_OF_MEMORY}, 3); }
TEST(SystemFailure, EveryMappingOfAThreadedLife) { fail_each(mappings, false, {FSV_ERROR_OUT_OF_MEMORY}, 3); }
TEST(SystemFailure, EveryWaitHandle) { fail_each(event_handles, true, {FSV_ERROR_IO}, 1); }

}  // namespace
}  // namespace fastserve::test
