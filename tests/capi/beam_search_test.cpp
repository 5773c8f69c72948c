// Beam search against transformers' generate() (tests/golden/beams, made by make_beams.py), and as a request among
// others.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <fstream>
#include <sstream>

#include "support/host.h"
#include "support/tiny_model.h"

namespace fastserve::test {
namespace {

struct BeamCase {
  std::string name, folder;
  uint32_t beams = 0, returned = 0, max_new = 0, min_new = 0, early_stopping = 0;
  float length_penalty = 0, repetition_penalty = 1;
  std::vector<int32_t> ends, prompt;
  std::vector<fsv_logit_bias> bias;
  struct Text {
    double score = 0;
    std::vector<int32_t> ids;
  };
  std::vector<Text> texts;
};

std::vector<int32_t> read_ids(std::istream& words) {
  std::vector<int32_t> ids;
  for (int32_t id; words >> id;) ids.push_back(id);
  return ids;
}

std::vector<BeamCase> read_cases() {
  std::vector<BeamCase> cases;
  std::ifstream file(FASTSERVE_TEST_DATA "/beams/cases.txt");
  for (std::string line, kind, ends; std::getline(file, line);) {
    std::istringstream words(line);
    words >> kind;
    if (kind == "case") {
      BeamCase& c = cases.emplace_back();
      words >> c.name >> c.folder >> c.beams >> c.returned >> c.max_new >> c.min_new >> c.length_penalty >>
          c.early_stopping >> c.repetition_penalty >> ends;
      std::replace(ends.begin(), ends.end(), ',', ' ');
      std::istringstream numbers(ends == "-" ? "" : ends);
      c.ends = read_ids(numbers);
    } else if (kind == "prompt") {
      cases.back().prompt = read_ids(words);
    } else if (kind == "bias") {
      char colon = 0;
      for (fsv_logit_bias bias{}; words >> bias.token_id >> colon >> bias.bias;) cases.back().bias.push_back(bias);
    } else {
      BeamCase::Text& text = cases.back().texts.emplace_back();
      words >> text.score;
      text.ids = read_ids(words);
    }
  }
  return cases;
}

EditGenerate settings_of(const BeamCase& c, const fsv_beam_search& beam_search) {
  return [&](GenerateSettings& config) {
    config.beam_search = &beam_search;
    config.choice_count = c.returned;
    config.min_tokens = c.min_new;
    config.ignore_eos = c.ends.empty() ? 1 : 0;
    config.stop_token_ids = c.ends.data();
    config.stop_token_count = c.ends.size();
    config.draw.repetition_penalty = c.repetition_penalty;
    config.draw.penalty_window = -1;
    config.draw.logit_bias = c.bias.data();
    config.draw.logit_bias_count = c.bias.size();
  };
}

fsv_beam_search beams_of(const BeamCase& c) {
  fsv_beam_search beam_search;
  fsv_beam_search_init(&beam_search, sizeof(beam_search));
  beam_search.beam_count = c.beams;
  beam_search.length_penalty = c.length_penalty;
  beam_search.early_stopping = c.early_stopping;
  return beam_search;
}

void expect_texts(const Reply& reply, const BeamCase& c, const std::string& what) {
  ASSERT_EQ(reply.status, FSV_OK) << what << ": " << reply.message;
  ASSERT_EQ(reply.choices.size(), c.texts.size()) << what;
  for (size_t i = 0; i < c.texts.size(); ++i) {
    const Reply& choice = reply.choices[i];
    const Reply& end = c.texts.size() == 1 ? reply : choice;
    EXPECT_EQ(choice.ids, c.texts[i].ids) << what << ", text " << i;
    EXPECT_NEAR(end.score, c.texts[i].score, 2e-4 * (1 + std::abs(c.texts[i].score))) << what << ", text " << i;
    const bool has_stopped = std::find(c.ends.begin(), c.ends.end(), c.texts[i].ids.back()) != c.ends.end();
    EXPECT_EQ(end.reason, has_stopped ? FSV_FINISH_STOP : FSV_FINISH_LENGTH) << what << ", text " << i;
    double sum = 0;
    for (const float logprob : choice.logprobs) sum += static_cast<double>(logprob);
    EXPECT_EQ(choice.logprobs.size(), choice.ids.size());
    EXPECT_NEAR(end.cumulative_logprob, sum, 1e-4);
  }
}

EditEngine exact(const EditEngine& edit = nullptr) {
  return [edit](fsv_engine_config& config) {
    config.kernels = FSV_KERNELS_REFERENCE;
    config.kv_dtype = FSV_KV_F32;
    config.max_sequences = 24;
    if (edit) edit(config);
  };
}

TEST(BeamSearch, EqualsTransformers) {
  const std::vector<BeamCase> cases = read_cases();
  ASSERT_GE(cases.size(), 16U);
  for (const BeamCase& c : cases) {
    Host host(FASTSERVE_TEST_DATA "/hf/" + c.folder, exact());
    const uint64_t free_before = host.memory().kv_block_free_count;
    const fsv_beam_search beam_search = beams_of(c);
    expect_texts(host.generate_alone(c.prompt, c.max_new, settings_of(c, beam_search)), c, c.name);
    EXPECT_EQ(host.memory().kv_block_free_count, free_before) << c.name;
    EXPECT_EQ(host.metrics().prefill_tokens, c.prompt.size()) << c.name;
  }
}

// The same texts with threads, small batches, and other requests beside them.
TEST(BeamSearch, InABatchToo) {
  std::vector<BeamCase> cases = read_cases();
  std::erase_if(cases, [](const BeamCase& c) { return c.folder != "llama"; });
  ASSERT_GE(cases.size(), 3U);
  for (const uint32_t threads : {1U, 3U}) {
    Host host(FASTSERVE_TEST_DATA "/hf/llama", exact([&](fsv_engine_config& config) {
                config.mode = FSV_MODE_THREADED;
                config.thread_count = threads;
                config.max_batch_tokens = 10;
                config.max_sequences = 10;
              }));
    std::vector<fsv_request> searches, others;
    std::vector<fsv_beam_search> beam_searches;
    for (const BeamCase& c : cases) beam_searches.push_back(beams_of(c));
    for (size_t i = 0; i < cases.size(); ++i) {
      others.push_back(host.generate(random_prompt(1, 12, 3, 39), 30));
      searches.push_back(host.generate(cases[i].prompt, cases[i].max_new, settings_of(cases[i], beam_searches[i])));
    }
    host.run();
    for (size_t i = 0; i < cases.size(); ++i) {
      expect_texts(host.reply(searches[i]), cases[i], cases[i].name + " with " + std::to_string(threads) + " threads");
      expect_same(host.reply(others[i]), host.reply(others[0]), "beside it");
    }
  }
}

const TemporaryFile& model_file() {
  static const TemporaryFile file{TinyShape{}};
  return file;
}

// One beam is a greedy request.
TEST(BeamSearch, OneBeamIsGreedy) {
  Host host(model_file().path());
  fsv_beam_search beam_search;
  fsv_beam_search_init(&beam_search, sizeof(beam_search));
  beam_search.beam_count = 1;
  const auto prompt = random_prompt(4, 30);
  const Reply expected = host.generate_alone(prompt, 40);
  const Reply reply = host.generate_alone(prompt, 40, [&](auto& config) { config.beam_search = &beam_search; });
  EXPECT_EQ(reply.ids, expected.ids);
  EXPECT_EQ(reply.text, expected.text);
  EXPECT_EQ(reply.reason, FSV_FINISH_LENGTH);
  EXPECT_NEAR(reply.score, expected.cumulative_logprob / 40, 1e-4);
}

TEST(BeamSearch, EndsWithTheContext) {
  Host host(model_file().path(), [](fsv_engine_config& config) { config.context_tokens = 64; });
  fsv_beam_search beam_search;
  fsv_beam_search_init(&beam_search, sizeof(beam_search));
  for (const size_t size : {50U, 63U, 64U}) {
    const Reply reply = host.generate_alone(random_prompt(4, size), 40, [&](auto& config) {
      config.beam_search = &beam_search;
      config.choice_count = 2;
    });
    EXPECT_EQ(reply.reason, FSV_FINISH_LENGTH);
    for (const Reply& choice : reply.choices) EXPECT_EQ(choice.ids.size(), std::max<size_t>(1, 64 - size));
  }
}

TEST(BeamSearch, ACancelFreesEveryBeam) {
  Host host(model_file().path());
  fsv_beam_search beam_search;
  fsv_beam_search_init(&beam_search, sizeof(beam_search));
  const uint64_t free_before = host.memory().kv_block_free_count;
  for (const int steps : {0, 1, 2, 20}) {
    const fsv_request request = host.generate(random_prompt(4, 40), 200, [&](auto& config) {
      config.beam_search = &beam_search;
      config.choice_count = 3;
    });
    for (int i = 0; i < steps; ++i) host.step(0);
    EXPECT_EQ(host.cancel(request), FSV_OK);
    host.run();
    EXPECT_EQ(host.reply(request).reason, FSV_FINISH_CANCELLED);
    for (const Reply& choice : host.reply(request).choices) EXPECT_TRUE(choice.ids.empty());
    EXPECT_EQ(host.memory().kv_block_free_count, free_before);
  }
}

TEST(BeamSearch, BadSettingsAreNamed) {
  Host host(model_file().path());
  const auto prompt = random_prompt(1, 5);
  const fsv_string stop{"x", 1};
  struct Case {
    const char* word;
    std::function<void(GenerateSettings&, fsv_beam_search&)> edit;
  };
  const Case cases[] = {
      {"beam_count is 0", [](auto&, auto& b) { b.beam_count = 0; }},
      {"beam_count is 65", [](auto&, auto& b) { b.beam_count = 65; }},
      {"9 sequences", [](auto&, auto& b) { b.beam_count = 9; }},
      {"choice_count is 5", [](auto& c, auto&) { c.choice_count = 5; }},
      {"length_penalty", [](auto&, auto& b) { b.length_penalty = std::numeric_limits<float>::quiet_NaN(); }},
      {"early_stopping is 3", [](auto&, auto& b) { b.early_stopping = 3; }},
      {"stop_strings", [&](auto& c, auto&) { c.stop_strings = &stop, c.stop_string_count = 1; }},
      {"logprob_count", [](auto& c, auto&) { c.logprob_count = 2; }},
      {"slide", [](auto& c, auto&) { c.context_full = FSV_CONTEXT_SLIDE; }},
      {"struct_size", [](auto&, auto& b) { b.struct_size = 0; }},
  };
  for (const Case& bad : cases) {
    GenerateSettings config = Host::generate_config(prompt, 4);
    fsv_beam_search beam_search;
    fsv_beam_search_init(&beam_search, sizeof(beam_search));
    config.beam_search = &beam_search;
    bad.edit(config, beam_search);
    fsv_request request = 0;
    fsv_error error{};
    EXPECT_EQ(fsv_submit_generate(host.engine(), host.model(), &config, &request, &error), FSV_ERROR_INVALID_ARGUMENT);
    EXPECT_NE(std::string(error.message).find(bad.word), std::string::npos) << bad.word << ": " << error.message;
  }
}

}  // namespace
}  // namespace fastserve::test
