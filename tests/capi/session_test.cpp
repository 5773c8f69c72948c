// Sessions: what is kept between requests, what each call does to it, and who waits for whom.
#include <gtest/gtest.h>

#include "support/session.h"
#include "support/tiny_model.h"

namespace fastserve::test {
namespace {

const TemporaryFile& model_file() {
  static const TemporaryFile file{TinyShape{}};
  return file;
}

// All that can be computed before is: the answer's last token is not, as nothing followed it.
TEST(Session, KeepsWhatWasComputed) {
  Host host(model_file().path());
  TestSession session(host);
  const std::vector<int32_t> first = random_prompt(1, 50), second = random_prompt(2, 30);
  const Reply one = session.turn(first, 10);
  EXPECT_EQ(one.cached_count, 0u);
  const std::vector<int32_t> text = joined(joined(first, one.ids), second);
  const uint64_t prefilled = host.metrics().prefill_tokens;
  const Reply two = session.turn(second, 10);
  EXPECT_EQ(two.prompt_count, 90u);
  EXPECT_EQ(two.cached_count, 59u);
  EXPECT_EQ(host.metrics().prefill_tokens - prefilled, 31u);
  EXPECT_EQ(host.metrics().reused_tokens, 59u);
  EXPECT_EQ(session.tokens(), joined(text, two.ids));
  EXPECT_EQ(session.info().token_count, 100u);
  EXPECT_EQ(session.info().cached_token_count, 99u);
  EXPECT_EQ(session.info().turn_count, 2u);
  expect_same(two, host.generate_alone(text, 10), "a fresh request");
}

TEST(Session, APromptAloneIsComputedAndNothingDrawn) {
  Host host(model_file().path());
  TestSession session(host);
  const std::vector<int32_t> prompt = random_prompt(3, 200);
  const Reply reply = session.turn(prompt, 0);
  EXPECT_TRUE(reply.ids.empty());
  EXPECT_EQ(reply.event_count, 0u);
  EXPECT_EQ(reply.reason, FSV_FINISH_LENGTH);
  EXPECT_EQ(session.info().cached_token_count, 200u);
  // Going on without a prompt computes the last token again, for its logits.
  const Reply next =
      session.turn({}, 8, FSV_SESSION_APPEND, [](GenerateSettings& config) { config.token_ids = nullptr; });
  EXPECT_EQ(next.cached_count, 199u);
  expect_same(next, host.generate_alone(prompt, 8), "a fresh request");
}

TEST(Session, ForksShareUntilTheyWrite) {
  Host host(model_file().path());
  TestSession system(host);
  const std::vector<int32_t> prompt = random_prompt(4, 70);
  (void)system.turn(prompt, 0);
  const uint64_t used = host.memory().kv_block_bytes_used;
  std::vector<std::unique_ptr<TestSession>> forks;
  for (int i = 0; i < 16; ++i) forks.push_back(std::make_unique<TestSession>(system, SIZE_MAX));
  EXPECT_EQ(host.memory().kv_block_bytes_used, used);
  EXPECT_EQ(host.memory().session_count, 17u);
  EXPECT_EQ(host.memory().session_kv_bytes, 17 * used);
  std::vector<fsv_request> requests;
  for (uint32_t i = 0; i < 16; ++i) requests.push_back(forks[i]->begin(random_prompt(100 + i, 5), 6));
  host.run();
  for (uint32_t i = 0; i < 16; ++i) {
    const Reply reply = host.reply(requests[i]);
    EXPECT_EQ(reply.cached_count, 70u);
    expect_same(reply, host.generate_alone(joined(prompt, random_prompt(100 + i, 5)), 6), std::to_string(i));
  }
  // 80 of 81 tokens each: the prompt's 4 full blocks once, and one of its own, where the copied tail is.
  EXPECT_EQ(host.memory().kv_block_bytes_used, used / 5 * (5 + 16));
  EXPECT_EQ(system.tokens(), prompt);
  forks.clear();
  EXPECT_EQ(host.memory().kv_block_bytes_used, used);
  system.release();
  EXPECT_EQ(host.memory().kv_block_bytes_used, 0u);
  EXPECT_EQ(host.memory().session_count, 0u);
}

TEST(Session, OneRequestAtATime) {
  Host host(model_file().path());
  TestSession session(host);
  const std::vector<int32_t> prompt = random_prompt(5, 20);
  (void)session.turn(prompt, 4);
  const std::vector<int32_t> before = session.tokens();
  const fsv_request running = session.begin(random_prompt(6, 5), 50);
  for (const bool has_begun : {false, true}) {
    if (has_begun) host.step(0);
    GenerateSettings config;
    config.token_ids = prompt.data();
    config.token_count = prompt.size();
    config.session = session.handle();
    fsv_request second = 1;
    fsv_error error{};
    EXPECT_EQ(fsv_submit_generate(host.engine(), nullptr, &config, &second, &error), FSV_ERROR_WRONG_STATE);
    EXPECT_NE(std::string(error.message).find("session"), std::string::npos);
    EXPECT_EQ(second, 0u);
    fsv_session* fork = nullptr;
    EXPECT_EQ(fsv_session_fork(session.handle(), SIZE_MAX, &fork, nullptr), FSV_ERROR_WRONG_STATE);
    EXPECT_EQ(fork, nullptr);
    EXPECT_EQ(session.undo(), FSV_ERROR_WRONG_STATE);
    EXPECT_EQ(session.truncate(0), FSV_ERROR_WRONG_STATE);
    EXPECT_EQ(session.tokens(), before);
    EXPECT_EQ(session.info().busy, 1u);
  }
  host.run();
  EXPECT_EQ(session.info().busy, 0u);
  EXPECT_EQ(session.tokens().size(), before.size() + 5 + 50);
  EXPECT_EQ(host.reply(running).ids.size(), 50u);
  EXPECT_EQ(session.undo(), FSV_OK);
  EXPECT_EQ(session.tokens(), before);
}

TEST(Session, ACancelledAnswerStaysAndCanBeTakenBack) {
  Host host(model_file().path());
  TestSession session(host);
  const std::vector<int32_t> first = random_prompt(7, 40), second = random_prompt(8, 90);
  const Reply answered = session.turn(first, 5);
  const std::vector<int32_t> before = session.tokens();
  for (const int steps : {0, 1, 6}) {
    const fsv_request request = session.begin(second, 100);
    for (int i = 0; i < steps; ++i) host.step(0);
    EXPECT_EQ(host.cancel(request), FSV_OK);
    host.run();
    const Reply reply = host.reply(request);
    EXPECT_EQ(reply.reason, FSV_FINISH_CANCELLED);
    EXPECT_EQ(session.tokens(), joined(joined(before, second), reply.ids)) << steps;
    // It goes on from there as anyone would.
    const std::vector<int32_t> next = random_prompt(9, 3);
    const std::vector<int32_t> text = joined(session.tokens(), next);
    expect_same(session.turn(next, 6), host.generate_alone(text, 6), "after a cancel");
    EXPECT_EQ(session.undo(), FSV_OK);
    EXPECT_EQ(session.undo(), FSV_OK);
    EXPECT_EQ(session.tokens(), before);
  }
  EXPECT_EQ(session.undo(), FSV_OK);
  EXPECT_TRUE(session.tokens().empty());
  EXPECT_EQ(session.info().cached_token_count, 0u);
  EXPECT_EQ(session.undo(), FSV_ERROR_WRONG_STATE);
  expect_same(session.turn(first, 5), answered, "from the start again");
}

TEST(Session, UndoBringsReplacedTextBack) {
  Host host(model_file().path());
  TestSession session(host);
  (void)session.turn(random_prompt(10, 60), 5);
  const std::vector<int32_t> before = session.tokens();
  std::vector<int32_t> other(before.begin(), before.begin() + 20);
  other = joined(other, random_prompt(11, 15));
  const Reply replaced = session.turn(other, 5, FSV_SESSION_REPLACE);
  EXPECT_EQ(replaced.cached_count, 20u);
  EXPECT_EQ(session.tokens(), joined(other, replaced.ids));
  expect_same(replaced, host.generate_alone(other, 5), "replaced");
  EXPECT_EQ(session.undo(), FSV_OK);
  EXPECT_EQ(session.tokens(), before);
  EXPECT_EQ(session.info().cached_token_count, 20u);
  const std::vector<int32_t> next = random_prompt(12, 4);
  expect_same(session.turn(next, 5), host.generate_alone(joined(before, next), 5), "after the undo");
}

TEST(Session, TruncateCutsTurnsToo) {
  Host host(model_file().path());
  TestSession session(host);
  (void)session.turn(random_prompt(13, 30), 5);
  (void)session.turn(random_prompt(14, 30), 5);
  std::vector<int32_t> text = session.tokens();
  EXPECT_EQ(session.truncate(71), FSV_ERROR_INVALID_ARGUMENT);
  EXPECT_NE(std::string(session.error().message).find("71"), std::string::npos);
  EXPECT_EQ(session.truncate(33), FSV_OK);
  EXPECT_EQ(session.info().turn_count, 1u);
  text.resize(33);
  EXPECT_EQ(session.tokens(), text);
  const std::vector<int32_t> next = random_prompt(15, 4);
  const Reply reply = session.turn(next, 5);
  EXPECT_EQ(reply.cached_count, 33u);
  expect_same(reply, host.generate_alone(joined(text, next), 5), "after a truncation");
  EXPECT_EQ(session.truncate(0), FSV_OK);
  EXPECT_EQ(host.memory().kv_block_bytes_used, 0u);
}

TEST(Session, AConversationIsReusedAsFarAsItIsTheSame) {
  Host host(model_file().path());
  TestSession session(host);
  std::vector<std::pair<std::string, std::string>> messages = {{"system", "You guard the gate of the old town."}};
  uint64_t cached_before = 0;
  for (int turn = 0; turn < 3; ++turn) {
    messages.emplace_back("user", "May I enter now? It is the hour " + std::to_string(turn));
    std::vector<fsv_chat_message> list;
    for (const auto& [role, content] : messages) {
      list.push_back({role.data(), role.size(), content.data(), content.size()});
    }
    fsv_chat chat;
    fsv_chat_init(&chat, sizeof(chat));
    chat.messages = list.data();
    chat.message_count = list.size();
    GenerateSettings config;
    config.max_tokens = 8;
    config.ignore_eos = 1;
    config.draw.temperature = 0;
    config.report_logprobs = 1;
    Reply replies[2];
    for (const bool with_session : {true, false}) {
      config.session = with_session ? session.handle() : nullptr;
      fsv_request request = 0;
      fsv_error error{};
      ASSERT_EQ(fsv_submit_chat(host.engine(), host.model(), &chat, &config, &request, &error), FSV_OK)
          << error.message;
      (void)host.reply(request);
      host.run();
      replies[with_session ? 0 : 1] = host.reply(request);
    }
    expect_same(replies[0], replies[1], "turn " + std::to_string(turn));
    EXPECT_EQ(replies[1].cached_count, 0u);
    EXPECT_GE(replies[0].cached_count, cached_before);  // what was rendered before is there
    EXPECT_LT(replies[0].cached_count, replies[0].prompt_count);
    cached_before = replies[0].prompt_count - 2;
    messages.emplace_back("assistant", replies[0].text);
  }
}

// Tokens at the beginning belong at the beginning alone.
TEST(Session, TextFollowsWithoutASecondBeginning) {
  TinyShape shape;
  shape.add_bos = true;
  const TemporaryFile file(shape);
  Host host(file.path());
  TestSession session(host);
  auto say = [&](const char* text) {
    return session.turn({}, 0, FSV_SESSION_APPEND, [text](GenerateSettings& config) {
      config.token_ids = nullptr;
      config.text = text;
      config.text_size = SIZE_MAX;
    });
  };
  EXPECT_EQ(say("ab").status, FSV_OK);
  EXPECT_EQ(session.tokens(), (std::vector<int32_t>{kTinyEnd, kTinyFirstByte + 'a', kTinyFirstByte + 'b'}));
  EXPECT_EQ(say("c").status, FSV_OK);
  EXPECT_EQ(session.tokens().size(), 4u);
  EXPECT_EQ(session.tokens().back(), kTinyFirstByte + 'c');
}

TEST(Session, ReleasedWhileItsRequestRuns) {
  Host host(model_file().path());
  TestSession session(host);
  const std::vector<int32_t> prompt = random_prompt(16, 30);
  const fsv_request request = session.begin(prompt, 20);
  host.step(0);
  session.release();
  host.run();
  expect_same(host.reply(request), host.generate_alone(prompt, 20), "released");
  EXPECT_EQ(host.memory().kv_block_bytes_used, 0u);
  EXPECT_EQ(host.memory().session_count, 0u);
}

TEST(Session, KeepsItsModel) {
  Host host(model_file().path());
  TestSession session(host);
  (void)session.turn(random_prompt(17, 30), 5);
  const std::vector<int32_t> text = session.tokens();
  EXPECT_EQ(fsv_model_release(host.model(), nullptr), FSV_OK);
  host.forget_models();
  EXPECT_EQ(host.memory().model_count, 1u);
  const std::vector<int32_t> next = random_prompt(18, 5);
  GenerateSettings config;
  config.token_ids = next.data();
  config.token_count = next.size();
  config.max_tokens = 5;
  config.ignore_eos = 1;
  config.session = session.handle();
  fsv_request request = 0;
  EXPECT_EQ(fsv_submit_generate(host.engine(), nullptr, &config, &request, nullptr), FSV_OK);
  (void)host.reply(request);
  host.run();
  EXPECT_EQ(session.tokens().size(), text.size() + 10);
  session.release();
  EXPECT_EQ(host.memory().model_count, 0u);
  EXPECT_EQ(host.memory().used_bytes, 0u);
}

TEST(Session, OutlivesItsEngine) {
  for (const uint32_t mode : {FSV_MODE_PUMPED, FSV_MODE_THREADED}) {
    auto host = std::make_unique<Host>(model_file().path(), [mode](fsv_engine_config& config) { config.mode = mode; });
    auto session = std::make_unique<TestSession>(*host);
    (void)session->turn(random_prompt(19, 30), 5);
    const std::vector<int32_t> text = session->tokens();
    const fsv_request running = session->begin(random_prompt(20, 5), 300);
    EXPECT_EQ(fsv_engine_shutdown(host->engine(), 0, nullptr), FSV_OK);
    host->poll();
    EXPECT_EQ(host->reply(running).reason, FSV_FINISH_SHUTDOWN);
    EXPECT_EQ(session->tokens().size(), text.size() + 5 + host->reply(running).ids.size());
    GenerateSettings config;
    config.token_ids = text.data();
    config.token_count = text.size();
    config.session = session->handle();
    fsv_request request = 0;
    EXPECT_EQ(fsv_submit_generate(host->engine(), nullptr, &config, &request, nullptr), FSV_ERROR_SHUTDOWN);
    EXPECT_EQ(session->undo(), FSV_OK);  // the refused one has left no trace
    EXPECT_EQ(session->tokens(), text);
    fsv_engine* engine = host->engine();
    EXPECT_EQ(fsv_engine_release(engine, nullptr), FSV_OK);
    host->forget_engine();
    EXPECT_EQ(session->tokens(), text);
    EXPECT_EQ(fsv_submit_generate(engine, nullptr, &config, &request, nullptr), FSV_ERROR_STALE);
    session.reset();
  }
}

TEST(Session, ARequestThatFailsLeavesItAsItWas) {
  // One token's row of the matrix that is both embedding and output holds no numbers.
  const TinyShape shape;
  const TemporaryFile file(tiny_gguf(shape, [&](std::vector<TinyTensor>& tensors) {
    for (TinyTensor& tensor : tensors) {
      if (tensor.name != "token_embd.weight") continue;
      const size_t row = 7 * shape.hidden * sizeof(float);
      std::fill_n(tensor.bytes.begin() + static_cast<std::ptrdiff_t>(row), shape.hidden * sizeof(float), 0xFF);
    }
  }));
  Host host(file.path());
  TestSession session(host);
  const std::vector<int32_t> prompt = random_prompt(21, 40, 20);
  (void)session.turn(prompt, 0);
  const Reply failed = session.turn({9, 7, 9}, 5);
  EXPECT_EQ(failed.reason, FSV_FINISH_ERROR);
  EXPECT_EQ(session.tokens(), prompt);
  EXPECT_EQ(session.info().busy, 0u);
  EXPECT_EQ(session.info().cached_token_count, 40u);
  // Nor do refusals: one that is too long, one that cannot be.
  GenerateSettings config = Host::generate_config(random_prompt(22, 2), 5);
  const std::vector<int32_t> huge(600, 9);
  config.token_ids = huge.data();
  config.token_count = huge.size();
  config.session = session.handle();
  fsv_request request = 0;
  EXPECT_EQ(fsv_submit_generate(host.engine(), nullptr, &config, &request, nullptr), FSV_ERROR_CONTEXT_TOO_LONG);
  config.token_count = 1;
  config.max_tokens = 0;
  config.min_tokens = 5;
  EXPECT_EQ(fsv_submit_generate(host.engine(), nullptr, &config, &request, nullptr), FSV_ERROR_INVALID_ARGUMENT);
  EXPECT_EQ(session.tokens(), prompt);
  EXPECT_EQ(session.info().busy, 0u);
}

TEST(Session, BadCalls) {
  Host host(model_file().path()), other(model_file().path());
  TestSession session(host), foreign(other);
  fsv_error error{};
  fsv_session* made = nullptr;
  EXPECT_EQ(fsv_session_create(host.engine(), host.model(), nullptr, &error), FSV_ERROR_INVALID_ARGUMENT);
  EXPECT_EQ(fsv_session_create(host.engine(), nullptr, &made, &error), FSV_ERROR_INVALID_ARGUMENT);
  EXPECT_EQ(fsv_session_create(host.engine(), other.model(), &made, &error), FSV_ERROR_INVALID_ARGUMENT);
  EXPECT_EQ(fsv_session_fork(nullptr, 0, &made, &error), FSV_ERROR_INVALID_ARGUMENT);
  EXPECT_EQ(fsv_session_retain(reinterpret_cast<fsv_session*>(host.model()), &error), FSV_ERROR_INVALID_ARGUMENT);
  EXPECT_EQ(fsv_session_get_info(session.handle(), nullptr, &error), FSV_ERROR_INVALID_ARGUMENT);

  auto submit = [&](const EditGenerate& edit) {
    const std::vector<int32_t> prompt = {5, 6, 7};
    GenerateSettings config = Host::generate_config(prompt, 5);
    config.session = session.handle();
    edit(config);
    fsv_request request = 0;
    return fsv_submit_generate(host.engine(), host.model(), &config, &request, &error);
  };
  EXPECT_EQ(submit([&](GenerateSettings& config) { config.session = foreign.handle(); }), FSV_ERROR_INVALID_ARGUMENT);
  EXPECT_NE(std::string(error.message).find("another engine"), std::string::npos);
  EXPECT_EQ(submit([](GenerateSettings& config) { config.session_mode = 2; }), FSV_ERROR_INVALID_ARGUMENT);
  EXPECT_EQ(submit([](GenerateSettings& config) { config.token_ids = nullptr; }), FSV_ERROR_INVALID_ARGUMENT);
  EXPECT_NE(std::string(error.message).find("empty"), std::string::npos);
  EXPECT_EQ(submit([](GenerateSettings& config) { config.max_tokens = 0, config.session = nullptr; }),
            FSV_ERROR_INVALID_ARGUMENT);
  EXPECT_EQ(session.info().busy, 0u);

  fsv_session* stale = session.handle();
  EXPECT_EQ(fsv_session_retain(stale, &error), FSV_OK);
  session.release();
  EXPECT_EQ(fsv_session_undo(stale, &error), FSV_ERROR_WRONG_STATE);  // there is a reference still
  EXPECT_EQ(fsv_session_release(stale, &error), FSV_OK);
  EXPECT_EQ(fsv_session_release(stale, &error), FSV_ERROR_STALE);
  EXPECT_EQ(submit([stale](GenerateSettings& config) { config.session = stale; }), FSV_ERROR_STALE);
}

TEST(Priority, HigherOnesStartFirst) {
  Host host(model_file().path(), [](fsv_engine_config& config) { config.max_sequences = 1; });
  std::vector<fsv_request> requests;
  for (const int32_t priority : {0, -5, 7, 0}) {
    requests.push_back(
        host.generate(random_prompt(30, 10), 10, [priority](GenerateSettings& config) { config.priority = priority; }));
  }
  std::vector<size_t> order;
  while (order.size() < requests.size()) {
    host.step(0);
    host.poll();
    for (size_t i = 0; i < requests.size(); ++i) {
      if (host.reply(requests[i]).finished && std::count(order.begin(), order.end(), i) == 0) order.push_back(i);
    }
  }
  EXPECT_EQ(order, (std::vector<size_t>{2, 0, 3, 1}));
}

}  // namespace
}  // namespace fastserve::test
