// The prefix cache over the C ABI: texts that begin alike share what was computed, and nobody's text shows it.
#include <gtest/gtest.h>

#include "support/host.h"
#include "support/session.h"
#include "support/tiny_model.h"

namespace fastserve::test {
namespace {

const TemporaryFile& model_file(bool has_window) {
  static const TemporaryFile plain{TinyShape{}};
  static const TemporaryFile windowed{[] {
    TinyShape shape;
    shape.architecture = "gemma3";
    shape.layers = 6;
    shape.window = 32;
    return shape;
  }()};
  return has_window ? windowed : plain;
}

EditEngine with_cache(uint64_t kv_bytes = 0) {
  return [kv_bytes](fsv_engine_config& config) {
    config.prefix_cache = 1;
    config.kv_bytes = kv_bytes;
    config.max_sequences = 4;
    config.max_batch_tokens = 48;
  };
}

TEST(PrefixCacheTest, ASystemPromptIsComputedOnce) {
  Host host(model_file(false).path(), with_cache()), plain(model_file(false).path());
  const std::vector<int32_t> system = random_prompt(1, 100);
  for (uint32_t i = 0; i < 6; ++i) {
    const std::vector<int32_t> prompt = joined(system, random_prompt(50 + i, 10));
    const Reply reply = host.generate_alone(prompt, 12);
    expect_same(reply, plain.generate_alone(prompt, 12), "request " + std::to_string(i));
    EXPECT_EQ(reply.cached_count, i == 0 ? 0u : 96u);  // six whole blocks
  }
  const fsv_metrics metrics = host.metrics();
  EXPECT_EQ(metrics.prefix_lookups, 6u);
  EXPECT_EQ(metrics.prefix_hits, 5u);
  EXPECT_EQ(metrics.prefix_hit_tokens, 5u * 96);
  EXPECT_EQ(metrics.prefill_tokens, 110u + 5 * 14);
  EXPECT_EQ(plain.metrics().prefix_lookups, 0u);
  EXPECT_EQ(plain.memory().kv_block_free_count, plain.memory().kv_block_count);
  EXPECT_GT(host.memory().prefix_block_count, 6u);
}

TEST(PrefixCacheTest, SessionsFindWhatOthersComputed) {
  Host host(model_file(false).path(), with_cache());
  const std::vector<int32_t> system = random_prompt(1, 64);
  TestSession first(host), second(host);
  first.turn(joined(system, random_prompt(2, 10)), 8);
  const Reply reply = second.turn(joined(system, random_prompt(3, 10)), 8);
  EXPECT_EQ(reply.cached_count, 64u);
  Host plain(model_file(false).path());
  TestSession alone(plain);
  expect_same(reply, alone.turn(joined(system, random_prompt(3, 10)), 8), "the second session");
  expect_same(second.turn(random_prompt(4, 5), 8), alone.turn(random_prompt(4, 5), 8), "its next turn");
  first.release();
  second.release();
  EXPECT_EQ(host.generate_alone(joined(system, random_prompt(5, 5)), 2).cached_count, 64u);
}

// Many texts that begin alike, some urgent, in a pool that is too small to keep them: dropped, evicted, found again.
TEST(PrefixCacheTest, RandomTextsAreUndisturbed) {
  for (const bool has_window : {false, true}) {
    const uint64_t token_bytes = (has_window ? 6 : 2) * 2 * 2 * 16 * 2;
    Host host(model_file(has_window).path(), with_cache(400 * token_bytes));
    Host plain(model_file(has_window).path());
    std::mt19937 random(5);
    std::vector<std::vector<int32_t>> prompts;
    std::vector<fsv_request> requests;
    for (uint32_t i = 0; i < 40; ++i) {
      prompts.push_back(random_prompt(random() % 3, 16 + random() % 60));
      const std::vector<int32_t> tail = random_prompt(100 + i, 1 + random() % 20);
      prompts.back() = joined(prompts.back(), tail);
      const auto priority = static_cast<int32_t>(random() % 3);
      requests.push_back(host.generate(prompts.back(), 1 + random() % 50,
                                       [&](GenerateSettings& config) { config.priority = priority; }));
      const uint64_t later = host.metrics().steps + random() % 16;
      while (host.metrics().steps < later && host.step(0)) host.poll();
    }
    ASSERT_TRUE(host.run());
    for (size_t i = 0; i < requests.size(); ++i) {
      const Reply& reply = host.reply(requests[i]);
      expect_same(reply, plain.generate_alone(prompts[i], reply.generated_count), "request " + std::to_string(i));
    }
    // Where layers see a window, a text that went on has dropped what its beginning ends with.
    EXPECT_TRUE(has_window || host.metrics().prefix_hits > 5u) << host.metrics().prefix_hits;
    EXPECT_GT(host.metrics().prefix_evictions, 0u);
  }
}

TEST(PrefixCacheTest, ScoresTellOfEveryToken) {
  Host host(model_file(false).path(), with_cache()), plain(model_file(false).path());
  const std::vector<int32_t> prompt = random_prompt(1, 80);
  host.generate_alone(prompt, 4);
  expect_same(host.score_alone(prompt, true), plain.score_alone(prompt, true), "a score after a generation");
}

}  // namespace
}  // namespace fastserve::test
