// A steady decode step takes nothing from the heap: eight streams, and the host's polls with them.
#include <gtest/gtest.h>

#include "base/heap.h"
#include "support/session.h"
#include "support/tiny_model.h"

namespace fastserve::test {
namespace {

// Allocations during `steps` steps of 8 decoding streams, each followed by polls.
uint64_t allocations_of(Host& host, int steps) {
  fsv_event events[16];
  const uint64_t before = heap_hooks::counts().allocations;
  for (int i = 0; i < steps; ++i) {
    uint32_t more = 0;
    EXPECT_EQ(fsv_engine_step(host.engine(), 0, &more, nullptr), FSV_OK);
    size_t count = 0;
    EXPECT_EQ(fsv_poll(host.engine(), events, sizeof(fsv_event), 16, &count, nullptr), FSV_OK);
  }
  return heap_hooks::counts().allocations - before;
}

TEST(SteadyDecode, TakesNothingFromTheHeap) {
  for (const uint32_t type : {kTinyF32, kTinyQ4_0, kTinyQ8_0}) {
    TinyShape shape;
    shape.type = type;
    const TemporaryFile file(shape);
    for (const bool is_sampled : {false, true}) {
      Host host(file.path(), [](fsv_engine_config& config) { config.context_tokens = 2048; });
      for (uint32_t i = 0; i < 4; ++i) {
        host.generate(random_prompt(i, 20), 1500, [&](GenerateSettings& config) {
          config.choice_count = 2;
          if (!is_sampled) return;
          config.logprob_count = 3;
          config.draw.temperature = 0.9F;
          config.draw.top_k = 30;
          config.draw.top_p = 0.95F;
          config.draw.seed = i;
        });
      }
      while (host.metrics().decode_tokens < 200) {
        host.step(0);
        host.poll();
      }
      EXPECT_EQ(allocations_of(host, 600), 0u) << "type " << type << ", sampled " << is_sampled;
      EXPECT_EQ(host.metrics().running_requests, 4u);
    }
  }
}

TEST(SteadyDecode, NorDoABeamSearchAndItsForks) {
  const TemporaryFile file(TinyShape{});
  Host host(file.path(), [](fsv_engine_config& config) { config.context_tokens = 2048; });
  fsv_beam_search beam_search;
  fsv_beam_search_init(&beam_search, sizeof(beam_search));
  for (uint32_t i = 0; i < 2; ++i) {
    host.generate(random_prompt(i, 20), 1500, [&](GenerateSettings& config) {
      config.beam_search = &beam_search;
      config.draw.repetition_penalty = 1.1F;
    });
  }
  while (host.metrics().decode_tokens < 200) host.step(0);
  EXPECT_EQ(allocations_of(host, 300), 0u);
  EXPECT_EQ(host.metrics().running_requests, 2u);
}

TEST(SteadyDecode, NorDoesAContextThatSlides) {
  const TemporaryFile file(TinyShape{});
  Host host(file.path(), [](fsv_engine_config& config) { config.context_tokens = 128; });
  for (uint32_t i = 0; i < 4; ++i) {
    host.generate(random_prompt(i, 20), 1500, [&](GenerateSettings& config) {
      config.context_full = FSV_CONTEXT_SLIDE;
      config.context_keep_tokens = 8;
      config.choice_count = 2;
      config.draw.repetition_penalty = 1.1F;
    });
  }
  while (host.metrics().decode_tokens < 1000) {
    host.step(0);
    host.poll();
  }
  const uint64_t prefilled = host.metrics().prefill_tokens;
  EXPECT_EQ(allocations_of(host, 600), 0u);
  EXPECT_GT(host.metrics().prefill_tokens, prefilled + 100);
  EXPECT_EQ(host.metrics().running_requests, 4u);
}

TEST(SteadyDecode, NorDoSessions) {
  const TemporaryFile file(TinyShape{});
  Host host(file.path(), [](fsv_engine_config& config) { config.context_tokens = 2048; });
  TestSession common(host);
  (void)common.turn(random_prompt(1, 70), 0);
  std::vector<std::unique_ptr<TestSession>> forks;
  for (uint32_t i = 0; i < 8; ++i) {
    forks.push_back(std::make_unique<TestSession>(common, SIZE_MAX));
    (void)forks.back()->begin(random_prompt(2 + i, 20), 1500);
  }
  while (host.metrics().decode_tokens < 200) {
    host.step(0);
    host.poll();
  }
  EXPECT_EQ(allocations_of(host, 600), 0u);
  EXPECT_EQ(host.metrics().running_requests, 8u);
  EXPECT_EQ(host.metrics().reused_tokens, 8 * 70u);
}

TEST(SteadyDecode, NorDoesItWithThreads) {
  const TemporaryFile file(TinyShape{});
  Host host(file.path(), [](fsv_engine_config& config) {
    config.mode = FSV_MODE_THREADED;
    config.thread_count = 3;
    config.context_tokens = 4096;
    config.max_pending_events = 4096;
  });
  for (uint32_t i = 0; i < 8; ++i) host.generate(random_prompt(i, 20), 3500);
  while (host.metrics().decode_tokens < 400) std::this_thread::yield();
  const fsv_metrics first = host.metrics();
  const uint64_t before = heap_hooks::counts().allocations;
  while (host.metrics().steps < first.steps + 300) std::this_thread::yield();
  EXPECT_EQ(heap_hooks::counts().allocations - before, 0u);
  EXPECT_EQ(host.metrics().running_requests, 8u);
}

}  // namespace
}  // namespace fastserve::test
