// The library in odd corners of a host: threads with small stacks, engines destroyed from any thread and made again,
// hundreds of lives in one process.
#include <gtest/gtest.h>
#include <malloc.h>
#include <pthread.h>

#include <fstream>

#include "support/host.h"
#include "support/tiny_model.h"

namespace fastserve::test {
namespace {

// Everything that a host does, on the calling thread.
void live(const std::string& path, uint32_t mode) {
  Host host(path, [&](fsv_engine_config& config) {
    config.mode = mode;
    config.thread_count = mode == FSV_MODE_PUMPED ? 1 : 2;
  });
  host.generate_alone(random_prompt(1, 60), 8, [](fsv_generate_config& config) { config.logprob_count = 3; });
  host.score_alone(random_prompt(2, 30), false);
}

#ifdef __SANITIZE_ADDRESS__
constexpr size_t kSmallStack = 1 << 20;  // instrumented frames, and those of its runtime, are several times larger
#else
constexpr size_t kSmallStack = 64 << 10;
#endif

TEST(HostProcess, ThreadsWithSmallStacks) {
  TinyShape shape;
  shape.type = kTinyQ4_0;
  const TemporaryFile file(shape);
  for (const uint32_t mode : {FSV_MODE_PUMPED, FSV_MODE_THREADED}) {
    struct Argument {
      std::string path;
      uint32_t mode;
    } argument{file.path(), mode};
    pthread_attr_t attributes;
    ASSERT_EQ(pthread_attr_init(&attributes), 0);
    ASSERT_EQ(pthread_attr_setstacksize(&attributes, kSmallStack), 0);
    pthread_t thread;
    auto entry = [](void* raw) -> void* {
      live(static_cast<Argument*>(raw)->path, static_cast<Argument*>(raw)->mode);
      return nullptr;
    };
    ASSERT_EQ(pthread_create(&thread, &attributes, entry, &argument), 0);
    pthread_join(thread, nullptr);
    pthread_attr_destroy(&attributes);
  }
}

TEST(HostProcess, DestroyedByAnotherThreadAndMadeAgain) {
  const TemporaryFile file(TinyShape{});
  for (int round = 0; round < 10; ++round) {
    auto host = std::make_unique<Host>(file.path(), [](fsv_engine_config& config) {
      config.mode = FSV_MODE_THREADED;
      config.thread_count = 2;
    });
    host->generate(random_prompt(1, 60), 400);  // still running when the engine goes
    std::thread([&] { host.reset(); }).join();
  }
}

uint64_t resident_bytes() {
  std::ifstream file("/proc/self/statm");
  uint64_t size = 0, resident = 0;
  file >> size >> resident;
  return resident * 4096;
}

// 200 lives: what the process holds after the tenth is what it holds after the last, to 2%.
TEST(HostProcessSlow, TwoHundredLivesLeaveNothing) {
  TinyShape shape;
  shape.layers = 4;
  shape.hidden = 512;
  shape.heads = 8;
  shape.kv_heads = 4;
  shape.head_dim = 64;
  shape.intermediate = 1024;
  const TemporaryFile file(shape);
  uint64_t after_ten = 0;
  for (int i = 0; i < 200; ++i) {
    live(file.path(), i % 2 == 0 ? FSV_MODE_PUMPED : FSV_MODE_THREADED);
    if (i == 9) after_ten = resident_bytes();
  }
  malloc_trim(0);
  EXPECT_LE(static_cast<double>(resident_bytes()), 1.02 * static_cast<double>(after_ten));
}

}  // namespace
}  // namespace fastserve::test
