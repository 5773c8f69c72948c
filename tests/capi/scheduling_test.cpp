// Scheduling over the C ABI: urgent requests, interruptions that no text shows, deadlines, timeouts and refusals.
#include <gtest/gtest.h>

#include "support/host.h"
#include "support/session.h"
#include "support/tiny_model.h"

namespace fastserve::test {
namespace {

const TemporaryFile& model_file() {
  static const TemporaryFile file{TinyShape{}};
  return file;
}

constexpr uint64_t kTokenBytes = 2 * 2 * 2 * 16 * 2;  // layers, K and V, heads, dimension, F16

struct Ask {
  std::vector<int32_t> prompt;
  uint32_t max_tokens;
  int32_t priority;
  bool draws;
};

std::vector<Ask> random_asks(uint32_t seed, size_t count) {
  std::mt19937 random(seed);
  std::vector<Ask> asks;
  for (size_t i = 0; i < count; ++i) {
    const auto below = [&](uint32_t limit) { return static_cast<uint32_t>(random()) % limit; };
    const uint32_t max_tokens = below(4) == 0 ? 60 + below(60) : 1 + below(12);
    asks.push_back({random_prompt(seed * 1000 + static_cast<uint32_t>(i), 1 + below(60)), max_tokens,
                    static_cast<int32_t>(below(3)), below(2) == 0});
  }
  return asks;
}

EditGenerate settings(const Ask& ask, size_t index) {
  return [&ask, index](GenerateSettings& config) {
    config.priority = ask.priority;
    if (!ask.draws) return;
    config.draw.temperature = 0.9F;
    config.draw.seed = 77 + index;
    config.draw.repetition_penalty = 1.1F;
  };
}

std::vector<Reply> run_alone(const std::vector<Ask>& asks) {
  Host host(model_file().path());
  std::vector<Reply> replies;
  for (size_t i = 0; i < asks.size(); ++i) {
    replies.push_back(host.generate_alone(asks[i].prompt, asks[i].max_tokens, settings(asks[i], i)));
  }
  return replies;
}

// Requests come one by one while others run; some are cancelled. Whatever was interrupted says what it says alone.
void expect_undisturbed(uint32_t scheduler, uint64_t kv_tokens, uint32_t slots, uint64_t* drops) {
  const std::vector<Ask> asks = random_asks(slots, 24);
  const std::vector<Reply> expected = run_alone(asks);
  Host host(model_file().path(), [&](fsv_engine_config& config) {
    config.scheduler = scheduler;
    config.max_sequences = slots;
    config.max_batch_tokens = 24;
    config.kv_bytes = kv_tokens * kTokenBytes;
  });
  std::mt19937 random(slots);
  std::vector<fsv_request> requests;
  for (size_t i = 0; i < asks.size(); ++i) {
    requests.push_back(host.generate(asks[i].prompt, asks[i].max_tokens, settings(asks[i], i)));
    const int32_t priority = i % 3 == 0 ? 4 : asks[i].priority;
    EXPECT_EQ(fsv_request_set_priority(host.engine(), requests.back(), priority, nullptr), FSV_OK);
    const fsv_request other = host.generate(random_prompt(900 + static_cast<uint32_t>(i), 20), 50);
    const uint64_t later = host.metrics().steps + random() % 12;
    while (host.metrics().steps < later && host.step(0)) host.poll();
    (void)fsv_request_cancel(host.engine(), other, nullptr);  // it may have ended
  }
  ASSERT_TRUE(host.run());
  for (size_t i = 0; i < asks.size(); ++i) {
    const std::string what = "request " + std::to_string(i) + " of scheduler " + std::to_string(scheduler);
    expect_same(host.reply(requests[i]), expected[i], what);
  }
  *drops = host.metrics().dropped_requests;
  EXPECT_EQ(host.memory().kv_block_free_count, host.memory().kv_block_count);
}

TEST(SchedulingTest, InterruptedTextsAreTheSameToTheLastToken) {
  for (const uint32_t scheduler : {FSV_SCHEDULER_FCFS, FSV_SCHEDULER_MLFQ, FSV_SCHEDULER_ADAPTIVE}) {
    for (const uint32_t slots : {1u, 3u}) {
      uint64_t drops = 0;
      expect_undisturbed(scheduler, 4096, slots, &drops);
      EXPECT_EQ(drops, 0u) << "there is memory for all";
    }
  }
}

// All requests together want about four times the memory that there is.
TEST(SchedulingTest, WithAQuarterOfTheMemoryEveryRequestCompletes) {
  uint64_t drops = 0;
  for (const uint32_t scheduler : {FSV_SCHEDULER_FCFS, FSV_SCHEDULER_MLFQ, FSV_SCHEDULER_ADAPTIVE}) {
    expect_undisturbed(scheduler, 448, 6, &drops);
    EXPECT_TRUE(scheduler != FSV_SCHEDULER_FCFS || drops == 0);
  }
  EXPECT_GT(drops, 0u);  // of the last
}

// All slots are taken by long texts: the urgent one has its first token when two steps are over, one to read the
// prompt and none to wait.
TEST(SchedulingTest, AnUrgentRequestIsInTheNextStep) {
  for (const uint64_t kv_tokens : {4096, 460}) {  // with room beside the others, and without
    Host host(model_file().path(), [&](fsv_engine_config& config) {
      config.max_sequences = 4;
      config.kv_bytes = kv_tokens * kTokenBytes;
    });
    std::vector<fsv_request> background;
    for (uint32_t i = 0; i < 4; ++i) background.push_back(host.generate(random_prompt(i, 10), 100));
    while (host.metrics().decode_tokens < 40) host.step(0);
    const fsv_request urgent =
        host.generate(random_prompt(9, 12), 3, [](GenerateSettings& config) { config.priority = 1; });
    const uint64_t steps = host.metrics().steps;
    while (!host.reply(urgent).finished) {
      host.step(0);
      host.poll();
    }
    EXPECT_LE(host.metrics().steps, steps + 4) << kv_tokens;  // the step under way, then one for each token
    EXPECT_EQ(host.reply(urgent).ids.size(), 3u);
    ASSERT_TRUE(host.run());
    for (uint32_t i = 0; i < 4; ++i) {
      Host alone(model_file().path());
      expect_same(host.reply(background[i]), alone.generate_alone(random_prompt(i, 10), 100), "background");
    }
    EXPECT_EQ(host.metrics().dropped_requests, kv_tokens == 4096 ? 0u : 1u);
  }
}

TEST(SchedulingTest, ALiveRequestsPriorityCounts) {
  Host host(model_file().path(), [](fsv_engine_config& config) { config.max_sequences = 1; });
  const fsv_request first = host.generate(random_prompt(1, 10), 60);
  const fsv_request second = host.generate(random_prompt(2, 10), 5);
  host.step(0);
  fsv_error error;
  EXPECT_EQ(fsv_request_set_priority(host.engine(), second, 3, &error), FSV_OK);
  while (!host.reply(second).finished) {
    host.step(0);
    host.poll();
  }
  EXPECT_FALSE(host.reply(first).finished);
  ASSERT_TRUE(host.run());
  host.poll();
  EXPECT_EQ(fsv_request_set_priority(host.engine(), second, 3, &error), FSV_ERROR_STALE);
  EXPECT_EQ(fsv_request_set_priority(host.engine(), 0, 3, &error), FSV_ERROR_INVALID_ARGUMENT);
  EXPECT_EQ(fsv_request_set_priority(nullptr, second, 3, &error), FSV_ERROR_INVALID_ARGUMENT);
}

// A session's turn that loses its KV in the middle brings the same text back, and the next turn builds on it.
TEST(SchedulingTest, ASessionSurvivesTheLossOfItsKv) {
  auto talk = [](Host& host, TestSession& session, bool is_disturbed) {
    std::vector<Reply> replies = {session.turn(random_prompt(1, 40), 20)};
    host.generate(random_prompt(8, 4), 110);  // the oldest is never robbed: this one
    host.step(0);
    const fsv_request second = session.begin(random_prompt(2, 30), 60);
    while (is_disturbed && host.metrics().decode_tokens < 80) host.step(0);
    if (is_disturbed) {
      host.generate(random_prompt(3, 200), 4, [](GenerateSettings& config) { config.priority = 2; });
    }
    host.run();
    replies.push_back(host.reply(second));
    replies.push_back(session.turn(random_prompt(4, 5), 10));
    return replies;
  };
  auto edit = [](fsv_engine_config& config) {
    config.max_sequences = 2;
    config.kv_bytes = 352 * kTokenBytes;  // for two of the three
  };
  Host calm(model_file().path(), edit), busy(model_file().path(), edit);
  TestSession calm_session(calm), busy_session(busy);
  const std::vector<Reply> expected = talk(calm, calm_session, false);
  const std::vector<Reply> got = talk(busy, busy_session, true);
  for (size_t i = 0; i < expected.size(); ++i) expect_same(got[i], expected[i], "turn " + std::to_string(i));
  EXPECT_EQ(busy_session.tokens(), calm_session.tokens());
  EXPECT_EQ(calm.metrics().dropped_requests, 0u);
  EXPECT_EQ(busy.metrics().dropped_requests, 1u);
}

// A request of a paused, pumped engine that waits for a microsecond at most, once it has ended.
fsv_request wait_out(Host& host) {
  const fsv_request impatient =
      host.generate(random_prompt(2, 10), 3, [](GenerateSettings& config) { config.queue_timeout_us = 1; });
  while (!host.reply(impatient).finished) {
    host.step(1000);
    host.poll();
  }
  return impatient;
}

TEST(SchedulingTest, WhoWaitsTooLongIsToldWhy) {
  Host host(model_file().path(), [](fsv_engine_config& config) {
    config.max_sequences = 1;
    config.scheduler = FSV_SCHEDULER_FCFS;
  });
  ASSERT_EQ(fsv_engine_pause(host.engine(), nullptr), FSV_OK);
  const fsv_request patient = host.generate(random_prompt(1, 10), 3);
  const fsv_request impatient = wait_out(host);
  EXPECT_EQ(host.reply(impatient).status, FSV_ERROR_TIMEOUT);
  EXPECT_EQ(host.reply(impatient).reason, FSV_FINISH_ERROR);
  EXPECT_NE(host.reply(impatient).message.find("2 requests wait, the engine is paused"), std::string::npos)
      << host.reply(impatient).message;
  EXPECT_FALSE(host.reply(patient).finished);
  ASSERT_EQ(fsv_engine_resume(host.engine(), nullptr), FSV_OK);
  // Who has begun is not timed any more.
  const fsv_request begun = host.generate(random_prompt(3, 10), 3);
  ASSERT_TRUE(host.run());
  EXPECT_EQ(host.reply(patient).reason, FSV_FINISH_LENGTH);
  EXPECT_EQ(host.reply(begun).reason, FSV_FINISH_LENGTH);
}

TEST(SchedulingTest, AnIdleEngineThreadSeesTimeouts) {
  Host host(model_file().path(), [](fsv_engine_config& config) { config.mode = FSV_MODE_THREADED; });
  ASSERT_EQ(fsv_engine_pause(host.engine(), nullptr), FSV_OK);
  const fsv_request request =
      host.generate(random_prompt(2, 10), 3, [](GenerateSettings& config) { config.queue_timeout_us = 2000; });
  ASSERT_TRUE(host.run());
  EXPECT_EQ(host.reply(request).status, FSV_ERROR_TIMEOUT);
}

// A pause may hold a step in its middle, and then nothing is planned until it ends.
TEST(SchedulingTest, APauseWithinAStepLetsRequestsTimeOut) {
  Host host(model_file().path(), [](fsv_engine_config& config) { config.max_batch_tokens = 512; });
  const fsv_request reader = host.generate(random_prompt(5, 400), 3);
  while (host.info(reader).state != FSV_REQUEST_RUNNING) host.step(1);
  ASSERT_EQ(fsv_engine_pause(host.engine(), nullptr), FSV_OK);
  const fsv_request patient = host.generate(random_prompt(1, 10), 3);
  const fsv_request impatient = wait_out(host);
  EXPECT_EQ(host.reply(impatient).status, FSV_ERROR_TIMEOUT);
  EXPECT_EQ(host.metrics().steps, 0U);  // the step was in its middle
  ASSERT_EQ(fsv_engine_resume(host.engine(), nullptr), FSV_OK);
  ASSERT_TRUE(host.run());
  EXPECT_EQ(host.reply(reader).reason, FSV_FINISH_LENGTH);
  EXPECT_EQ(host.reply(patient).reason, FSV_FINISH_LENGTH);
}

TEST(SchedulingTest, APausedEngineThreadSeesTimeoutsWithinASeriesOfSteps) {
  Host host(model_file().path(), [](fsv_engine_config& config) { config.mode = FSV_MODE_THREADED; });
  const fsv_request stream = host.generate(random_prompt(5, 40), 400);
  for (int i = 0; i < 10; ++i) {
    ASSERT_EQ(fsv_engine_pause(host.engine(), nullptr), FSV_OK);
    const fsv_request request =
        host.generate(random_prompt(2, 10), 3, [](GenerateSettings& config) { config.queue_timeout_us = 1; });
    while (!host.reply(request).finished) {
      ASSERT_EQ(fsv_wait(host.engine(), 60'000'000, nullptr), FSV_OK);
      host.poll();
    }
    EXPECT_EQ(host.reply(request).status, FSV_ERROR_TIMEOUT);
    ASSERT_EQ(fsv_engine_resume(host.engine(), nullptr), FSV_OK);
  }
  ASSERT_TRUE(host.run());
  EXPECT_EQ(host.reply(stream).reason, FSV_FINISH_LENGTH);
}

TEST(SchedulingTest, AFullQueueSaysWhatFillsIt) {
  Host host(model_file().path(), [](fsv_engine_config& config) { config.max_queued_requests = 2; });
  const std::vector<int32_t> prompt = random_prompt(1, 5);
  host.generate(prompt, 2);
  host.generate(prompt, 2);
  const GenerateSettings config = Host::generate_config(prompt, 2);
  fsv_request request = 0;
  fsv_error error;
  EXPECT_EQ(fsv_submit_generate(host.engine(), host.model(), &config, &request, &error), FSV_ERROR_QUEUE_FULL);
  EXPECT_NE(std::string(error.message).find("2 requests: 2 wait, 0 run, 0 have ended"), std::string::npos)
      << error.message;
}

// A reader that wants a token every so often keeps getting them while a long prompt is read beside it: the prompt comes
// in parts, and reads the same.
TEST(SchedulingTest, DeadlinesBetweenTokensCutPrompts) {
  const std::vector<int32_t> long_prompt = random_prompt(5, 400);
  auto steps_of = [&](uint64_t deadline_us, Reply* reply) {
    Host host(model_file().path(), [](fsv_engine_config& config) { config.max_batch_tokens = 512; });
    const fsv_request stream = host.generate(random_prompt(6, 4), 100,
                                             [&](GenerateSettings& config) { config.token_deadline_us = deadline_us; });
    while (host.metrics().decode_tokens < 20) host.step(0);
    const fsv_request reader = host.generate(long_prompt, 1);
    const uint64_t begun = host.metrics().steps;
    while (!host.reply(reader).finished) {
      host.step(0);
      host.poll();
    }
    *reply = host.reply(reader);
    const uint64_t steps = host.metrics().steps - begun;
    host.run();
    EXPECT_EQ(host.reply(stream).ids.size(), 100u);
    return steps;
  };
  Reply whole, cut;
  EXPECT_LE(steps_of(0, &whole), 2u);
  EXPECT_GE(steps_of(1, &cut), 20u);  // never in time, so in the smallest parts
  expect_same(cut, whole, "the long prompt");
}

// A target that no step can keep cuts prompts from the first step on, whatever the clock says, and changes no text; one
// that every step keeps leaves batches as they are, once the first steps have shown what they take.
TEST(SchedulingTest, AStepTargetSizesBatchesAndCanBeChangedAtAnyTime) {
  const std::vector<int32_t> prompt = random_prompt(5, 400);
  constexpr uint64_t kHourUs = 3'600'000'000;
  auto steps_of = [&](uint64_t target_us, Reply* reply) {
    Host host(model_file().path(), [&](fsv_engine_config& config) { config.step_target_us = target_us; });
    EXPECT_EQ(host.metrics().step_target_us, target_us);
    const fsv_request request =
        host.generate(prompt, 20, [](GenerateSettings& config) { config.speculation = FSV_SPECULATION_OFF; });
    while (!host.reply(request).finished) {
      host.step(0);
      host.poll();
    }
    *reply = host.reply(request);
    return host.metrics().steps;
  };
  Reply free, tight;
  const uint64_t free_steps = steps_of(0, &free);
  EXPECT_EQ(free_steps, 4u + 19);
  EXPECT_GE(steps_of(1, &tight), free_steps + 2);  // 16, 32, 64 ... tokens at most, then as the model says
  expect_same(tight, free, "a cut prompt");

  Host host(model_file().path());
  host.generate_alone(random_prompt(1, 30), 20);
  EXPECT_EQ(host.metrics().batch_objective, 0);
  EXPECT_EQ(host.metrics().batch_tokens_max, 128u);
  EXPECT_GT(host.metrics().tokens_per_second, 0);
  EXPECT_GE(host.metrics().tokens_per_second_full, host.metrics().tokens_per_second);
  fsv_error error;
  ASSERT_EQ(fsv_engine_set_step_target(host.engine(), kHourUs, &error), FSV_OK) << error.message;
  expect_same(host.generate_alone(prompt, 20), free, "an easy target");
  EXPECT_EQ(host.metrics().step_target_us, kHourUs);
  EXPECT_EQ(host.metrics().batch_tokens_max, 128u);
  EXPECT_GT(host.metrics().batch_objective, 0.5);
  EXPECT_EQ(fsv_engine_set_step_target(nullptr, 5, &error), FSV_ERROR_INVALID_ARGUMENT);
}

TEST(SchedulingTest, TenantsOfOnePriorityShareAlike) {
  Host host(model_file().path(), [](fsv_engine_config& config) { config.max_sequences = 1; });
  std::vector<fsv_request> many, few;
  for (uint32_t i = 0; i < 9; ++i) {
    many.push_back(host.generate(random_prompt(i, 8), 40, [](GenerateSettings& config) { config.tenant = 1; }));
  }
  few.push_back(host.generate(random_prompt(20, 8), 40, [](GenerateSettings& config) { config.tenant = 2; }));
  while (!host.reply(few[0]).finished && !host.all_finished()) {
    host.step(0);
    host.poll();
  }
  size_t done = 0;
  for (const fsv_request request : many) done += host.reply(request).finished ? 1 : 0;
  EXPECT_LT(done, 9u);
  ASSERT_TRUE(host.run());
}

}  // namespace
}  // namespace fastserve::test
