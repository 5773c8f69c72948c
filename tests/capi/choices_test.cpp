// Several answers to one prompt: the prompt is computed once, each answer is the one that a request of its own gives.
#include <gtest/gtest.h>

#include <algorithm>
#include <set>

#include "support/host.h"
#include "support/tiny_model.h"

namespace fastserve::test {
namespace {

const TemporaryFile& model_file() {
  static const TemporaryFile file{TinyShape{}};
  return file;
}

EditGenerate sampled(uint64_t seed, uint32_t choices, uint32_t stream = 0) {
  return [=](GenerateSettings& config) {
    config.choice_count = choices;
    config.draw.temperature = 1.3F;
    config.draw.top_p = 0.97F;
    config.draw.repetition_penalty = 1.1F;
    config.draw.seed = seed;
    config.draw.stream = stream;
  };
}

// Everything that choice i of a request said, as the request of its own with stream i says it.
void expect_as_alone(Host& alone, const Reply& together, const std::vector<int32_t>& prompt, uint32_t max_tokens,
                     uint64_t seed, const std::string& what) {
  for (uint32_t i = 0; i < together.choices.size(); ++i) {
    const Reply expected = alone.generate_alone(prompt, max_tokens, sampled(seed, 1, i));
    expect_same(together.choices[i], expected, what + ", choice " + std::to_string(i));
    EXPECT_EQ(together.choices[i].generated_count, expected.generated_count);
    EXPECT_NEAR(together.choices[i].cumulative_logprob, expected.cumulative_logprob, 1e-9);
  }
}

TEST(Choices, GreedyOnesAreAllTheSingleOne) {
  Host host(model_file().path());
  const auto prompt = random_prompt(3, 40);
  const Reply single = host.generate_alone(prompt, 30);
  const Reply several = host.generate_alone(prompt, 30, [](GenerateSettings& config) { config.choice_count = 5; });
  ASSERT_EQ(several.choices.size(), 5U);
  for (const Reply& choice : several.choices) expect_same(choice, single, "choice");
  EXPECT_EQ(several.generated_count, 150U);
  EXPECT_EQ(several.prompt_count, 40U);
  EXPECT_EQ(several.reason, FSV_FINISH_LENGTH);
}

TEST(Choices, EachDrawsFromAStreamOfItsOwn) {
  Host host(model_file().path()), alone(model_file().path());
  const auto prompt = random_prompt(4, 21);
  const Reply reply = host.generate_alone(prompt, 40, sampled(9, 6));
  ASSERT_EQ(reply.choices.size(), 6U);
  expect_as_alone(alone, reply, prompt, 40, 9, "alone");
  std::set<std::vector<int32_t>> different;
  for (const Reply& choice : reply.choices) different.insert(choice.ids);
  EXPECT_EQ(different.size(), 6U);
}

// Prompts below, at and above the boundaries of a block and of a chunk of prefill.
TEST(Choices, PromptsOfEverySize) {
  Host host(model_file().path(), [](fsv_engine_config& config) { config.prefill_chunk_tokens = 16; });
  Host alone(model_file().path());
  for (const size_t size : {1U, 15U, 16U, 17U, 31U, 32U, 33U, 100U}) {
    const auto prompt = random_prompt(static_cast<uint32_t>(size), size);
    const Reply reply = host.generate_alone(prompt, 20, sampled(size, 3));
    ASSERT_EQ(reply.choices.size(), 3U);
    expect_as_alone(alone, reply, prompt, 20, size, std::to_string(size) + " tokens");
  }
}

TEST(Choices, SeedsReproduceAcrossThreadsAndBatches) {
  Host alone(model_file().path());
  for (const uint32_t threads : {1U, 2U, 3U}) {
    Host host(model_file().path(), [&](fsv_engine_config& config) {
      config.mode = FSV_MODE_THREADED;
      config.thread_count = threads;
      config.max_sequences = 11;
      config.max_batch_tokens = 16 * threads + 8;
    });
    std::vector<fsv_request> requests;
    for (uint32_t i = 0; i < 7; ++i) {
      requests.push_back(host.generate(random_prompt(i, 5 + 9 * i), 24, sampled(100 + i, 1 + i % 4)));
    }
    host.run();
    for (uint32_t i = 0; i < 7; ++i) {
      const Reply& reply = host.reply(requests[i]);
      ASSERT_EQ(reply.choices.size(), 1 + i % 4);
      if (i % 4 == 0) continue;  // a request with one choice has no end of a choice
      expect_as_alone(alone, reply, random_prompt(i, 5 + 9 * i), 24, 100 + i, std::to_string(threads) + " threads");
    }
  }
}

TEST(Choices, ThePromptIsComputedAndHeldOnce) {
  Host host(model_file().path());
  const uint64_t free_before = host.memory().kv_block_free_count;
  const auto prompt = random_prompt(5, 100);
  const fsv_request request = host.generate(prompt, 8, [](GenerateSettings& config) { config.choice_count = 8; });
  while (host.metrics().decode_tokens < 16) host.step(0);
  EXPECT_EQ(host.metrics().prefill_tokens, 100U);
  // Six full blocks for all, and for each one block that it writes.
  EXPECT_EQ(free_before - host.memory().kv_block_free_count, 6U + 8U);
  host.run();
  EXPECT_EQ(host.metrics().prefill_tokens, 100U);
  EXPECT_EQ(host.metrics().decode_tokens, 8U * 7U);
  EXPECT_EQ(host.memory().kv_block_free_count, free_before);
  EXPECT_EQ(host.reply(request).generated_count, 64U);
}

// A pool in which eight answers fit only because they share their prompt.
TEST(Choices, AdmissionCountsThePromptOnce) {
  auto blocks = [](uint64_t count) {
    return [count](fsv_engine_config& config) {
      config.kv_bytes = count * 16 * 2 * 2 * 2 * 16 * 2;  // tokens, layers, K and V, heads, dimension, F16
      config.max_sequences = 16;
    };
  };
  const auto prompt = random_prompt(6, 160);
  auto eight = [](GenerateSettings& config) { config.choice_count = 8; };
  Host enough(model_file().path(), blocks(10 + 8 * 2));
  ASSERT_EQ(enough.memory().kv_block_count, 26U);
  const Reply reply = enough.generate_alone(prompt, 33, eight);
  EXPECT_EQ(reply.status, FSV_OK) << reply.message;
  EXPECT_EQ(reply.generated_count, 8U * 33U);
  // Two such requests take turns.
  const fsv_request first = enough.generate(prompt, 33, eight), second = enough.generate(prompt, 33, eight);
  enough.run();
  for (const fsv_request request : {first, second}) expect_same(enough.reply(request), reply, "in turn");
  Host small(model_file().path(), blocks(25));
  GenerateSettings config = Host::generate_config(prompt, 33);
  config.choice_count = 8;
  fsv_request request = 0;
  fsv_error error;
  EXPECT_EQ(fsv_submit_generate(small.engine(), small.model(), &config, &request, &error), FSV_ERROR_BUDGET_TOO_SMALL);
  EXPECT_NE(std::string(error.message).find("KV"), std::string::npos) << error.message;
}

TEST(Choices, EachEndsByItsOwnRules) {
  Host host(model_file().path());
  const auto prompt = random_prompt(8, 20);
  const Reply free = host.generate_alone(prompt, 40, sampled(5, 4));
  // A token that one answer draws early and another does not.
  int32_t stop = -1;
  for (size_t i = 0; i < 10 && stop < 0; ++i) {
    const int32_t id = free.choices[1].ids[i];
    const auto& others = free.choices[2].ids;
    if (std::find(others.begin(), others.end(), id) == others.end()) stop = id;
  }
  ASSERT_GE(stop, 0);
  const Reply reply = host.generate_alone(prompt, 40, [&](GenerateSettings& config) {
    sampled(5, 4)(config);
    config.stop_token_ids = &stop;
    config.stop_token_count = 1;
  });
  uint32_t sum = 0;
  for (size_t i = 0; i < 4; ++i) {
    const auto& all = free.choices[i].ids;
    const auto end = std::find(all.begin(), all.end(), stop);
    const bool stops = end != all.end();
    EXPECT_EQ(reply.choices[i].ids, std::vector<int32_t>(all.begin(), stops ? end + 1 : end)) << i;
    EXPECT_EQ(reply.choices[i].reason, stops ? FSV_FINISH_STOP : FSV_FINISH_LENGTH) << i;
    sum += reply.choices[i].generated_count;
  }
  EXPECT_EQ(reply.choices[1].reason, FSV_FINISH_STOP);
  EXPECT_EQ(reply.choices[2].reason, FSV_FINISH_LENGTH);
  EXPECT_EQ(reply.reason, FSV_FINISH_LENGTH);
  EXPECT_EQ(reply.generated_count, sum);
}

TEST(Choices, ACancelEndsAllAndFreesAll) {
  for (const size_t steps : {0U, 1U, 3U, 9U}) {
    Host host(model_file().path(), [](fsv_engine_config& config) { config.max_batch_tokens = 32; });
    const uint64_t free_before = host.memory().kv_block_free_count;
    const fsv_request request = host.generate(random_prompt(1, 80), 400, sampled(1, 5));
    const fsv_request other = host.generate(random_prompt(2, 9), 12);
    for (size_t i = 0; i < steps; ++i) host.step(0);
    EXPECT_EQ(host.cancel(request), FSV_OK);
    host.run();
    EXPECT_EQ(host.reply(request).reason, FSV_FINISH_CANCELLED);
    for (const Reply& choice : host.reply(request).choices) EXPECT_EQ(choice.reason, FSV_FINISH_CANCELLED);
    EXPECT_EQ(host.memory().kv_block_free_count, free_before);
    EXPECT_EQ(host.reply(other).reason, FSV_FINISH_LENGTH);
    EXPECT_EQ(host.metrics().running_requests, 0U);
  }
}

TEST(Choices, PollsOfOneEventLoseNothing) {
  Host host(model_file().path()), alone(model_file().path());
  const auto prompt = random_prompt(2, 12);
  const fsv_request request = host.generate(prompt, 10, sampled(3, 4));
  while (!host.all_finished()) {
    host.step(0);
    EXPECT_LE(host.poll(1), 1U);
  }
  ASSERT_EQ(host.reply(request).choices.size(), 4U);
  expect_as_alone(alone, host.reply(request), prompt, 10, 3, "polled one by one");
}

TEST(Choices, AnswersThatAreNotPolledPause) {
  Host host(model_file().path(), [](fsv_engine_config& config) { config.max_pending_events = 4; });
  const fsv_request request = host.generate(random_prompt(2, 12), 30, sampled(3, 3));
  for (int i = 0; i < 40; ++i) host.step(0);
  EXPECT_EQ(host.info(request).state, static_cast<uint32_t>(FSV_REQUEST_PAUSED));
  EXPECT_EQ(host.info(request).generated_token_count, 12U);
  host.run();
  EXPECT_EQ(host.reply(request).generated_count, 90U);
}

TEST(Choices, CountsOutOfRangeAreNamed) {
  Host host(model_file().path());
  const auto prompt = random_prompt(1, 5);
  for (const uint32_t bad : {0U, 9U, FSV_CHOICES_MAX + 1U, UINT32_MAX}) {
    GenerateSettings config = Host::generate_config(prompt, 3);
    config.choice_count = bad;
    fsv_request request = 0;
    fsv_error error;
    EXPECT_EQ(fsv_submit_generate(host.engine(), host.model(), &config, &request, &error), FSV_ERROR_INVALID_ARGUMENT);
    EXPECT_NE(std::string(error.message).find(std::to_string(bad)), std::string::npos) << error.message;
  }
}

}  // namespace
}  // namespace fastserve::test
