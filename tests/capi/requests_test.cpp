// What requests promise: when they end, what they report, how they queue, and that many at once change nothing.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <memory>

#include "support/host.h"
#include "support/tiny_model.h"

namespace fastserve::test {
namespace {

const TemporaryFile& model_file() {
  static const TemporaryFile file([] {
    TinyShape shape;
    shape.type = kTinyQ8_0;
    return shape;
  }());
  return file;
}

std::string token_text(Host& host, const std::vector<int32_t>& ids) {
  std::vector<char> buffer(4096);
  size_t size = 0;
  EXPECT_EQ(fsv_detokenize(host.model(), ids.data(), ids.size(), FSV_DETOKENIZE_SKIP_SPECIAL, buffer.data(),
                           buffer.size(), &size, nullptr),
            FSV_OK);
  return {buffer.data(), size};
}

bool is_ascii(const std::string& text) {
  return std::all_of(text.begin(), text.end(), [](char c) { return static_cast<unsigned char>(c) < 128; });
}

// A sampled answer of tokens that are whole ASCII pieces, long enough to stop within. Found by trying seeds.
struct Answer {
  std::vector<int32_t> prompt;
  Reply reply;
  EditGenerate settings;
};
Answer ascii_answer(Host& host, size_t tokens) {
  for (uint64_t seed = 1; seed < 5000; ++seed) {
    Answer answer;
    answer.prompt = random_prompt(static_cast<uint32_t>(seed), 12);
    answer.settings = [seed](GenerateSettings& config) {
      config.draw.temperature = 3;
      config.draw.seed = seed;
    };
    answer.reply = host.generate_alone(answer.prompt, static_cast<uint32_t>(tokens), answer.settings);
    const auto& ids = answer.reply.ids;
    const bool has_control = std::any_of(ids.begin(), ids.end(), [](int32_t id) { return id < kTinyFirstByte; });
    if (!has_control && is_ascii(answer.reply.text) && answer.reply.text.find('\0') == std::string::npos) return answer;
  }
  ADD_FAILURE() << "no ASCII answer";
  return {};
}

TEST(Requests, EndAtMaxTokensWithTheTextOfTheirTokens) {
  Host host(model_file().path());
  const Reply reply = host.generate_alone(random_prompt(1, 10), 25);
  EXPECT_EQ(reply.reason, FSV_FINISH_LENGTH);
  EXPECT_EQ(reply.ids.size(), 25u);
  EXPECT_EQ(reply.generated_count, 25u);
  EXPECT_EQ(reply.prompt_count, 10u);
  EXPECT_EQ(reply.text, token_text(host, reply.ids));
}

TEST(Requests, EndWhenTheContextIsFull) {
  Host host(model_file().path(), [](fsv_engine_config& config) { config.context_tokens = 40; });
  const Reply reply = host.generate_alone(random_prompt(1, 30), 1000);
  EXPECT_EQ(reply.reason, FSV_FINISH_LENGTH);
  EXPECT_EQ(reply.ids.size(), 10u);
  const Reply full = host.generate_alone(random_prompt(1, 40), 1000);
  EXPECT_EQ(full.reason, FSV_FINISH_LENGTH);
  EXPECT_EQ(full.ids.size(), 1u);
  Host roomy(model_file().path());
  const Reply longer = roomy.generate_alone(random_prompt(1, 30), 12);
  EXPECT_TRUE(std::equal(reply.ids.begin(), reply.ids.end(), longer.ids.begin()));
}

TEST(Requests, StopTokens) {
  Host host(model_file().path());
  const auto prompt = random_prompt(2, 10);
  const Reply whole = host.generate_alone(prompt, 30);
  const int32_t stop = whole.ids[12];
  const auto first = std::find(whole.ids.begin(), whole.ids.end(), stop);
  const auto expected = static_cast<size_t>(first - whole.ids.begin()) + 1;
  const EditGenerate with_stop = [&](GenerateSettings& config) {
    config.stop_token_ids = &stop;
    config.stop_token_count = 1;
  };
  const Reply stopped = host.generate_alone(prompt, 30, with_stop);
  EXPECT_EQ(stopped.reason, FSV_FINISH_STOP);
  ASSERT_EQ(stopped.ids.size(), expected);
  EXPECT_EQ(stopped.ids.back(), stop);
  EXPECT_EQ(stopped.text, token_text(host, {whole.ids.begin(), first}));  // the stop token itself is not text
  // min_tokens: the stop token does not count before.
  const Reply longer = host.generate_alone(prompt, 30, [&](GenerateSettings& config) {
    with_stop(config);
    config.min_tokens = static_cast<uint32_t>(expected) + 1;
  });
  EXPECT_GT(longer.ids.size(), expected);
}

TEST(Requests, EndTokensEndUnlessIgnoredAndNotBeforeMinTokens) {
  Host host(model_file().path());
  // Nearly uniform draws reach the end token soon.
  const auto prompt = random_prompt(3, 5);
  auto hot = [](GenerateSettings& config) {
    config.draw.temperature = 50;
    config.draw.seed = 5;
    config.ignore_eos = 0;
  };
  const Reply ended = host.generate_alone(prompt, 480, hot);
  ASSERT_EQ(ended.reason, FSV_FINISH_STOP);
  uint32_t attributes = 0;
  size_t size = 0;
  ASSERT_EQ(fsv_token_get(host.model(), ended.ids.back(), nullptr, 0, &size, &attributes, nullptr), FSV_OK);
  EXPECT_TRUE((attributes & FSV_TOKEN_END_OF_GENERATION) != 0);
  EXPECT_EQ(ended.text.find("<|"), std::string::npos);

  const Reply ignored = host.generate_alone(prompt, 480, [&](GenerateSettings& config) {
    hot(config);
    config.ignore_eos = 1;
  });
  EXPECT_EQ(ignored.reason, FSV_FINISH_LENGTH);
  EXPECT_TRUE(std::equal(ended.ids.begin(), ended.ids.end(), ignored.ids.begin()));

  const auto least = static_cast<uint32_t>(ended.ids.size()) + 40;
  const Reply longer = host.generate_alone(prompt, 480, [&](GenerateSettings& config) {
    hot(config);
    config.min_tokens = least;
  });
  EXPECT_GT(longer.ids.size(), least);
  for (size_t i = 0; i < least; ++i) {
    ASSERT_EQ(fsv_token_get(host.model(), longer.ids[i], nullptr, 0, &size, &attributes, nullptr), FSV_OK);
    EXPECT_EQ(attributes & FSV_TOKEN_END_OF_GENERATION, 0u);
  }
}

// Every substring of an answer as a stop string: the text ends right before it, however tokens cut it.
TEST(Requests, StopStringsAcrossTokens) {
  Host host(model_file().path(), [](fsv_engine_config& config) { config.max_sequences = 64; });
  const Answer answer = ascii_answer(host, 8);
  const std::string& text = answer.reply.text;
  struct Expectation {
    fsv_request request;
    std::string stop;
  };
  std::vector<Expectation> expectations;
  for (size_t begin = 0; begin < text.size(); ++begin) {
    for (const size_t size : {1, 2, 3, 5}) {
      if (begin + size > text.size()) continue;
      const std::string stop = text.substr(begin, size);
      const fsv_string decoys[] = {{"never in it", SIZE_MAX}, {stop.data(), stop.size()}};
      const fsv_request request = host.generate(answer.prompt, 8, [&](GenerateSettings& config) {
        answer.settings(config);
        config.stop_strings = decoys;
        config.stop_string_count = 2;
      });
      expectations.push_back({request, stop});
    }
  }
  host.run();
  EXPECT_GT(expectations.size(), 20u);
  for (const Expectation& expectation : expectations) {
    const Reply& reply = host.reply(expectation.request);
    EXPECT_EQ(reply.reason, FSV_FINISH_STOP) << expectation.stop;
    EXPECT_EQ(reply.text, text.substr(0, text.find(expectation.stop))) << "stop at '" << expectation.stop << "'";
    EXPECT_TRUE(std::equal(reply.ids.begin(), reply.ids.end(), answer.reply.ids.begin()));
  }
}

TEST(Requests, TextHeldBackForAStopStringComesInTheEnd) {
  Host host(model_file().path());
  const Answer answer = ascii_answer(host, 8);
  const std::string& text = answer.reply.text;
  const std::string stop = text.substr(text.size() - 3) + "\x01 not there";
  const fsv_string stops[] = {{stop.data(), stop.size()}};
  const Reply reply = host.generate_alone(answer.prompt, 8, [&](GenerateSettings& config) {
    answer.settings(config);
    config.stop_strings = stops;
    config.stop_string_count = 1;
  });
  EXPECT_EQ(reply.reason, FSV_FINISH_LENGTH);
  EXPECT_EQ(reply.text, text);
}

TEST(Requests, LogprobsAgreeWithFullLogitsAndScores) {
  Host host(model_file().path());
  const auto prompt = random_prompt(4, 20);
  const Reply reply = host.generate_alone(prompt, 12, [](GenerateSettings& config) { config.logprob_count = 5; });
  ASSERT_EQ(reply.top.size(), 12u * 5);
  std::vector<int32_t> all = prompt;
  all.insert(all.end(), reply.ids.begin(), reply.ids.end());
  const Reply score = host.score_alone(all, true);
  ASSERT_EQ(score.ids, all);
  ASSERT_EQ(score.logit_rows, all.size() - 1);
  EXPECT_EQ(score.logprobs[0], 0.0F);
  EXPECT_EQ(score.reason, FSV_FINISH_STOP);
  for (size_t i = 0; i + 1 < all.size(); ++i) {
    const float* row = score.logits.data() + i * kTinyVocabulary;
    double sum = 0;
    const float largest = *std::max_element(row, row + kTinyVocabulary);
    for (int32_t id = 0; id < kTinyVocabulary; ++id) sum += std::exp(static_cast<double>(row[id]) - largest);
    const double expected = static_cast<double>(row[all[i + 1]]) - largest - std::log(sum);
    EXPECT_NEAR(score.logprobs[i + 1], expected, 1e-4);
    if (i + 1 < prompt.size()) continue;
    const size_t step = i + 1 - prompt.size();
    EXPECT_EQ(reply.logprobs[step], score.logprobs[i + 1]);  // decode and scoring agree to the bit
    EXPECT_EQ(reply.ids[step], std::max_element(row, row + kTinyVocabulary) - row);
    EXPECT_EQ(reply.top[step * 5].token_id, reply.ids[step]);
    EXPECT_EQ(reply.top[step * 5].logprob, reply.logprobs[step]);
    for (size_t k = 1; k < 5; ++k) EXPECT_LE(reply.top[step * 5 + k].logprob, reply.top[step * 5 + k - 1].logprob);
  }
}

TEST(Requests, SixtyFourAtOnceEqualTheirSingleRuns) {
  auto settings = [](size_t i) -> EditGenerate {
    return [i](GenerateSettings& config) {
      config.user_data = 1000 + i;
      config.ignore_eos = i % 4 != 0;
      if (i % 3 == 0) return;
      config.draw.temperature = 0.5F + 0.1F * static_cast<float>(i % 7);
      config.draw.top_k = i % 2 != 0 ? 20 : 0;
      config.draw.top_p = i % 5 != 0 ? 0.9F : 1;
      config.draw.min_p = i % 7 == 0 ? 0.05F : 0;
      config.draw.seed = i / 2;
    };
  };
  std::vector<Reply> expected;
  {
    Host host(model_file().path());
    for (size_t i = 0; i < 64; ++i) {
      expected.push_back(host.generate_alone(random_prompt(static_cast<uint32_t>(i), 1 + i * 37 % 150),
                                             static_cast<uint32_t>(1 + i * 13 % 50), settings(i)));
    }
  }
  for (const uint32_t sequences : {64U, 5U}) {
    Host host(model_file().path(), [sequences](fsv_engine_config& config) {
      config.mode = FSV_MODE_THREADED;
      config.thread_count = 2;
      config.max_sequences = sequences;
    });
    std::vector<fsv_request> requests(64);
    for (size_t i = 0; i < 64; ++i) {
      requests[i] = host.generate(random_prompt(static_cast<uint32_t>(i), 1 + i * 37 % 150),
                                  static_cast<uint32_t>(1 + i * 13 % 50), settings(i));
    }
    host.run();
    for (size_t i = 0; i < 64; ++i) {
      expect_same(host.reply(requests[i]), expected[i], "request " + std::to_string(i));
      EXPECT_EQ(host.reply(requests[i]).user_data, 1000 + i);
    }
    const fsv_metrics metrics = host.metrics();
    EXPECT_EQ(metrics.submitted_requests, 64u);
    EXPECT_EQ(metrics.finished_requests, 64u);
    EXPECT_EQ(metrics.running_requests + metrics.queued_requests + metrics.paused_requests, 0u);
    EXPECT_EQ(host.memory().kv_block_bytes_used, 0u);
  }
}

TEST(Requests, OneThatIsNotPolledPausesAndOthersGoOn) {
  Host host(model_file().path(), [](fsv_engine_config& config) { config.max_pending_events = 8; });
  const auto prompt = random_prompt(5, 10);
  const Reply expected = host.generate_alone(prompt, 40);
  const fsv_request ignored = host.generate(prompt, 40);
  while (host.step(1000)) {
  }
  EXPECT_EQ(host.info(ignored).state, FSV_REQUEST_PAUSED);
  EXPECT_EQ(host.info(ignored).generated_token_count, 8u);
  EXPECT_EQ(host.metrics().paused_requests, 1u);
  const fsv_request other = host.generate(prompt, 6);
  while (host.step(1000)) {
  }
  EXPECT_EQ(host.info(other).state, FSV_REQUEST_FINISHED);
  EXPECT_EQ(host.info(ignored).generated_token_count, 8u);
  host.run();
  expect_same(host.reply(ignored), expected, "paused five times");
}

TEST(Requests, OneEventAtATimeLosesNothing) {
  Host host(model_file().path());
  const Reply expected = host.generate_alone(random_prompt(6, 10), 20);
  std::vector<fsv_request> requests;
  for (int i = 0; i < 5; ++i) requests.push_back(host.generate(random_prompt(6, 10), 20));
  while (host.step()) {
  }
  size_t polls = 0;
  while (host.poll(1) == 1) ++polls;
  EXPECT_EQ(polls, 10u);
  for (const fsv_request request : requests) expect_same(host.reply(request), expected, "one at a time");
}

TEST(Requests, QueueWhenTheKvPoolIsFull) {
  const auto prompt = random_prompt(7, 40);
  const Reply expected = Host(model_file().path()).generate_alone(prompt, 24);
  uint64_t token_bytes = 0;
  {
    Host host(model_file().path());
    token_bytes = host.memory().kv_bytes / host.memory().kv_block_count / 16 + 1;
  }
  // Room for about two of them at a time.
  Host host(model_file().path(), [&](fsv_engine_config& config) { config.kv_bytes = token_bytes * 16 * 9; });
  std::vector<fsv_request> requests;
  for (int i = 0; i < 10; ++i) requests.push_back(host.generate(prompt, 24));
  host.step(0);
  EXPECT_EQ(host.metrics().running_requests, 2u);
  EXPECT_EQ(host.metrics().queued_requests, 8u);
  host.run();
  for (const fsv_request request : requests) expect_same(host.reply(request), expected, "queued");
  EXPECT_EQ(host.memory().kv_block_bytes_used, 0u);

  GenerateSettings config = Host::generate_config(prompt, 400);
  fsv_request refused = 0;
  fsv_error error{};
  EXPECT_EQ(fsv_submit_generate(host.engine(), host.model(), &config, &refused, &error), FSV_ERROR_BUDGET_TOO_SMALL);
  EXPECT_NE(std::string(error.message).find("bytes"), std::string::npos) << error.message;
  EXPECT_EQ(refused, 0u);
}

TEST(Requests, QueueIsBounded) {
  Host host(model_file().path(), [](fsv_engine_config& config) { config.max_queued_requests = 3; });
  const auto prompt = random_prompt(8, 4);
  for (int i = 0; i < 3; ++i) host.generate(prompt, 4);
  GenerateSettings config = Host::generate_config(prompt, 4);
  fsv_request refused = 77;
  fsv_error error{};
  EXPECT_EQ(fsv_submit_generate(host.engine(), host.model(), &config, &refused, &error), FSV_ERROR_QUEUE_FULL);
  EXPECT_NE(error.message_size, 0u);
  EXPECT_EQ(refused, 0u);
  host.run();
  host.poll();  // frees the numbers
  host.generate_alone(prompt, 4);
}

TEST(Requests, PromptLongerThanTheContext) {
  Host host(model_file().path(), [](fsv_engine_config& config) { config.context_tokens = 100; });
  GenerateSettings config = Host::generate_config({}, 4);
  const auto prompt = random_prompt(9, 101);
  config.token_ids = prompt.data();
  config.token_count = prompt.size();
  fsv_request request = 0;
  fsv_error error{};
  EXPECT_EQ(fsv_submit_generate(host.engine(), host.model(), &config, &request, &error), FSV_ERROR_CONTEXT_TOO_LONG);
  EXPECT_NE(std::string(error.message).find("101"), std::string::npos) << error.message;
  EXPECT_NE(std::string(error.message).find("100"), std::string::npos) << error.message;
}

// Model A's KV is held by a request that nobody polls, and another one waits for it; model B goes on.
TEST(Requests, AModelThatCannotGoOnHoldsUpNoOther) {
  TinyShape shape;
  shape.seed = 9;
  const TemporaryFile other_file(shape);
  Host host(model_file().path(), [](fsv_engine_config& config) {
    config.max_pending_events = 20;
    config.kv_bytes = 2 * 2 * 2 * 16 * 2 * 128;  // layers, K and V, heads, head size, f16, tokens
  });
  fsv_model* other = host.load(other_file.path());
  const auto prompt = random_prompt(10, 10);
  const fsv_request held = host.generate(prompt, 100);
  while (host.step(1000)) {
  }
  ASSERT_EQ(host.info(held).state, FSV_REQUEST_PAUSED);
  const fsv_request waiting = host.generate(prompt, 100);
  const fsv_request running = host.generate(prompt, 10, nullptr, other);
  while (host.step(1000)) {
  }
  EXPECT_EQ(host.info(waiting).state, FSV_REQUEST_QUEUED);
  EXPECT_EQ(host.info(running).state, FSV_REQUEST_FINISHED);
  host.run();
  expect_same(host.reply(waiting), host.reply(held), "waited");
}

// The pool that an engine takes by itself has room for as many full contexts as may run at once.
TEST(Requests, DefaultPoolHoldsEverySequenceAtFullLength) {
  const TemporaryFile file{TinyShape()};
  for (const uint32_t context : {33U, 40U, 64U, 65U}) {
    Host host(file.path(), [context](fsv_engine_config& config) {
      config.context_tokens = context;
      config.max_sequences = 8;
    });
    const EditGenerate token_by_token = [](GenerateSettings& config) { config.speculation = FSV_SPECULATION_OFF; };
    for (uint32_t i = 0; i < 8; ++i) host.generate(random_prompt(i, 1), context - 1, token_by_token);
    for (int step = 0; step < 3; ++step) host.step(0);
    EXPECT_EQ(host.metrics().running_requests, 8u) << context;
    host.run();
    EXPECT_EQ(host.metrics().steps, context - 1) << context;
  }
}

TEST(Requests, ModelsTakeTurns) {
  TinyShape shape;
  std::vector<std::unique_ptr<TemporaryFile>> files;
  Host host;
  std::vector<fsv_model*> models;
  for (uint32_t i = 0; i < 4; ++i) {
    shape.seed = 20 + i;
    files.push_back(std::make_unique<TemporaryFile>(shape));
    models.push_back(host.load(files.back()->path()));
  }
  std::vector<fsv_request> requests;
  const EditGenerate token_by_token = [](GenerateSettings& config) { config.speculation = FSV_SPECULATION_OFF; };
  for (fsv_model* model : models) requests.push_back(host.generate(random_prompt(1, 5), 50, token_by_token, model));
  EXPECT_EQ(host.memory().model_count, 4u);
  while (host.metrics().steps < 40) host.step(0);
  for (const fsv_request request : requests) EXPECT_EQ(host.info(request).generated_token_count, 10u);
  host.run();
}

}  // namespace
}  // namespace fastserve::test
