// The operating system layer: files and their errors, mappings, wait handles, threads, words to wait on, the machine.
#include "base/os.h"

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <thread>
#include <vector>

#include "base/clock.h"

#ifdef __linux__
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/stat.h>
#endif

namespace fastserve {
namespace {

// A file that is removed again.
class TemporaryFile {
 public:
  TemporaryFile(const char* name, std::string_view content) {
    path_ = (std::filesystem::temp_directory_path() /
             (std::string("fastserve_os_test_") + std::to_string(system_clock().now_ns()) + name))
                .string();
    std::ofstream(path_, std::ios::binary) << content;
  }
  ~TemporaryFile() { std::filesystem::remove(path_); }
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

TEST(OsFile, ReadsAtPositions) {
  const TemporaryFile temporary("_\xc3\xbc\xe6\x97\xa5", "0123456789");  // a path beyond ASCII
  auto file = os::open_file(temporary.path());
  ASSERT_TRUE(file.ok()) << file.status().message();
  EXPECT_EQ((*file)->size_bytes(), 10u);
  EXPECT_EQ((*file)->name(), temporary.path());
  char bytes[11] = {};
  ASSERT_TRUE((*file)->read_at(0, bytes, 10).ok());
  EXPECT_STREQ(bytes, "0123456789");
  ASSERT_TRUE((*file)->read_at(7, bytes, 3).ok());
  EXPECT_EQ(std::string_view(bytes, 3), "789");
  ASSERT_TRUE((*file)->read_at(10, bytes, 0).ok());
  for (uint64_t offset : {uint64_t{8}, uint64_t{10}, uint64_t{11}, UINT64_MAX, UINT64_MAX - 2}) {
    const Status status = (*file)->read_at(offset, bytes, 3);
    EXPECT_EQ(status.code(), StatusCode::kCorrupt);
    EXPECT_NE(std::string_view(status.message()).find("past the end"), std::string_view::npos);
  }
}

TEST(OsFile, AFileCutWhileOpenIsAStatus) {
  const TemporaryFile temporary("_cut", std::string(100000, 'x'));
  auto file = os::open_file(temporary.path());
  ASSERT_TRUE(file.ok());
  std::filesystem::resize_file(temporary.path(), 50000);
  std::vector<char> bytes(100000);
  const Status status = (*file)->read_at(0, bytes.data(), bytes.size());
  EXPECT_EQ(status.code(), StatusCode::kCorrupt);
  EXPECT_NE(std::string_view(status.message()).find("offset 50000"), std::string_view::npos) << status.message();
}

TEST(OsFile, ErrorsNameThePath) {
  const auto refused = [](std::string_view path) {
    const auto file = os::open_file(path);
    EXPECT_FALSE(file.ok()) << path;
    return file.status();
  };
  const Status missing = refused("/no/such/file");
  EXPECT_EQ(missing.code(), StatusCode::kNotFound);
  EXPECT_NE(std::string_view(missing.message()).find("/no/such/file"), std::string_view::npos);
  const TemporaryFile temporary("_file", "x");
  EXPECT_EQ(refused(temporary.path() + "/below").code(), StatusCode::kNotFound);
  const Status folder = refused(std::filesystem::temp_directory_path().string());
  EXPECT_EQ(folder.code(), StatusCode::kIo);
  EXPECT_NE(std::string_view(folder.message()).find("directory"), std::string_view::npos);
  EXPECT_EQ(refused("").code(), StatusCode::kInvalidArgument);
  EXPECT_EQ(refused(std::string_view("a\0b", 3)).code(), StatusCode::kInvalidArgument);
  EXPECT_FALSE(refused(std::string(100000, 'x')).ok());
}

TEST(OsFile, IdentityFollowsTheContent) {
  const TemporaryFile first("_first", "hello"), second("_second", "hello");
  const auto identity = [](const std::string& path) { return os::open_file(path).take()->identity(); };
  EXPECT_EQ(identity(first.path()), identity(first.path()));
  EXPECT_FALSE(identity(first.path()) == identity(second.path()));
  const auto before = identity(first.path());
  std::this_thread::sleep_for(std::chrono::milliseconds(20));
  std::ofstream(first.path(), std::ios::binary) << "HELLO";
  EXPECT_FALSE(before == identity(first.path()));
}

TEST(OsFile, IsDirectory) {
  const TemporaryFile temporary("_dir", "x");
  EXPECT_TRUE(os::is_directory(std::filesystem::temp_directory_path().string()));
  EXPECT_FALSE(os::is_directory(temporary.path()));
  EXPECT_FALSE(os::is_directory("/no/such/folder"));
  EXPECT_FALSE(os::is_directory(""));
}

#ifdef __linux__
TEST(OsFile, APipeIsRefusedWithoutBlocking) {
  const std::string path = (std::filesystem::temp_directory_path() / "fastserve_os_test_fifo").string();
  std::filesystem::remove(path);
  ASSERT_EQ(mkfifo(path.c_str(), 0600), 0);
  const auto file = os::open_file(path);
  std::filesystem::remove(path);
  ASSERT_FALSE(file.ok());
  EXPECT_EQ(file.status().code(), StatusCode::kIo);
  EXPECT_FALSE(os::open_file("/dev/zero").ok());
}
#endif

void map_discard_unmap(os::PageSize size_of_pages) {
  const size_t page = os::page_size_bytes();
  const size_t size = 8 * page;
  auto* bytes = static_cast<uint8_t*>(os::map_pages(size, size_of_pages));
  ASSERT_NE(bytes, nullptr);
  for (size_t i = 0; i < size; ++i) ASSERT_EQ(bytes[i], 0);
  std::memset(bytes, 0xab, size);
  os::discard_pages(bytes + 100, 3 * page);  // begins and ends inside pages: neighbours keep their bytes
  for (size_t i = 0; i < size; ++i) ASSERT_EQ(bytes[i], i >= 100 && i < 100 + 3 * page ? 0 : 0xab) << i;
  os::discard_pages(bytes + 5 * page + 7, 20);
  EXPECT_EQ(bytes[5 * page + 6], 0xab);
  EXPECT_EQ(bytes[5 * page + 7], 0);
  EXPECT_EQ(bytes[5 * page + 26], 0);
  EXPECT_EQ(bytes[5 * page + 27], 0xab);
  bytes[100] = 1;  // still mapped
  os::unmap_pages(bytes, size);
  EXPECT_EQ(os::map_pages(0, size_of_pages), nullptr);
  EXPECT_EQ(os::map_pages(SIZE_MAX / 2, size_of_pages), nullptr);
  os::unmap_pages(nullptr, 4096);
}

TEST(OsPages, MapDiscardUnmap) {
  map_discard_unmap(os::PageSize::kSmall);
  map_discard_unmap(os::PageSize::kHuge);
}

TEST(OsMachine, FactsArePlausible) {
  EXPECT_GE(os::usable_cpu_count(), 1u);
  EXPECT_LE(os::usable_cpu_count(), os::logical_cpu_count());
  EXPECT_GE(os::physical_memory_bytes(), uint64_t{1} << 26);
  EXPECT_GT(os::available_memory_bytes(), 0u);
  EXPECT_LE(os::available_memory_bytes(), os::physical_memory_bytes());
  EXPECT_EQ(os::page_size_bytes() & (os::page_size_bytes() - 1), 0u);
  const os::CacheSizes sizes = os::cache_sizes();
  EXPECT_TRUE(sizes.l2_bytes == 0 || sizes.l2_bytes >= sizes.l1d_bytes);
#if defined(__linux__) && defined(__x86_64__)
  EXPECT_FALSE(os::cpu_name().empty());
#endif
}

#ifdef __linux__
TEST(OsMachine, AnAffinityMaskIsHonoured) {
  cpu_set_t before;
  ASSERT_EQ(sched_getaffinity(0, sizeof(before), &before), 0);
  cpu_set_t one;
  CPU_ZERO(&one);
  for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu) {
    if (CPU_ISSET(cpu, &before)) {
      CPU_SET(cpu, &one);
      break;
    }
  }
  ASSERT_EQ(sched_setaffinity(0, sizeof(one), &one), 0);
  const uint32_t count = os::usable_cpu_count();
  ASSERT_EQ(sched_setaffinity(0, sizeof(before), &before), 0);
  EXPECT_EQ(count, 1u);
}

bool is_readable(intptr_t descriptor) {
  pollfd entry{static_cast<int>(descriptor), POLLIN, 0};
  return poll(&entry, 1, 0) == 1;
}

TEST(OsWaitHandle, IsLevelTriggered) {
  auto handle = os::create_wait_handle();
  ASSERT_TRUE(handle.ok());
  EXPECT_FALSE(is_readable((*handle)->native()));
  (*handle)->clear();  // clear on a clear handle does not block
  (*handle)->set();
  (*handle)->set();
  EXPECT_TRUE(is_readable((*handle)->native()));
  EXPECT_TRUE(is_readable((*handle)->native()));
  (*handle)->clear();
  EXPECT_FALSE(is_readable((*handle)->native()));
  for (int i = 0; i < 100000; ++i) (*handle)->set();  // never blocks
  (*handle)->clear();
  EXPECT_FALSE(is_readable((*handle)->native()));
}

TEST(OsThread, SignalsAreBlockedInIt) {
  std::atomic<int> blocked{-1};
  auto thread = os::Thread::start(
      "test",
      [](void* raw) {
        sigset_t set;
        pthread_sigmask(SIG_BLOCK, nullptr, &set);
        *static_cast<std::atomic<int>*>(raw) = sigismember(&set, SIGINT) + sigismember(&set, SIGTERM);
      },
      &blocked);
  ASSERT_TRUE(thread.ok());
  thread->join();
  EXPECT_EQ(blocked, 2);
  sigset_t own;
  pthread_sigmask(SIG_BLOCK, nullptr, &own);
  EXPECT_EQ(sigismember(&own, SIGINT), 0);  // the caller's mask is as before
}
#endif

TEST(OsThread, RunsMovesAndJoins) {
  std::atomic<int> runs{0};
  const auto entry = [](void* raw) { ++*static_cast<std::atomic<int>*>(raw); };
  {
    auto first = os::Thread::start("a name that is longer than fifteen", entry, &runs);
    ASSERT_TRUE(first.ok());
    os::Thread moved = first.take();
    EXPECT_TRUE(moved.joinable());
    os::Thread other;
    EXPECT_FALSE(other.joinable());
    other.join();
    other = std::move(moved);
    auto second = os::Thread::start("second", entry, &runs);
    ASSERT_TRUE(second.ok());
    other = second.take();  // joins the first
    EXPECT_GE(runs, 1);
    other.join();
    other.join();
    EXPECT_EQ(runs, 2);
  }
}

TEST(OsWord, WaitReturnsOnChangeAndOnWake) {
  std::atomic<uint32_t> word{1};
  const auto* address = reinterpret_cast<const uint32_t*>(&word);
  os::wait_on_word(address, 0);  // differs already: returns at once
  std::thread waker([&] {
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
    word = 2;
    os::wake_all_on_word(address);
  });
  while (word.load() == 1) os::wait_on_word(address, 1);
  EXPECT_EQ(word, 2u);
  waker.join();
}

TEST(Clocks, MonotonicAndVirtual) {
  const int64_t first = system_clock().now_ns();
  std::this_thread::sleep_for(std::chrono::milliseconds(2));
  const int64_t second = system_clock().now_ns();
  EXPECT_GE(second - first, 2000000);
  VirtualClock clock;
  EXPECT_EQ(clock.now_ns(), 0);
  clock.advance_ns(7);
  EXPECT_EQ(clock.now_ns(), 7);
}

}  // namespace
}  // namespace fastserve
