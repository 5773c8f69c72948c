// A budget that is lowered in the middle of a step takes running requests out of it: memory is there within a layer,
// not when the step is over, and no text shows it. Counted in pieces and calls, not in time.
#include <gtest/gtest.h>

#include <condition_variable>
#include <mutex>

#include "support/host.h"
#include "support/tiny_model.h"

namespace fastserve::test {
namespace {

constexpr uint32_t kLayers = 12, kStreams = 24;

const TemporaryFile& model_file() {
  static const TemporaryFile file{[] {
    TinyShape shape;
    shape.layers = kLayers;
    return shape;
  }()};
  return file;
}

EditEngine roomy(uint32_t mode) {
  return [mode](fsv_engine_config& config) {
    config.mode = mode;
    config.max_sequences = kStreams;
    config.max_batch_tokens = 128;
    config.kv_bytes = uint64_t{12} << 20;
  };
}

std::vector<fsv_request> ask_for_all(Host& host) {
  std::vector<fsv_request> requests;
  for (uint32_t i = 0; i < kStreams; ++i) requests.push_back(host.generate(random_prompt(i, 60 + i), 60));
  return requests;
}

void expect_undisturbed(Host& host, const std::vector<fsv_request>& requests) {
  EXPECT_GT(host.metrics().dropped_requests, 0u);
  Host calm(model_file().path(), roomy(FSV_MODE_PUMPED));
  for (uint32_t i = 0; i < kStreams; ++i) {
    expect_same(host.reply(requests[i]), calm.generate_alone(random_prompt(i, 60 + i), 60), std::to_string(i));
  }
}

bool is_over(Host& host) {
  const fsv_memory_stats memory = host.memory();
  return memory.budget_bytes != 0 && memory.used_bytes > memory.budget_bytes;
}

TEST(MidStepBudgetTest, AStepUnderWayGivesItsRequestsUp) {
  Host host(model_file().path(), roomy(FSV_MODE_PUMPED));
  const std::vector<fsv_request> requests = ask_for_all(host);
  uint32_t changes = 0, in_step = 0;
  for (uint32_t round = 0; round < kLayers; ++round) {
    ASSERT_EQ(fsv_memory_set_budget(host.engine(), 0, nullptr), FSV_OK);
    const uint64_t begun = host.metrics().steps + 2;
    while (host.metrics().steps < begun) host.step(0);
    for (uint32_t piece = 0; piece < 2 + round / 2; ++piece) host.step(0);  // into the layers of the next one
    ASSERT_EQ(host.metrics().steps, begun);
    ASSERT_FALSE(host.all_finished());
    ASSERT_EQ(fsv_memory_set_budget(host.engine(), host.memory().floor_bytes, nullptr), FSV_OK);
    const bool has_too_much = is_over(host);
    for (int calls = 0; calls < 1000 && is_over(host); ++calls) host.step(0);
    EXPECT_FALSE(is_over(host));
    changes += has_too_much ? 1 : 0;
    in_step += has_too_much && host.metrics().steps == begun ? 1 : 0;
    host.poll();
  }
  // While the step was under way; it ends first only where its tokens are computed, or everyone has left it.
  EXPECT_GT(changes, 3u);
  EXPECT_GE(in_step, changes - 1);
  ASSERT_EQ(fsv_memory_set_budget(host.engine(), 0, nullptr), FSV_OK);
  ASSERT_TRUE(host.run());
  expect_undisturbed(host, requests);
}

// The calls of a host's executor are counted; at one of them the engine's thread is held while the budget changes.
struct Gate {
  std::mutex mutex;
  std::condition_variable changed;
  uint64_t calls = 0, stop_at = UINT64_MAX, calls_at_release = 0;
  bool is_held = false;

  static fsv_status run(void* context, uint32_t part_count, fsv_task task, void* task_context) {
    auto& gate = *static_cast<Gate*>(context);
    {
      std::unique_lock lock(gate.mutex);
      if (++gate.calls >= gate.stop_at) {
        gate.is_held = true;
        gate.changed.notify_all();
        gate.changed.wait(lock, [&] { return gate.stop_at == UINT64_MAX; });
        gate.is_held = false;
      }
    }
    for (uint32_t part = 0; part < part_count; ++part) task(task_context, part);
    return FSV_OK;
  }
  static void* allocate(void*, size_t size_bytes, size_t alignment, uint32_t) {
    return std::aligned_alloc(alignment, (size_bytes + alignment - 1) / alignment * alignment);
  }
  static void deallocate(void* context, void* address, size_t, size_t, uint32_t use) {
    auto& gate = *static_cast<Gate*>(context);
    if (use == FSV_MEMORY_KV) {
      const std::lock_guard lock(gate.mutex);
      if (gate.calls_at_release == 0) gate.calls_at_release = gate.calls;
    }
    std::free(address);
  }
  // Holds the engine some calls from now; false: it has nothing to compute any more.
  bool hold_after(uint64_t count) {
    std::unique_lock lock(mutex);
    stop_at = calls + count;
    const bool has_stopped = changed.wait_for(lock, std::chrono::minutes(1), [&] { return is_held; });
    calls_at_release = 0;  // of the first release from now on
    return has_stopped;
  }
  uint64_t count() {
    const std::lock_guard lock(mutex);
    return calls;
  }
  void let_go() {
    const std::lock_guard lock(mutex);
    stop_at = UINT64_MAX;
    changed.notify_all();
  }
};

TEST(MidStepBudgetTest, WithinALayerOfAThreadedEngine) {
  Gate gate;
  fsv_executor executor;
  fsv_executor_init(&executor, sizeof(executor));
  executor.width = 2;
  executor.context = &gate;
  executor.run = &Gate::run;
  fsv_allocator allocator;
  fsv_allocator_init(&allocator, sizeof(allocator));
  allocator.context = &gate;
  allocator.allocate = &Gate::allocate;
  allocator.deallocate = &Gate::deallocate;
  Host host(model_file().path(), [&](fsv_engine_config& config) {
    roomy(FSV_MODE_THREADED)(config);
    config.executor = &executor;
    config.allocator = &allocator;
  });
  (void)host.generate_alone(random_prompt(99, 128), 1);
  while (host.metrics().steps == 0) std::this_thread::yield();  // an answer may be told before its step is counted
  const uint64_t step_calls = gate.count() / host.metrics().steps;
  const std::vector<fsv_request> requests = ask_for_all(host);
  uint32_t changes = 0;
  for (uint32_t round = 0; round < 12; ++round) {
    ASSERT_TRUE(gate.hold_after(step_calls + round * step_calls / 12));
    const uint64_t held_at = gate.count();
    const fsv_memory_stats before = host.memory();
    ASSERT_EQ(fsv_memory_set_budget(host.engine(), before.floor_bytes, nullptr), FSV_OK);
    const bool has_too_much = is_over(host);
    gate.let_go();
    while (is_over(host)) std::this_thread::yield();
    if (has_too_much) {
      ++changes;
      const std::lock_guard lock(gate.mutex);
      // The layer under way, or what follows the last one.
      EXPECT_LE(gate.calls_at_release - held_at, step_calls / 3) << round << " of " << step_calls;
    }
    ASSERT_EQ(fsv_memory_set_budget(host.engine(), 0, nullptr), FSV_OK);
    host.poll();
  }
  EXPECT_GT(changes, 0u);  // how often there was something to give up depends on which requests hold it
  ASSERT_TRUE(host.run());
  expect_undisturbed(host, requests);
}

}  // namespace
}  // namespace fastserve::test
