// Sessions at random beside plain lists of tokens: whatever was done to them, and whatever memory took from them, each
// turn answers as a fresh request with the same text does: to the token and to the bit.
#include <gtest/gtest.h>

#include <memory>

#include "support/session.h"
#include "support/tiny_model.h"

namespace fastserve::test {
namespace {

struct Case {
  const char* architecture;
  uint32_t kv_dtype;
};

std::string case_name(const testing::TestParamInfo<Case>& info) {
  const char* const types[] = {"F16", "F32", "Bf16", "Q8"};
  return std::string(info.param.architecture) + types[info.param.kv_dtype];
}

class SessionRandom : public testing::TestWithParam<Case> {
 protected:
  static constexpr uint32_t kContext = 320;

  struct Life {
    std::unique_ptr<TestSession> session;
    std::vector<int32_t> text;
    std::vector<std::vector<int32_t>> before;  // each turn that can be taken back
  };

  static const TemporaryFile& file() {
    static const TemporaryFile llama{TinyShape{}}, gemma{[] {
      TinyShape shape;
      shape.architecture = "gemma3";
      shape.layers = 6;  // five see a window, one sees all
      shape.hidden = 32;
      shape.heads = 2;
      shape.kv_heads = 1;
      shape.intermediate = 32;
      shape.window = 48;
      return shape;
    }()};
    return std::string(GetParam().architecture) == "llama" ? llama : gemma;
  }

  uint32_t below(uint32_t limit) { return random_() % limit; }

  // The text that a turn leads to, before the answer.
  std::vector<int32_t> next_text(const Life& life, bool replaces) {
    const std::vector<int32_t> added = random_prompt(random_(), 1 + below(40));
    if (!replaces) return joined(life.text, added);
    std::vector<int32_t> kept = life.text;
    kept.resize(below(static_cast<uint32_t>(kept.size()) + 1));
    return joined(kept, added);
  }

  void turn(Host& host, Life& life) {
    const bool replaces = below(4) == 0;
    const std::vector<int32_t> text = next_text(life, replaces);
    const uint32_t count = below(12);
    if (text.size() + count > kContext) return;
    const std::vector<int32_t> added(text.begin() + static_cast<std::ptrdiff_t>(replaces ? 0 : life.text.size()),
                                     text.end());
    const bool is_cancelled = below(5) == 0 && count > 0;
    const auto mode = static_cast<uint32_t>(replaces ? FSV_SESSION_REPLACE : FSV_SESSION_APPEND);
    const EditGenerate edit = [seed = random_(), is_greedy = below(2) == 0](GenerateSettings& config) {
      config.draw.temperature = is_greedy ? 0.0F : 0.8F;
      config.draw.seed = seed;
      config.draw.repetition_penalty = 1.1F;
    };
    const fsv_request request = life.session->begin(added, count, mode, edit);
    if (is_cancelled) {
      for (uint32_t steps = below(5); steps > 0; --steps) host.step(0);
      (void)host.cancel(request);
    }
    host.run();
    Reply reply = host.reply(request);
    life.before.push_back(life.text);
    life.text = joined(text, reply.ids);
    reused_ += reply.cached_count;
    ASSERT_EQ(life.session->tokens(), life.text);
    if (count == 0 || reply.ids.empty()) return;
    Reply fresh = host.generate_alone(text, static_cast<uint32_t>(reply.ids.size()), edit);
    fresh.text.clear();  // a cancel may hold back part of a code point
    fresh.reason = reply.reason;
    reply.text.clear();
    expect_same(reply, fresh, "a fresh request");
  }

  void change(Life& life) {
    if (below(2) == 0) {
      const bool has_turn = !life.before.empty();
      ASSERT_EQ(life.session->undo(), has_turn ? FSV_OK : FSV_ERROR_WRONG_STATE);
      if (!has_turn) return;
      life.text = life.before.back();
      life.before.pop_back();
    } else {
      life.text.resize(below(static_cast<uint32_t>(life.text.size()) + 1));
      ASSERT_EQ(life.session->truncate(life.text.size()), FSV_OK);
      // Turns that lie in what was cut are gone; the rest can be taken back as before.
      const size_t left = life.session->info().turn_count;
      ASSERT_LE(left, life.before.size());
      life.before.resize(left);
    }
    ASSERT_EQ(life.session->tokens(), life.text);
  }

  // Written, released and read back: nothing has changed, but for KV that found no room.
  void save_and_load(Host& host, Life& life) {
    const std::vector<uint8_t> bytes = life.session->exported(below(4) == 0 ? FSV_SESSION_TEXT_ONLY : 0);
    const fsv_session_info before = life.session->info();
    life.session.reset();
    life.session = TestSession::imported(host, bytes);
    ASSERT_NE(life.session, nullptr);
    const fsv_session_info after = life.session->info();
    ASSERT_EQ(after.turn_count, before.turn_count);
    ASSERT_TRUE(after.cached_token_count == before.cached_token_count || after.cached_token_count == 0);
    ASSERT_EQ(life.session->tokens(), life.text);
  }

  void fork(std::vector<Life>& lives, const Life& source) {
    Life life;
    const size_t count = below(3) == 0 ? SIZE_MAX : below(static_cast<uint32_t>(source.text.size()) + 1);
    life.session = std::make_unique<TestSession>(*source.session, count);
    life.text.assign(source.text.begin(),
                     source.text.begin() + static_cast<std::ptrdiff_t>(std::min(count, source.text.size())));
    life.before.assign(source.before.begin(),
                       source.before.begin() + static_cast<std::ptrdiff_t>(life.session->info().turn_count));
    lives.push_back(std::move(life));
  }

  std::mt19937 random_{11};
  uint64_t reused_ = 0;
};

TEST_P(SessionRandom, EveryTurnIsThatOfAFreshRequest) {
  for (const bool is_scarce : {false, true}) {
    Host host(file().path(), [&](fsv_engine_config& config) {
      config.kv_dtype = GetParam().kv_dtype;
      config.context_tokens = kContext;
      config.max_batch_tokens = 32;
    });
    // Scarce: the pool holds little more than one whole text.
    const fsv_memory_stats all = host.memory();
    std::unique_ptr<Host> scarce;
    if (is_scarce) {
      scarce = std::make_unique<Host>(file().path(), [&](fsv_engine_config& config) {
        config.kv_dtype = GetParam().kv_dtype;
        config.context_tokens = kContext;
        config.max_batch_tokens = 32;
        config.kv_bytes = all.kv_bytes / 8 * 5 / 4;
      });
    }
    Host& used = is_scarce ? *scarce : host;
    std::vector<Life> lives;
    lives.push_back({std::make_unique<TestSession>(used), {}, {}});
    reused_ = 0;
    for (int round = 0; round < 60 && !HasFatalFailure(); ++round) {
      const size_t index = below(static_cast<uint32_t>(lives.size()));
      const uint32_t choice = below(11);
      if (choice == 10) {
        save_and_load(used, lives[index]);
      } else if (choice < 6) {
        turn(used, lives[index]);
      } else if (choice < 8) {
        change(lives[index]);
      } else if (lives.size() < 6) {
        fork(lives, lives[index]);
      } else {
        lives.erase(lives.begin() + static_cast<std::ptrdiff_t>(index));
      }
    }
    EXPECT_GT(reused_, is_scarce ? 100u : 500u);
    lives.clear();
    EXPECT_EQ(used.memory().kv_block_bytes_used, 0u);
  }
}

INSTANTIATE_TEST_SUITE_P(All, SessionRandom,
                         testing::Values(Case{"llama", FSV_KV_F16}, Case{"llama", FSV_KV_F32},
                                         Case{"llama", FSV_KV_BF16}, Case{"llama", FSV_KV_Q8},
                                         Case{"gemma3", FSV_KV_F16}, Case{"gemma3", FSV_KV_F32},
                                         Case{"gemma3", FSV_KV_BF16}, Case{"gemma3", FSV_KV_Q8}),
                         case_name);

class SessionMemory : public testing::Test {
 protected:
  // Memory for two texts and a half.
  EditEngine scarce() {
    Host host(file_.path());
    return [kv_bytes = host.memory().kv_bytes / 8 * 5 / 2](fsv_engine_config& config) { config.kv_bytes = kv_bytes; };
  }
  const TemporaryFile file_{TinyShape{}};
};

// They lose nothing where that would not help: what holds the request up is running.
TEST_F(SessionMemory, IdleSessionsKeepWhatNobodyCanUse) {
  Host host(file_.path(), scarce());
  TestSession session(host);
  (void)session.turn(random_prompt(40, 90), 10);
  std::vector<fsv_request> requests;
  for (uint32_t i = 0; i < 3; ++i) requests.push_back(host.generate(random_prompt(41 + i, 300), 200));
  for (int i = 0; i < 20; ++i) {
    host.step(0);
    host.poll();
  }
  EXPECT_EQ(host.info(requests[1]).state, FSV_REQUEST_RUNNING);
  EXPECT_EQ(host.info(requests[2]).state, FSV_REQUEST_QUEUED);
  EXPECT_EQ(session.info().cached_token_count, 99u);
  host.run();
  EXPECT_EQ(host.reply(requests[2]).ids.size(), 200u);
}

// Sessions that sleep make room, and miss nothing when they wake.
TEST_F(SessionMemory, IdleSessionsMakeRoom) {
  Host host(file_.path(), scarce());
  std::vector<std::unique_ptr<TestSession>> sessions;
  std::vector<std::vector<int32_t>> texts;
  for (uint32_t i = 0; i < 6; ++i) {
    sessions.push_back(std::make_unique<TestSession>(host));
    const Reply reply = sessions.back()->turn(random_prompt(50 + i, 390), 10);
    ASSERT_EQ(reply.status, FSV_OK) << reply.message;
    texts.push_back(sessions.back()->tokens());
  }
  for (uint32_t i = 0; i < 6; ++i) {
    EXPECT_EQ(sessions[i]->info().cached_token_count, i < 3 ? 0u : 399u) << "the oldest go first";
  }
  EXPECT_LE(host.memory().session_kv_bytes, host.memory().kv_bytes);
  // A request without a session needs room too: the next oldest goes.
  (void)host.generate_alone(random_prompt(60, 500), 5);
  EXPECT_EQ(sessions[3]->info().cached_token_count, 0u);
  EXPECT_EQ(sessions[5]->info().cached_token_count, 399u);
  for (const size_t i : {0, 5, 2}) {
    const std::vector<int32_t> next = random_prompt(70 + static_cast<uint32_t>(i), 9);
    const Reply reply = sessions[i]->turn(next, 8);
    EXPECT_EQ(reply.cached_count, i == 5 ? 399u : 0u);
    expect_same(reply, host.generate_alone(joined(texts[i], next), 8), std::to_string(i));
  }
}

}  // namespace
}  // namespace fastserve::test
