// Sessions on real weights: turns, forks and undone turns of a long text are to the bit what fresh requests compute,
// also where it has outgrown Gemma's window of 512 tokens.
#include <gtest/gtest.h>

#include <filesystem>

#include "support/session.h"

namespace fastserve::test {
namespace {

class SessionModel : public testing::TestWithParam<const char*> {};

// Words of a small vocabulary, as text: what it says does not matter, that it tokenises like text does.
std::string story(uint32_t seed, size_t word_count) {
  static const char* const words[] = {"the",  "river", "was",    "cold", "and",    "nobody", "knew", "why",
                                      "mill", "had",   "burned", "in",   "spring", "but",    "two",  "stood"};
  std::mt19937 random(seed);
  std::string text;
  for (size_t i = 0; i < word_count; ++i) text.append(" ").append(words[random() % std::size(words)]);
  return text;
}

TEST_P(SessionModel, TurnsAreThoseOfFreshRequests) {
  const std::string path = std::string(FASTSERVE_MODEL_DIR "/") + GetParam();
  if (!std::filesystem::exists(path)) GTEST_SKIP() << path << " is missing; ./dev models fetches it";
  Host host(path, [](fsv_engine_config& config) {
    config.mode = FSV_MODE_THREADED;
    config.thread_count = 2;
    config.context_tokens = 2048;
    config.max_sequences = 4;
  });
  TestSession session(host);
  auto tell = [](const std::string& text, TestSession& to, uint32_t max_tokens) {
    return to.turn({}, max_tokens, FSV_SESSION_APPEND, [&](GenerateSettings& config) {
      config.token_ids = nullptr;
      config.text = text.data();
      config.text_size = text.size();
    });
  };
  auto expect_fresh = [&](const Reply& reply, TestSession& of, const std::string& what) {
    std::vector<int32_t> text = of.tokens();
    text.resize(text.size() - reply.ids.size());
    expect_same(reply, host.generate_alone(text, static_cast<uint32_t>(reply.ids.size())), what);
  };
  EXPECT_EQ(tell(story(1, 400), session, 0).status, FSV_OK);
  expect_fresh(tell(story(2, 5), session, 8), session, "first turn");
  TestSession fork(session, SIZE_MAX);
  const Reply grown = tell(story(3, 300), session, 8);
  EXPECT_GT(grown.cached_count, 400u);
  expect_fresh(grown, session, "grown");
  const Reply apart = tell(story(4, 10), fork, 8);
  EXPECT_GT(apart.cached_count, 400u);
  expect_fresh(apart, fork, "fork");
  EXPECT_EQ(session.undo(), FSV_OK);
  expect_fresh(tell(story(5, 10), session, 8), session, "after an undone turn");
}

INSTANTIATE_TEST_SUITE_P(All, SessionModel,
                         testing::Values("smollm2-135m-instruct-q4_1.gguf", "gemma-3-270m-q4_k_m.gguf"),
                         [](const auto& model) { return std::string(model.param).substr(0, 5); });

}  // namespace
}  // namespace fastserve::test
