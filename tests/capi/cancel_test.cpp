// Cancels at every stage: the blocks come back within one step, nobody else's tokens change, and what the host still
// reads stays alive.
#include <gtest/gtest.h>

#include "support/host.h"
#include "support/tiny_model.h"

namespace fastserve::test {
namespace {

class Cancel : public testing::Test {
 protected:
  static const TemporaryFile& file() {
    static const TemporaryFile file([] {
      TinyShape shape;
      shape.type = kTinyQ4_0;
      shape.layers = 3;
      return shape;
    }());
    return file;
  }
  static Reply alone(const std::vector<int32_t>& prompt, uint32_t tokens) {
    return Host(file().path()).generate_alone(prompt, tokens);
  }
  static void expect_all_free(Host& host) {
    const fsv_memory_stats stats = host.memory();
    EXPECT_EQ(stats.kv_block_free_count, stats.kv_block_count);
    EXPECT_EQ(stats.kv_block_bytes_used, 0u);
  }
  static void expect_cancelled(Host& host, fsv_request request) {
    host.poll();
    EXPECT_TRUE(host.reply(request).finished);
    EXPECT_EQ(host.reply(request).reason, FSV_FINISH_CANCELLED);
    EXPECT_EQ(host.reply(request).status, FSV_OK);
  }
};

TEST_F(Cancel, BeforeTheFirstStep) {
  Host host(file().path());
  const fsv_request request = host.generate(random_prompt(1, 10), 10);
  EXPECT_EQ(host.cancel(request), FSV_OK);
  host.step(0);
  expect_cancelled(host, request);
  EXPECT_TRUE(host.reply(request).ids.empty());
  expect_all_free(host);
}

TEST_F(Cancel, WhileItWaitsForASlot) {
  Host host(file().path(), [](fsv_engine_config& config) { config.max_sequences = 1; });
  const auto prompt = random_prompt(2, 10);
  const fsv_request first = host.generate(prompt, 12), waiting = host.generate(random_prompt(3, 10), 12);
  host.step(0);
  EXPECT_EQ(host.info(waiting).state, FSV_REQUEST_QUEUED);
  EXPECT_EQ(host.cancel(waiting), FSV_OK);
  host.run();
  EXPECT_EQ(host.reply(waiting).reason, FSV_FINISH_CANCELLED);
  expect_same(host.reply(first), alone(prompt, 12), "the running one");
  expect_all_free(host);
}

TEST_F(Cancel, InPrefillAndInDecode) {
  for (const bool in_decode : {false, true}) {
    Host host(file().path(), [](fsv_engine_config& config) { config.prefill_chunk_tokens = 8; });
    const fsv_request request = host.generate(random_prompt(4, 60), 100);
    while (host.info(request).prefilled_token_count < (in_decode ? 60 : 16)) host.step(0);
    EXPECT_GT(host.memory().kv_block_bytes_used, 0u);
    EXPECT_EQ(host.cancel(request), FSV_OK);
    host.step(0);
    expect_all_free(host);
    expect_cancelled(host, request);
  }
}

TEST_F(Cancel, WhilePausedBecauseNobodyPolls) {
  Host host(file().path(), [](fsv_engine_config& config) { config.max_pending_events = 4; });
  const fsv_request request = host.generate(random_prompt(5, 10), 100);
  while (host.step(1000)) {
  }
  EXPECT_EQ(host.info(request).state, FSV_REQUEST_PAUSED);
  EXPECT_EQ(host.cancel(request), FSV_OK);
  host.step(0);
  expect_all_free(host);
  expect_cancelled(host, request);
  EXPECT_EQ(host.reply(request).ids.size(), 4u);  // what was computed is not lost
}

TEST_F(Cancel, AfterTheEndIsStale) {
  Host host(file().path());
  const fsv_request request = host.generate(random_prompt(6, 10), 3);
  while (host.step()) {
  }
  EXPECT_EQ(host.cancel(request), FSV_ERROR_STALE);  // ended, its events still pending
  host.run();
  EXPECT_EQ(host.reply(request).reason, FSV_FINISH_LENGTH);
  EXPECT_EQ(host.cancel(request), FSV_ERROR_STALE);
  EXPECT_EQ(host.info(request).state, FSV_REQUEST_FINISHED);  // until a later poll
  host.poll();
  fsv_request_info info;
  fsv_request_info_init(&info, sizeof(info));
  EXPECT_EQ(fsv_request_get_info(host.engine(), request, &info, nullptr), FSV_ERROR_STALE);
}

TEST_F(Cancel, TwiceIsHarmless) {
  Host host(file().path());
  const fsv_request request = host.generate(random_prompt(6, 10), 30);
  host.step(0);
  EXPECT_EQ(host.cancel(request), FSV_OK);
  EXPECT_EQ(host.cancel(request), FSV_OK);
  host.run();
  EXPECT_EQ(host.reply(request).reason, FSV_FINISH_CANCELLED);
}

// A batch of four loses one of them after any piece of a step: embedding, each layer, the head.
TEST_F(Cancel, BetweenAnyTwoPiecesChangesNobodyElse) {
  const uint32_t tokens = 6;
  const size_t sizes[] = {9, 5, 30, 1};
  std::vector<std::vector<int32_t>> prompts;
  std::vector<Reply> expected;
  for (size_t i = 0; i < std::size(sizes); ++i) {
    prompts.push_back(random_prompt(static_cast<uint32_t>(20 + i), sizes[i]));
    expected.push_back(alone(prompts[i], tokens));
  }
  for (size_t victim = 0; victim < prompts.size(); ++victim) {
    for (int pieces = 0; pieces < 14; ++pieces) {  // more than two steps of 5
      Host host(file().path());
      std::vector<fsv_request> requests;
      for (const auto& prompt : prompts) requests.push_back(host.generate(prompt, tokens));
      for (int i = 0; i < pieces; ++i) host.step(0);
      ASSERT_EQ(host.cancel(requests[victim]), FSV_OK);
      host.run();
      for (size_t i = 0; i < requests.size(); ++i) {
        const std::string what = "request " + std::to_string(i) + ", victim " + std::to_string(victim) + " after " +
                                 std::to_string(pieces) + " pieces";
        if (i != victim) {
          expect_same(host.reply(requests[i]), expected[i], what);
          continue;
        }
        EXPECT_EQ(host.reply(requests[i]).reason, FSV_FINISH_CANCELLED) << what;
        const auto& got = host.reply(requests[i]).ids;
        EXPECT_TRUE(std::equal(got.begin(), got.end(), expected[i].ids.begin())) << what;
      }
      expect_all_free(host);
    }
  }
}

// More rows than one run of logits holds: some requests end, and are polled away, while the step goes on.
TEST_F(Cancel, EndedRequestsMayBePolledAwayWithinAStep) {
  for (const bool release_model : {false, true}) {
    Host host(file().path(), [](fsv_engine_config& config) { config.max_sequences = 80; });
    std::vector<fsv_request> requests;
    for (uint32_t i = 0; i < 80; ++i) requests.push_back(host.generate(random_prompt(i, 1), 1 + i % 3));
    if (release_model) {
      EXPECT_EQ(fsv_model_release(host.model(), nullptr), FSV_OK);
      host.forget_models();
    }
    for (int i = 0; i < 200 && !host.all_finished(); ++i) {
      host.step(0);
      if (i % 5 == 3) (void)host.cancel(requests[static_cast<size_t>(i) % 80]);
      host.poll();
      host.poll();  // the second recycles what the first delivered
      host.poll();
    }
    EXPECT_TRUE(host.all_finished());
    host.poll();
    if (release_model) {
      EXPECT_EQ(host.memory().model_count, 0u);
      while (host.step(0)) {  // its memory goes in pieces
      }
      EXPECT_EQ(host.memory().used_bytes, 0u);
    } else {
      expect_all_free(host);
    }
  }
}

TEST_F(Cancel, AScoreInTheMiddle) {
  Host host(file().path(), [](fsv_engine_config& config) { config.prefill_chunk_tokens = 16; });
  const fsv_request score = host.score(random_prompt(8, 200), true);
  const fsv_request other = host.generate(random_prompt(9, 20), 5);
  while (host.info(score).prefilled_token_count < 64) {
    host.step(0);
    host.poll();
  }
  EXPECT_EQ(host.cancel(score), FSV_OK);
  host.run();
  EXPECT_EQ(host.reply(score).reason, FSV_FINISH_CANCELLED);
  EXPECT_LT(host.reply(score).ids.size(), 200u);
  EXPECT_EQ(host.reply(score).ids.size(), host.reply(score).logprobs.size());
  expect_same(host.reply(other), alone(random_prompt(9, 20), 5), "the other");
  expect_all_free(host);
}

TEST_F(Cancel, WhileTheEngineIsPausedInTheMiddleOfAStep) {
  for (const uint32_t mode : {FSV_MODE_PUMPED, FSV_MODE_THREADED}) {
    Host host(file().path(), [mode](fsv_engine_config& config) { config.mode = mode; });
    const auto prompt = random_prompt(10, 100);
    const fsv_request request = host.generate(random_prompt(11, 100), 400), other = host.generate(prompt, 5);
    if (mode == FSV_MODE_PUMPED) {
      host.step(0);
      host.step(0);
    } else {
      while (host.memory().kv_block_bytes_used == 0) std::this_thread::yield();
    }
    EXPECT_EQ(fsv_engine_pause(host.engine(), nullptr), FSV_OK);
    EXPECT_EQ(host.cancel(request), FSV_OK);
    for (int i = 0; i < 20000 && !host.reply(request).finished; ++i) {
      if (mode == FSV_MODE_PUMPED) host.step(0);
      host.poll();
      if (mode == FSV_MODE_THREADED) std::this_thread::sleep_for(std::chrono::microseconds(100));
    }
    EXPECT_TRUE(host.reply(request).finished) << "mode " << mode;
    EXPECT_EQ(host.reply(request).reason, FSV_FINISH_CANCELLED);
    EXPECT_EQ(fsv_engine_resume(host.engine(), nullptr), FSV_OK);
    host.run();
    expect_same(host.reply(other), alone(prompt, 5), "the other");
  }
}

// A step whose last request is cancelled while the engine is paused ends all the same, and keeps nothing.
TEST_F(Cancel, InAPausedStepLeavesNothing) {
  Host host(file().path());
  const fsv_request request = host.generate(random_prompt(1, 60), 10);
  host.step(0);
  host.step(0);  // between layers
  EXPECT_EQ(host.info(request).state, FSV_REQUEST_RUNNING);
  EXPECT_EQ(host.cancel(request), FSV_OK);
  EXPECT_EQ(fsv_engine_pause(host.engine(), nullptr), FSV_OK);
  host.step(0);
  host.poll();
  EXPECT_EQ(host.reply(request).reason, FSV_FINISH_CANCELLED);
  host.poll();  // the payloads of the first poll go
  EXPECT_EQ(fsv_model_release(host.model(), nullptr), FSV_OK);
  host.forget_models();
  EXPECT_EQ(host.memory().model_count, 0u);
  EXPECT_EQ(host.memory().used_bytes, 0u);
}

}  // namespace
}  // namespace fastserve::test
