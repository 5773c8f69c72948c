// Prompt lookup: what is said does not depend on it, to the last bit; where a text repeats itself it takes fewer steps.
#include <gtest/gtest.h>

#include "support/host.h"
#include "support/tiny_model.h"

namespace fastserve::test {
namespace {

// Some tokens again and again: there is something to look up from the first step on.
std::vector<int32_t> repeating_prompt(uint32_t seed, size_t period, size_t size) {
  const std::vector<int32_t> unit = random_prompt(seed, period);
  std::vector<int32_t> prompt(size);
  for (size_t i = 0; i < size; ++i) prompt[i] = unit[i % period];
  return prompt;
}

fsv_metrics metrics_of(Host& host) {
  fsv_metrics metrics;
  fsv_metrics_init(&metrics, sizeof(metrics));
  EXPECT_EQ(fsv_metrics_snapshot(host.engine(), &metrics, nullptr), FSV_OK);
  return metrics;
}

struct Said {
  Reply reply;
  fsv_metrics metrics;
};

Said say(const std::string& path, const std::vector<int32_t>& prompt, uint32_t tokens, uint32_t speculation,
         const EditGenerate& edit, const EditEngine& edit_engine) {
  Host host(path, edit_engine);
  Said said;
  said.reply = host.generate_alone(prompt, tokens, [&](GenerateSettings& config) {
    if (edit) edit(config);
    config.speculation = speculation;
  });
  said.metrics = metrics_of(host);
  return said;
}

class Speculation : public testing::Test {
 protected:
  Speculation() : file_(shape()) {}
  static TinyShape shape() {
    TinyShape shape;
    shape.type = kTinyQ4_1;
    return shape;
  }
  // What both ways said, which must be the same; the metrics of the one that guesses.
  fsv_metrics expect_no_difference(const std::vector<int32_t>& prompt, uint32_t tokens, const std::string& what,
                                   const EditGenerate& edit = nullptr, const EditEngine& edit_engine = nullptr) {
    const Said plain = say(file_.path(), prompt, tokens, FSV_SPECULATION_OFF, edit, edit_engine);
    const Said guessed = say(file_.path(), prompt, tokens, FSV_SPECULATION_AUTO, edit, edit_engine);
    expect_same(guessed.reply, plain.reply, what);
    EXPECT_EQ(guessed.reply.generated_count, plain.reply.generated_count) << what;
    EXPECT_EQ(guessed.reply.top.size(), plain.reply.top.size()) << what;
    EXPECT_EQ(plain.metrics.drafted_tokens, 0u) << what;
    EXPECT_EQ(guessed.metrics.decode_tokens, plain.metrics.decode_tokens) << what;
    EXPECT_EQ(guessed.metrics.prefill_tokens, plain.metrics.prefill_tokens) << what;
    EXPECT_LE(guessed.metrics.drafts_accepted, guessed.metrics.drafted_tokens) << what;
    EXPECT_EQ(guessed.metrics.steps + guessed.metrics.drafts_accepted, plain.metrics.steps) << what;
    return guessed.metrics;
  }
  TemporaryFile file_;
};

TEST_F(Speculation, GreedyTextsThatRepeatThemselves) {
  uint64_t drafted = 0, accepted = 0;
  for (const uint32_t seed : {1U, 2U, 3U, 4U, 5U, 6U}) {
    const fsv_metrics metrics = expect_no_difference(repeating_prompt(seed, 3 + seed, 40), 120, std::to_string(seed));
    drafted += metrics.drafted_tokens;
    accepted += metrics.drafts_accepted;
  }
  EXPECT_GT(accepted, 0u);
  EXPECT_GT(drafted, accepted);  // wrong guesses were met too
}

TEST_F(Speculation, EveryWayToDraw) {
  const std::vector<std::pair<const char*, EditGenerate>> ways = {
      {"seeded",
       [](GenerateSettings& config) {
         config.draw.temperature = 0.3F;
         config.draw.top_k = 3;
         config.draw.seed = 11;
       }},
      {"alternatives", [](GenerateSettings& config) { config.logprob_count = 4; }},
      {"penalties",
       [](GenerateSettings& config) {
         config.draw.repetition_penalty = 1.05F;
         config.draw.presence_penalty = 0.1F;
       }},
      {"dry", [](GenerateSettings& config) { config.draw.dry_multiplier = 0.3F; }},
      {"mirostat",
       [](GenerateSettings& config) {
         config.draw.mirostat = 2;
         config.draw.temperature = 0.4F;
         config.draw.seed = 5;
       }},
      {"min tokens",
       [](GenerateSettings& config) {
         config.ignore_eos = 0;
         config.min_tokens = 30;
       }},
  };
  for (const auto& [name, edit] : ways) {
    for (const uint32_t seed : {1U, 4U}) {
      expect_no_difference(repeating_prompt(seed, 4, 33), 80, name, edit);
    }
  }
}

TEST_F(Speculation, EndsWhereItWouldEnd) {
  const std::vector<int32_t> prompt = repeating_prompt(2, 5, 40);
  const Said whole = say(file_.path(), prompt, 60, FSV_SPECULATION_OFF, nullptr, nullptr);
  ASSERT_EQ(whole.reply.ids.size(), 60u);
  for (uint32_t tokens = 1; tokens <= 20; ++tokens) expect_no_difference(prompt, tokens, "short");
  for (const size_t at : {size_t{3}, size_t{10}, size_t{25}}) {
    const int32_t stop = whole.reply.ids[at];
    expect_no_difference(prompt, 60, "stop token", [&](GenerateSettings& config) {
      config.stop_token_ids = &stop;
      config.stop_token_count = 1;
    });
  }
}

TEST_F(Speculation, FullContexts) {
  for (const uint32_t full : {uint32_t{FSV_CONTEXT_FINISH}, uint32_t{FSV_CONTEXT_SLIDE}}) {
    const Said plain = say(
        file_.path(), repeating_prompt(3, 4, 40), 150, FSV_SPECULATION_OFF,
        [&](GenerateSettings& config) { config.context_full = full; },
        [](fsv_engine_config& config) { config.context_tokens = 64; });
    const Said guessed = say(
        file_.path(), repeating_prompt(3, 4, 40), 150, FSV_SPECULATION_AUTO,
        [&](GenerateSettings& config) { config.context_full = full; },
        [](fsv_engine_config& config) { config.context_tokens = 64; });
    expect_same(guessed.reply, plain.reply, "context full");
  }
}

// Few rows in a step, grants, threads, and hosts that poll token by token.
TEST_F(Speculation, EveryWayToRun) {
  const std::vector<std::pair<const char*, EditEngine>> ways = {
      {"one row", [](fsv_engine_config& config) { config.max_batch_tokens = 1; }},
      {"three rows", [](fsv_engine_config& config) { config.max_batch_tokens = 3; }},
      {"threads",
       [](fsv_engine_config& config) {
         config.mode = FSV_MODE_THREADED;
         config.thread_count = 3;
       }},
      {"reference", [](fsv_engine_config& config) { config.kernels = FSV_KERNELS_REFERENCE; }},
  };
  for (const auto& [name, edit] : ways) {
    for (const uint32_t seed : {2U, 5U}) {
      const Said plain = say(file_.path(), repeating_prompt(seed, 6, 40), 60, FSV_SPECULATION_OFF, nullptr, edit);
      const Said guessed = say(file_.path(), repeating_prompt(seed, 6, 40), 60, FSV_SPECULATION_AUTO, nullptr, edit);
      expect_same(guessed.reply, plain.reply, name);
    }
  }
}

// Several at once: each of them as alone.
TEST_F(Speculation, BesideOthers) {
  Host host(file_.path(), [](fsv_engine_config& config) { config.max_sequences = 8; });
  for (const size_t count : {size_t{2}, size_t{4}, size_t{7}}) {
    std::vector<fsv_request> requests;
    for (size_t i = 0; i < count; ++i) {
      requests.push_back(host.generate(repeating_prompt(static_cast<uint32_t>(i + 1), 5, 30), 50));
    }
    host.run();
    for (size_t i = 0; i < count; ++i) {
      const Said alone = say(file_.path(), repeating_prompt(static_cast<uint32_t>(i + 1), 5, 30), 50,
                             FSV_SPECULATION_OFF, nullptr, nullptr);
      expect_same(host.reply(requests[i]), alone.reply, std::to_string(count) + " together");
    }
  }
}

// Several answers of one request share the prompt, then guess for themselves.
TEST_F(Speculation, Choices) {
  const EditGenerate three = [](GenerateSettings& config) {
    config.choice_count = 3;
    config.draw.temperature = 0.4F;
    config.draw.top_k = 4;
    config.draw.seed = 3;
  };
  const Said plain = say(file_.path(), repeating_prompt(4, 4, 37), 50, FSV_SPECULATION_OFF, three, nullptr);
  const Said guessed = say(file_.path(), repeating_prompt(4, 4, 37), 50, FSV_SPECULATION_AUTO, three, nullptr);
  ASSERT_EQ(guessed.reply.choices.size(), 3u);
  for (size_t i = 0; i < 3; ++i) expect_same(guessed.reply.choices[i], plain.reply.choices[i], std::to_string(i));
}

TEST_F(Speculation, BadValueIsNamed) {
  Host host(file_.path());
  GenerateSettings config = Host::generate_config({5, 6, 7}, 4);
  config.speculation = 2;
  fsv_request request = 0;
  fsv_error error;
  EXPECT_EQ(fsv_submit_generate(host.engine(), host.model(), &config, &request, &error), FSV_ERROR_INVALID_ARGUMENT);
  EXPECT_NE(std::string(error.message).find("speculation is 2"), std::string::npos) << error.message;
}

}  // namespace
}  // namespace fastserve::test
