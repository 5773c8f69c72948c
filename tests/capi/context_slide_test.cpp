// A full context that slides: what follows is what a fresh request for the tokens that are left gives.
#include <gtest/gtest.h>

#include <algorithm>

#include "support/host.h"
#include "support/session.h"
#include "support/tiny_model.h"

namespace fastserve::test {
namespace {

constexpr uint32_t kContext = 96;

struct Slide {
  uint32_t keep, drop;  // drop 0: half
};

EditGenerate sliding(Slide slide, const EditGenerate& edit = nullptr) {
  return [=](GenerateSettings& config) {
    config.context_full = FSV_CONTEXT_SLIDE;
    config.context_keep_tokens = slide.keep;
    config.context_drop_tokens = slide.drop;
    if (edit) edit(config);
  };
}

EditEngine small_context(uint32_t context) {
  return [context](fsv_engine_config& config) {
    config.context_tokens = context;
    config.prefill_chunk_tokens = 24;
  };
}

// The same answer by fresh requests alone, each until the context is full.
Reply answer_in_pieces(Host& host, std::vector<int32_t> text, uint32_t max_tokens, Slide slide,
                       const EditGenerate& edit = nullptr) {
  Reply whole;  // without its text: code points may be cut between pieces
  while (whole.ids.size() < max_tokens) {
    const auto room = static_cast<uint32_t>(kContext - text.size());
    const auto count = std::min(room, max_tokens - static_cast<uint32_t>(whole.ids.size()));
    const Reply piece = host.generate_alone(text, count, edit);
    EXPECT_EQ(piece.ids.size(), count) << piece.message;
    if (piece.ids.size() != count) return whole;
    whole.ids.insert(whole.ids.end(), piece.ids.begin(), piece.ids.end());
    whole.logprobs.insert(whole.logprobs.end(), piece.logprobs.begin(), piece.logprobs.end());
    text.insert(text.end(), piece.ids.begin(), piece.ids.end());
    const size_t others = text.size() - slide.keep;
    const size_t drop = slide.drop != 0 ? std::min<size_t>(slide.drop, others - 1) : others / 2;
    const auto first = text.begin() + static_cast<std::ptrdiff_t>(slide.keep);
    text.erase(first, first + static_cast<std::ptrdiff_t>(drop));
    whole.reason = piece.reason;
  }
  return whole;
}

void expect_same_tokens(const Reply& got, const Reply& expected, const std::string& what) {
  EXPECT_EQ(got.ids, expected.ids) << what << ": " << got.message;
  EXPECT_TRUE(same_bits(got.logprobs, expected.logprobs)) << what << ": log-probabilities differ";
}

TinyShape shape_of(const std::string& name) {
  TinyShape shape;
  if (name == "whole") return shape;
  shape.window = name == "small_window" ? 24 : 70;
  shape.architecture = name == "mixed" ? "gemma3" : "llama";
  shape.layers = name == "mixed" ? 6 : 2;
  return shape;
}

// Layers that see everything, a window, or both in turn. What a window has dropped cannot be kept by a slide.
class ContextSlide : public testing::TestWithParam<std::string> {
 protected:
  const std::string& path() const { return file_.path(); }
  const TemporaryFile file_{shape_of(GetParam())};
};

TEST_P(ContextSlide, GoesOnAsAFreshRequestWould) {
  Host host(path(), small_context(kContext)), pieces(path(), small_context(kContext));
  const uint64_t free_before = host.memory().kv_block_free_count;
  for (const Slide slide : {Slide{0, 0}, {1, 0}, {20, 0}, {4, 7}, {kContext - 2, 0}, {33, 1}, {0, 1000}}) {
    const auto text = random_prompt(slide.keep, 23);
    const Reply expected = answer_in_pieces(pieces, text, 300, slide);
    const Reply reply = host.generate_alone(text, 300, sliding(slide));
    expect_same_tokens(reply, expected, "keep " + std::to_string(slide.keep) + ", drop " + std::to_string(slide.drop));
  }
  EXPECT_EQ(host.memory().kv_block_free_count, free_before);
}

TEST_P(ContextSlide, PenaltiesCountWhatIsLeft) {
  auto penalties = [](GenerateSettings& config) {
    config.draw.penalty_window = -1;
    config.draw.repetition_penalty = 1.4F;
    config.draw.frequency_penalty = 0.2F;
  };
  Host host(path(), small_context(kContext)), pieces(path(), small_context(kContext));
  const auto text = random_prompt(7, 40);
  expect_same_tokens(host.generate_alone(text, 200, sliding({5, 0}, penalties)),
                     answer_in_pieces(pieces, text, 200, {5, 0}, penalties), "with penalties");
}

TEST_P(ContextSlide, BesideOthersAndInSeveralAnswers) {
  Host host(path(), small_context(kContext)), pieces(path(), small_context(kContext));
  std::vector<fsv_request> requests;
  for (uint32_t i = 0; i < 3; ++i) {
    requests.push_back(host.generate(random_prompt(i, 10 + 30 * i), 150 + 20 * i,
                                     sliding({i * 8, 0}, [&](auto& config) { config.choice_count = 1 + i % 2; })));
  }
  host.run();
  for (uint32_t i = 0; i < 3; ++i) {
    const Reply expected = answer_in_pieces(pieces, random_prompt(i, 10 + 30 * i), 150 + 20 * i, {i * 8, 0});
    for (const Reply& choice : host.reply(requests[i]).choices) expect_same_tokens(choice, expected, std::to_string(i));
  }
}

// The session's text is what is left; the turn before can be had back.
TEST_P(ContextSlide, InASession) {
  Host host(path(), small_context(kContext)), fresh(path(), small_context(kContext));
  TestSession session(host);
  session.turn(random_prompt(1, 30), 20);
  const auto before = session.tokens();
  const Reply reply = session.turn(random_prompt(2, 10), 100, FSV_SESSION_APPEND, sliding({8, 0}));
  expect_same_tokens(reply, answer_in_pieces(fresh, joined(before, random_prompt(2, 10)), 100, {8, 0}), "in a session");
  const auto text = session.tokens();
  ASSERT_LE(text.size(), kContext);
  EXPECT_TRUE(std::equal(before.begin(), before.begin() + 8, text.begin()));
  EXPECT_TRUE(std::equal(text.begin() + 8, text.end(), reply.ids.end() - static_cast<std::ptrdiff_t>(text.size() - 8)));
  expect_same_tokens(session.turn({5, 6, 7}, 10), fresh.generate_alone(joined(text, {5, 6, 7}), 10), "the next turn");
  EXPECT_EQ(session.undo(), FSV_OK);
  EXPECT_EQ(session.undo(), FSV_OK);
  EXPECT_EQ(session.tokens(), before);
  expect_same_tokens(session.turn({9}, 10), fresh.generate_alone(joined(before, {9}), 10), "after undo");
}

INSTANTIATE_TEST_SUITE_P(Families, ContextSlide, testing::Values("whole", "small_window", "large_window", "mixed"),
                         [](const auto& tested) { return tested.param; });

const TemporaryFile& model_file() {
  static const TemporaryFile file{TinyShape{}};
  return file;
}

TEST(ContextFull, BlocksNeverPassTheContext) {
  Host host(model_file().path(), small_context(kContext));
  const fsv_memory_stats before = host.memory();
  const fsv_request request = host.generate(random_prompt(1, 20), 500, sliding({4, 0}));
  uint64_t most = 0;
  while (!host.all_finished()) {
    host.step(0);
    host.poll();
    most = std::max(most, before.kv_block_free_count - host.memory().kv_block_free_count);
  }
  EXPECT_EQ(most, kContext / 16);
  EXPECT_EQ(host.reply(request).generated_count, 500U);
}

TEST(ContextFull, EndsTheRequestByDefault) {
  Host host(model_file().path(), small_context(kContext));
  const Reply reply = host.generate_alone(random_prompt(1, 20), 500);
  EXPECT_EQ(reply.reason, FSV_FINISH_LENGTH);
  EXPECT_EQ(reply.generated_count, kContext - 20U);
}

TEST(ContextFull, RefusesWhatLeavesNoRoom) {
  Host host(model_file().path(), small_context(kContext));
  const auto prompt = random_prompt(1, 20);
  auto submit = [&](uint32_t full, uint32_t keep, std::string& message) {
    GenerateSettings config = Host::generate_config(prompt, 4);
    config.context_full = full;
    config.context_keep_tokens = keep;
    fsv_request request = 0;
    fsv_error error{};
    const fsv_status status = fsv_submit_generate(host.engine(), host.model(), &config, &request, &error);
    message = error.message;
    return status;
  };
  std::string message;
  EXPECT_EQ(submit(FSV_CONTEXT_SLIDE, kContext - 1, message), FSV_ERROR_INVALID_ARGUMENT);
  EXPECT_NE(message.find("context_keep_tokens"), std::string::npos) << message;
  EXPECT_EQ(submit(2, 0, message), FSV_ERROR_INVALID_ARGUMENT);
  EXPECT_NE(message.find("context_full"), std::string::npos) << message;
  EXPECT_EQ(submit(FSV_CONTEXT_FINISH, kContext, message), FSV_OK);  // not used
}

// By default a chat keeps its system message: the answer is that of a plain request which names the same count.
TEST(ContextFull, AChatKeepsItsSystemMessage) {
  Host host(model_file().path(), small_context(kContext));
  const fsv_chat_message messages[] = {{"system", SIZE_MAX, "be kind", SIZE_MAX}, {"user", SIZE_MAX, "hi", SIZE_MAX}};
  auto tokens = [&](size_t count, uint32_t flags) {
    std::vector<int32_t> ids(kContext);
    size_t size = 0;
    EXPECT_EQ(fsv_chat_tokenize(host.model(), messages, count, flags, ids.data(), ids.size(), &size, nullptr), FSV_OK);
    ids.resize(size);
    return ids;
  };
  const auto prompt = tokens(2, FSV_CHAT_ADD_GENERATION_PROMPT);
  const auto kept = static_cast<uint32_t>(tokens(1, 0).size());
  ASSERT_LT(kept, prompt.size());
  const Reply expected = host.generate_alone(prompt, 200, sliding({kept, 0}));
  EXPECT_NE(host.generate_alone(prompt, 200, sliding({0, 0})).ids, expected.ids);
  for (const bool as_json : {false, true}) {
    fsv_chat chat;
    fsv_chat_init(&chat, sizeof(chat));
    if (as_json) {
      chat.messages_json = {R"([{"role": "system", "content": "be kind"}, {"role": "user", "content": "hi"}])",
                            SIZE_MAX};
    } else {
      chat.messages = messages;
      chat.message_count = 2;
    }
    GenerateSettings config = Host::generate_config({}, 200);
    config.token_ids = nullptr;
    config.context_full = FSV_CONTEXT_SLIDE;
    fsv_request request = 0;
    fsv_error error{};
    ASSERT_EQ(fsv_submit_chat(host.engine(), host.model(), &chat, &config, &request, &error), FSV_OK) << error.message;
    host.reply(request);
    host.run();
    EXPECT_EQ(host.reply(request).ids, expected.ids) << as_json;
  }
}

}  // namespace
}  // namespace fastserve::test
