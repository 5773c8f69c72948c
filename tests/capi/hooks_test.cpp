// What a host lends an engine: memory, time, threads, log. Used where it says, and harmless where it fails.
#include <gtest/gtest.h>
#include <sched.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <set>

#include "support/host.h"
#include "support/thread_activity.h"
#include "support/tiny_model.h"

namespace fastserve::test {
namespace {

// An allocator that keeps the sums and can refuse.
struct CountingAllocator {
  std::atomic<int64_t> bytes[4] = {};
  std::atomic<uint64_t> call_count{0}, fail_at{0};
  bool misaligns = false;

  fsv_allocator hook() {
    fsv_allocator hook;
    fsv_allocator_init(&hook, sizeof(hook));
    hook.context = this;
    hook.allocate = [](void* self, size_t size, size_t alignment, uint32_t use) -> void* {
      auto& me = *static_cast<CountingAllocator*>(self);
      if (++me.call_count == me.fail_at) return nullptr;
      me.bytes[use] += static_cast<int64_t>(size);
      auto* address =
          static_cast<char*>(std::aligned_alloc(alignment, (size + 2 * alignment - 1) / alignment * alignment));
      if (address != nullptr) std::memset(address, 0xFF, size);  // need not be zeroed
      return me.misaligns ? address + 8 : address;
    };
    hook.deallocate = [](void* self, void* address, size_t size, size_t, uint32_t use) {
      auto& me = *static_cast<CountingAllocator*>(self);
      me.bytes[use] -= static_cast<int64_t>(size);
      std::free(me.misaligns ? static_cast<char*>(address) - 8 : address);
    };
    return hook;
  }
  int64_t total() const { return bytes[0] + bytes[1] + bytes[2] + bytes[3]; }
};

Reply plain_answer(const std::string& path, const EditEngine& edit = nullptr) {
  Host host(path, edit);
  return host.generate_alone(random_prompt(1, 40), 12);
}

TEST(Hooks, AllocatorHoldsTheBlocksAndGetsThemBack) {
  const TemporaryFile file(TinyShape{});
  const Reply expected = plain_answer(file.path());
  CountingAllocator allocator;
  const fsv_allocator hook = allocator.hook();
  {
    Host host(file.path(), [&](fsv_engine_config& config) { config.allocator = &hook; });
    const fsv_memory_stats stats = host.memory();
    EXPECT_EQ(allocator.bytes[FSV_MEMORY_WEIGHTS], static_cast<int64_t>(stats.weight_bytes));
    EXPECT_EQ(allocator.bytes[FSV_MEMORY_KV], static_cast<int64_t>(stats.kv_bytes));
    EXPECT_EQ(allocator.bytes[FSV_MEMORY_ACTIVATIONS], static_cast<int64_t>(stats.activation_bytes));
    expect_same(host.generate_alone(random_prompt(1, 40), 12), expected, "lent memory");
  }
  EXPECT_EQ(allocator.total(), 0);
}

TEST(Hooks, EveryAllocationThatTheHostRefuses) {
  const TemporaryFile file(TinyShape{});
  CountingAllocator allocator;
  const fsv_allocator hook = allocator.hook();
  Host host([&](fsv_engine_config& config) { config.allocator = &hook; });
  fsv_error error{};
  for (uint64_t n = 1;; ++n) {
    allocator.call_count = 0;
    allocator.fail_at = n;
    fsv_ticket ticket = 0;
    fsv_model* model = nullptr;
    ASSERT_EQ(host.begin_load(file.path(), &ticket, &error), FSV_OK);
    const fsv_status status = host.finish_load(ticket, &model, &error);
    if (allocator.call_count < n) {
      ASSERT_EQ(status, FSV_OK) << error.message;
      EXPECT_GE(n, 4u);
      EXPECT_EQ(fsv_model_release(model, nullptr), FSV_OK);
      break;
    }
    EXPECT_EQ(status, FSV_ERROR_OUT_OF_MEMORY) << n;
    EXPECT_EQ(allocator.total(), 0) << n;
    EXPECT_EQ(host.memory().used_bytes, 0u) << n;
  }
}

TEST(Hooks, MisalignedMemoryIsRefused) {
  const TemporaryFile file(TinyShape{});
  CountingAllocator allocator;
  allocator.misaligns = true;
  const fsv_allocator hook = allocator.hook();
  Host host([&](fsv_engine_config& config) { config.allocator = &hook; });
  fsv_ticket ticket = 0;
  fsv_model* model = nullptr;
  fsv_error error{};
  ASSERT_EQ(host.begin_load(file.path(), &ticket, &error), FSV_OK);
  EXPECT_EQ(host.finish_load(ticket, &model, &error), FSV_ERROR_OUT_OF_MEMORY);
  EXPECT_EQ(allocator.total(), 0);
}

TEST(Hooks, ClockTimesRequestsAndGrants) {
  const TemporaryFile file(TinyShape{});
  std::atomic<uint64_t> now_ns{uint64_t{1} << 40};
  fsv_clock clock;
  fsv_clock_init(&clock, sizeof(clock));
  clock.context = &now_ns;
  clock.now_ns = [](void* now) { return static_cast<std::atomic<uint64_t>*>(now)->fetch_add(1000000); };
  Host host(file.path(), [&](fsv_engine_config& config) { config.clock = &clock; });
  const fsv_request request = host.generate(random_prompt(1, 4), 40);
  // A millisecond passes with every look: a grant of 5 ms is a few layers, whatever time they really take.
  int steps = 0;
  for (; !host.all_finished() && steps < 10000; ++steps) {
    host.step(5000);
    host.poll();
  }
  EXPECT_EQ(host.reply(request).reason, FSV_FINISH_LENGTH);
  EXPECT_GT(steps, 30);
  now_ns = 0;  // a clock that goes back stands still
  EXPECT_EQ(host.generate_alone(random_prompt(2, 4), 4).reason, FSV_FINISH_LENGTH);
}

// Executors, from willing to hostile.
enum class Manner { kThreads, kSerial, kRefuses, kSkipsAndRepeats };
struct HostExecutor {
  Manner manner;
  std::atomic<int> runs{0};
  static fsv_status run(void* self, uint32_t part_count, fsv_task task, void* context) {
    auto& me = *static_cast<HostExecutor*>(self);
    ++me.runs;
    switch (me.manner) {
      case Manner::kThreads: {
        std::vector<std::thread> threads;
        for (uint32_t part = 0; part < part_count; ++part) threads.emplace_back(task, context, part);
        for (std::thread& thread : threads) thread.join();
        return FSV_OK;
      }
      case Manner::kSerial:
        for (uint32_t part = part_count; part-- > 0;) task(context, part);
        return FSV_OK;
      case Manner::kRefuses:
        return FSV_ERROR_OUT_OF_MEMORY;
      case Manner::kSkipsAndRepeats:
        task(context, 1);
        task(context, 1);
        task(context, part_count + 7);
        return FSV_OK;
    }
    return FSV_OK;
  }
};

TEST(Hooks, ExecutorOfAnyMannerGivesTheSameBits) {
  TinyShape shape;
  shape.hidden = 256;
  shape.heads = 8;
  shape.kv_heads = 4;
  shape.head_dim = 32;
  shape.intermediate = 512;
  const TemporaryFile file(shape);
  const Reply expected = plain_answer(file.path());
  for (const Manner manner : {Manner::kThreads, Manner::kSerial, Manner::kRefuses, Manner::kSkipsAndRepeats}) {
    for (const uint32_t mode : {FSV_MODE_PUMPED, FSV_MODE_THREADED}) {
      HostExecutor executor{manner};
      fsv_executor hook;
      fsv_executor_init(&hook, sizeof(hook));
      hook.context = &executor;
      hook.width = 4;
      hook.run = HostExecutor::run;
      const Reply reply = plain_answer(file.path(), [&](fsv_engine_config& config) {
        config.mode = mode;
        config.executor = &hook;
      });
      expect_same(reply, expected, "manner " + std::to_string(static_cast<int>(manner)));
      EXPECT_GT(executor.runs, 0);
    }
  }
}

// Loads and failures, at their levels; nothing below the level asked for.
TEST(Hooks, LogSaysWhatBecameOfLoads) {
  const TemporaryFile file(TinyShape{});
  for (const uint32_t mode : {FSV_MODE_PUMPED, FSV_MODE_THREADED}) {
    for (const int32_t level : {FSV_LOG_OFF, FSV_LOG_WARNING, FSV_LOG_INFO}) {
      std::vector<std::string> lines;
      Host host([&](fsv_engine_config& config) {
        config.mode = mode;
        config.log_level = level;
        config.log_user = &lines;
        config.log = [](void* user, int32_t line_level, const char* message, size_t size) {
          const std::string prefix = line_level == FSV_LOG_WARNING ? "warning: " : "info: ";
          static_cast<std::vector<std::string>*>(user)->push_back(prefix + std::string(message, size));
        };
      });
      ASSERT_NE(host.load(file.path()), nullptr);
      fsv_ticket ticket = 0;
      fsv_model* model = nullptr;
      fsv_error error{};
      ASSERT_EQ(host.begin_load("/no/such/file", &ticket, &error), FSV_OK);
      ASSERT_EQ(host.finish_load(ticket, &model, &error), FSV_ERROR_NOT_FOUND);
      const size_t expected = level == FSV_LOG_OFF ? 0 : level == FSV_LOG_WARNING ? 1 : 2;
      ASSERT_EQ(lines.size(), expected) << level;
      if (expected == 2) {
        EXPECT_EQ(lines[0].rfind("info: loaded \"" + file.path() + "\"", 0), 0u) << lines[0];
      }
      if (expected > 0) {
        EXPECT_EQ(lines.back().rfind("warning: loading \"/no/such/file\" failed: ", 0), 0u) << lines.back();
      }
    }
  }
}

// The next line, "level text"; the status' name where there is none.
std::string read_log(fsv_engine* engine, uint64_t timeout_us) {
  char text[500];
  int32_t level = 0;
  size_t size = 0;
  const fsv_status status = fsv_engine_read_log(engine, timeout_us, &level, text, sizeof(text), &size, nullptr);
  return status == FSV_OK ? std::to_string(level) + " " + std::string(text, size) : fsv_status_name(status);
}

TEST(Hooks, LogCanBePulled) {
  const TemporaryFile file(TinyShape{});
  for (const uint32_t mode : {FSV_MODE_PUMPED, FSV_MODE_THREADED}) {
    Host host([&](fsv_engine_config& config) {
      config.mode = mode;
      config.log_level = FSV_LOG_INFO;
    });
    EXPECT_EQ(read_log(host.engine(), 0), "FSV_ERROR_TIMEOUT");
    ASSERT_NE(host.load(file.path()), nullptr);
    int32_t level = 0;
    size_t size = 0;
    char byte = 0;
    EXPECT_EQ(fsv_engine_read_log(host.engine(), UINT64_MAX, &level, nullptr, 0, &size, nullptr), FSV_OK);
    EXPECT_EQ(level, FSV_LOG_INFO);
    EXPECT_EQ(fsv_engine_read_log(host.engine(), 0, &level, &byte, 1, &size, nullptr), FSV_ERROR_BUFFER_TOO_SMALL);
    const std::string line = read_log(host.engine(), 0);
    EXPECT_EQ(line.rfind("3 loaded \"" + file.path() + "\"", 0), 0u) << line;
    EXPECT_EQ(line.size(), size + 2);
    EXPECT_EQ(read_log(host.engine(), 0), "FSV_ERROR_TIMEOUT");
  }
}

TEST(Hooks, ReaderOfTheLogIsToldOfTheEnd) {
  for (int i = 0; i < 20; ++i) {
    fsv_engine_config config;
    fsv_engine_config_init(&config, sizeof(config));
    config.log_level = FSV_LOG_DEBUG;
    config.thread_count = 1;
    fsv_engine* engine = nullptr;
    ASSERT_EQ(fsv_engine_create(&config, &engine, nullptr), FSV_OK);
    std::string ended;
    std::thread reader([&] { ended = read_log(engine, UINT64_MAX); });
    fsv_engine_release(engine, nullptr);
    reader.join();
    EXPECT_TRUE(ended == "FSV_ERROR_SHUTDOWN" || ended == "FSV_ERROR_STALE") << ended;  // before or after it began
  }
}

TEST(Hooks, WithoutALevelOrWithAFunctionThereIsNoLogToRead) {
  Host silent;
  EXPECT_EQ(read_log(silent.engine(), 0), "FSV_ERROR_WRONG_STATE");
  Host pushed([](fsv_engine_config& config) {
    config.log_level = FSV_LOG_INFO;
    config.log = [](void*, int32_t, const char*, size_t) {};
  });
  EXPECT_EQ(read_log(pushed.engine(), 0), "FSV_ERROR_WRONG_STATE");
  EXPECT_EQ(fsv_engine_read_log(pushed.engine(), 0, nullptr, nullptr, 0, nullptr, nullptr), FSV_ERROR_INVALID_ARGUMENT);
  EXPECT_EQ(fsv_engine_read_log(nullptr, 0, nullptr, nullptr, 0, nullptr, nullptr), FSV_ERROR_INVALID_ARGUMENT);
}

TEST(Hooks, BadHooksAreRefused) {
  fsv_engine* engine = nullptr;
  fsv_error error{};
  fsv_allocator allocator;
  fsv_allocator_init(&allocator, sizeof(allocator));
  fsv_clock clock;
  fsv_clock_init(&clock, sizeof(clock));
  fsv_executor executor;
  fsv_executor_init(&executor, sizeof(executor));
  fsv_io io;
  fsv_io_init(&io, sizeof(io));
  const uint32_t no_cpu[] = {100000};
  const std::vector<EditEngine> edits = {
      [&](fsv_engine_config& config) { config.allocator = &allocator; },
      [&](fsv_engine_config& config) { config.clock = &clock; },
      [&](fsv_engine_config& config) { config.executor = &executor; },
      [&](fsv_engine_config& config) { config.io = &io; },
      [&](fsv_engine_config& config) { config.cpu_count = 1; },
      [&](fsv_engine_config& config) { config.cpus = no_cpu; },
      [&](fsv_engine_config& config) { config.thread_priority = 3; },
      [&](fsv_engine_config& config) {
        config.mode = FSV_MODE_THREADED;
        config.cpus = no_cpu;
        config.cpu_count = 1;
      },
  };
  for (size_t i = 0; i < edits.size(); ++i) {
    const fsv_engine_config config = engine_config(edits[i]);
    EXPECT_EQ(fsv_engine_create(&config, &engine, &error), FSV_ERROR_INVALID_ARGUMENT) << i;
    EXPECT_EQ(engine, nullptr);
  }
}

TEST(Hooks, ThreadsKeepToTheirCpusAndYield) {
  cpu_set_t usable;
  ASSERT_EQ(sched_getaffinity(0, sizeof(usable), &usable), 0);
  uint32_t cpu = 0;
  while (!CPU_ISSET(cpu, &usable)) ++cpu;
  const int own_nice = getpriority(PRIO_PROCESS, 0);
  Host host([&](fsv_engine_config& config) {
    config.mode = FSV_MODE_THREADED;
    config.thread_count = 3;
    config.cpus = &cpu;
    config.cpu_count = 1;
    config.thread_priority = FSV_THREADS_LOWEST;
  });
  const auto threads = wait_for_library_threads(4);
  EXPECT_EQ(threads.size(), 4u) << "engine, loader, two workers";
  for (const auto& [thread, activity] : threads) {
    cpu_set_t set;
    ASSERT_EQ(sched_getaffinity(thread, sizeof(set), &set), 0);
    EXPECT_EQ(CPU_COUNT(&set), 1);
    EXPECT_TRUE(CPU_ISSET(cpu, &set));
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::minutes(1);  // it sets it when it first runs
    while (getpriority(PRIO_PROCESS, static_cast<id_t>(thread)) != 19 && std::chrono::steady_clock::now() < deadline) {
      std::this_thread::yield();
    }
    EXPECT_EQ(getpriority(PRIO_PROCESS, static_cast<id_t>(thread)), 19);
  }
  EXPECT_EQ(getpriority(PRIO_PROCESS, 0), own_nice) << "the host's own thread";
}

TEST(Hooks, DefaultThreadCountIsThatOfTheCpusGiven) {
  const uint32_t cpu = static_cast<uint32_t>(sched_getcpu());
  Host host([&](fsv_engine_config& config) {
    config.mode = FSV_MODE_THREADED;
    config.thread_count = 0;
    config.cpus = &cpu;
    config.cpu_count = 1;
  });
  EXPECT_EQ(wait_for_library_threads(2).size(), 2u) << "engine and loader, no worker";
}

TEST(Hooks, IdleEngineUsesNoCpu) {
  const TemporaryFile file(TinyShape{});
  Host host(file.path(), [](fsv_engine_config& config) {
    config.mode = FSV_MODE_THREADED;
    config.thread_count = 4;
  });
  host.generate_alone(random_prompt(1, 40), 12);
  EXPECT_EQ(wait_for_library_threads(5).size(), 5u) << "engine, loader, three workers";
  EXPECT_TRUE(library_threads_rest());
}

}  // namespace
}  // namespace fastserve::test
