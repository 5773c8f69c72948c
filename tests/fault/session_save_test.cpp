// Every call of the system that a save makes fails in turn: the older file stays, nothing else does, and the session
// goes on. The calls are wrapped at link time (--wrap).
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/file.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdarg>

#include "support/session.h"
#include "support/temporary_folder.h"
#include "support/tiny_model.h"

namespace {

// Counts the calls of one function and fails the n-th with `number`.
struct Fault {
  std::atomic<uint64_t> calls{0}, fail_at{0};
  std::atomic<int> number{0};
  bool strikes() {
    if (++calls != fail_at.load()) return false;
    errno = number;
    return true;
  }
};
Fault writes, short_writes, syncs, renames, opens, locks;
constexpr int kDies = -1, kDiedStatus = 42;  // instead of an error's number: the process ends in the middle of a write

}  // namespace

extern "C" {
ssize_t __real_pwrite(int, const void*, size_t, off_t);
ssize_t __wrap_pwrite(int file, const void* data, size_t size, off_t offset) {
  if (writes.strikes()) {
    if (writes.number != kDies) return writes.number == 0 ? 0 : -1;
    (void)__real_pwrite(file, data, size / 2, offset);
    _exit(kDiedStatus);
  }
  return __real_pwrite(file, data, short_writes.strikes() ? (size + 1) / 2 : size, offset);
}
int __real_fsync(int);
int __wrap_fsync(int file) { return syncs.strikes() ? -1 : __real_fsync(file); }
int __real_renameat(int, const char*, int, const char*);
int __wrap_renameat(int from, const char* old_name, int to, const char* new_name) {
  return renames.strikes() ? -1 : __real_renameat(from, old_name, to, new_name);
}
int __real_flock(int, int);
int __wrap_flock(int file, int operation) { return locks.strikes() ? -1 : __real_flock(file, operation); }
int __real_openat(int, const char*, int, ...);
int __wrap_openat(int folder, const char* name, int flags, ...) {
  if (opens.strikes()) return -1;
  va_list arguments;
  va_start(arguments, flags);
  const mode_t mode = (flags & O_CREAT) != 0 ? va_arg(arguments, mode_t) : 0;
  va_end(arguments);
  return __real_openat(folder, name, flags, mode);
}
}

namespace fastserve::test {
namespace {

class SessionSave : public testing::Test {
 protected:
  SessionSave()
      : host_(model().path(),
              [this](fsv_engine_config& config) {
                config.write_folder = folder_.path().c_str();
                config.write_folder_size = SIZE_MAX;
              }),
        session_(host_) {
    (void)session_.turn(random_prompt(1, 60), 5);
    whole_ = session_.exported();
    EXPECT_EQ(session_.save("slot"), FSV_OK) << session_.error().message;
    EXPECT_EQ(bytes_of_file(folder_.path_of("slot")), whole_);
  }
  static const TemporaryFile& model() {
    static const TemporaryFile file{TinyShape{}};
    return file;
  }
  // A save of what is another text by now; which calls of `fault` it makes.
  uint64_t calls_of(Fault& fault) {
    (void)session_.turn(random_prompt(2, 10), 5);
    fault.calls = 0;
    EXPECT_EQ(session_.save("other"), FSV_OK) << session_.error().message;
    EXPECT_EQ(std::remove(folder_.path_of("other").c_str()), 0);
    return fault.calls;
  }
  static size_t descriptors() {
    return static_cast<size_t>(std::distance(std::filesystem::directory_iterator("/proc/self/fd"), {}));
  }
  void expect_each_fails(Fault& fault, std::initializer_list<int> numbers, uint64_t count) {
    const size_t open = descriptors();
    const std::vector<int32_t> text = session_.tokens();
    const uint64_t cached = session_.info().cached_token_count;
    for (uint64_t n = 1; n <= count; ++n) {
      for (const int number : numbers) {
        fault.calls = 0;
        fault.number = number;
        fault.fail_at = n;
        const fsv_status status = session_.save("slot");
        fault.fail_at = 0;
        ASSERT_EQ(status, number == ENOMEM ? FSV_ERROR_OUT_OF_MEMORY : FSV_ERROR_IO) << n << " " << number;
        ASSERT_NE(std::string(session_.error().message).find("slot"), std::string::npos) << session_.error().message;
        ASSERT_EQ(bytes_of_file(folder_.path_of("slot")), whole_) << n;
        ASSERT_EQ(folder_.names(), std::set<std::string>{"slot"}) << n;
        ASSERT_EQ(descriptors(), open);
        ASSERT_EQ(session_.tokens(), text);
        ASSERT_EQ(session_.info().cached_token_count, cached);
        ASSERT_EQ(session_.info().busy, 0u);
      }
    }
    EXPECT_EQ(session_.save("slot"), FSV_OK) << session_.error().message;
    EXPECT_EQ(bytes_of_file(folder_.path_of("slot")), session_.exported());
  }

  const TemporaryFolder folder_;
  Host host_;
  TestSession session_;
  std::vector<uint8_t> whole_;
};

TEST_F(SessionSave, EveryWrite) {
  const uint64_t count = calls_of(writes);
  EXPECT_GE(count, 7u);  // the text, five blocks, the checksum
  expect_each_fails(writes, {ENOSPC, EIO, EDQUOT, 0}, count);
}

TEST_F(SessionSave, EverySync) {
  EXPECT_EQ(calls_of(syncs), 2u);  // the second is the folder's: the file is in its place by then
  expect_each_fails(syncs, {EIO, ENOSPC}, 1);
  syncs.calls = 0;
  syncs.fail_at = 2;
  EXPECT_EQ(session_.save("slot"), FSV_OK);
  syncs.fail_at = 0;
}

TEST_F(SessionSave, EveryRename) {
  EXPECT_EQ(calls_of(renames), 1u);
  expect_each_fails(renames, {EIO, EACCES, ENOMEM}, 1);
}

TEST_F(SessionSave, EveryCreation) {
  EXPECT_EQ(calls_of(opens), 1u);
  expect_each_fails(opens, {EACCES, EMFILE, EROFS, ENOMEM}, 1);
}

// Where files cannot be locked, or another looks at the new one first, a save goes on.
TEST_F(SessionSave, EveryLock) {
  EXPECT_EQ(calls_of(locks), 1u);
  for (const int number : {ENOLCK, EOPNOTSUPP, EINTR, EWOULDBLOCK}) {
    locks.calls = 0;
    locks.number = number;
    locks.fail_at = 1;
    EXPECT_EQ(session_.save("slot"), FSV_OK) << session_.error().message;
    locks.fail_at = 0;
    EXPECT_EQ(folder_.names(), std::set<std::string>{"slot"});
  }
}

// A process that dies while it saves leaves the older file and a part of the new one, which the next save replaces.
TEST_F(SessionSave, EveryWriteThatAProcessDiesAt) {
  const uint64_t count = calls_of(writes);
  for (uint64_t n = 1; n <= count; ++n) {
    const pid_t child = fork();
    ASSERT_GE(child, 0);
    if (child == 0) {  // what it changes is its own
      writes.calls = 0;
      writes.number = kDies;
      writes.fail_at = n;
      (void)session_.save("slot");
      _exit(1);
    }
    int ended = 0;
    ASSERT_EQ(waitpid(child, &ended, 0), child);
    ASSERT_TRUE(WIFEXITED(ended) && WEXITSTATUS(ended) == kDiedStatus) << n;
    ASSERT_EQ(folder_.names(), (std::set<std::string>{"slot", "slot.part"})) << n;
    ASSERT_EQ(bytes_of_file(folder_.path_of("slot")), whole_) << n;
    if (n % 2 == 0) continue;  // some die over what others left
    ASSERT_EQ(session_.save("slot"), FSV_OK) << session_.error().message;
    ASSERT_EQ(folder_.names(), std::set<std::string>{"slot"}) << n;
    whole_ = session_.exported();
    ASSERT_EQ(bytes_of_file(folder_.path_of("slot")), whole_) << n;
  }
}

TEST_F(SessionSave, WritesThatAreShortOrInterruptedGoOn) {
  const uint64_t count = calls_of(writes);
  for (uint64_t n = 1; n <= count; ++n) {
    for (Fault* fault : {&writes, &short_writes}) {
      fault->calls = 0;
      fault->number = EINTR;
      fault->fail_at = n;
      EXPECT_EQ(session_.save("slot"), FSV_OK) << session_.error().message;
      fault->fail_at = 0;
      EXPECT_GT(fault->calls, count);
      EXPECT_EQ(bytes_of_file(folder_.path_of("slot")), session_.exported());
    }
  }
}

}  // namespace
}  // namespace fastserve::test
