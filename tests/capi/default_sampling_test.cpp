// How a model's makers want it sampled: read from the file, seen by the host, used where it says nothing.
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "support/host.h"
#include "support/tiny_model.h"

namespace fastserve::test {
namespace {

namespace fs = std::filesystem;

TinyKey number(const char* name, float value) {
  return {std::string("general.sampling.") + name, kGgufFloat32, std::bit_cast<uint32_t>(value), ""};
}
TinyKey integer(const char* name, int32_t value) {
  return {std::string("general.sampling.") + name, kGgufInt32, static_cast<uint32_t>(value), ""};
}
TinyKey text(const char* name, const char* value) {
  return {std::string("general.sampling.") + name, kGgufString, 0, value};
}

fsv_sampling defaults_of(Host& host) {
  fsv_sampling sampling;
  fsv_sampling_init(&sampling, sizeof(sampling));
  fsv_error error{};
  EXPECT_EQ(fsv_model_default_sampling(host.model(), &sampling, &error), FSV_OK) << error.message;
  return sampling;
}

std::vector<uint32_t> stages_of(const fsv_sampling& sampling) {
  return {sampling.stages, sampling.stages + sampling.stage_count};
}

TEST(DefaultSampling, AModelThatNamesNoneHasTheLibrarys) {
  const TemporaryFile file{TinyShape{}};
  Host host(file.path());
  fsv_sampling expected;
  fsv_sampling_init(&expected, sizeof(expected));
  const fsv_sampling sampling = defaults_of(host);
  EXPECT_EQ(std::memcmp(&sampling, &expected, sizeof sampling), 0);
}

TEST(DefaultSampling, KeysOfAFile) {
  TinyShape shape;
  shape.keys = {number("temp", 0.6F),           number("top_p", 0.9F),
                integer("top_k", 20),           number("min_p", 0.01F),
                integer("mirostat", 2),         number("mirostat_tau", 4),
                number("mirostat_eta", 0.2F),   integer("penalty_last_n", -1),
                number("penalty_repeat", 1.1F), number("xtc_probability", 0.25F),
                number("xtc_threshold", 0.2F),  text("sequence", "penalties;temperature;top_k;typ_p")};
  const TemporaryFile file(shape);
  Host host(file.path());
  const fsv_sampling sampling = defaults_of(host);
  EXPECT_EQ(sampling.temperature, 0.6F);
  EXPECT_EQ(sampling.top_p, 0.9F);
  EXPECT_EQ(sampling.top_k, 20);
  EXPECT_EQ(sampling.min_p, 0.01F);
  EXPECT_EQ(sampling.mirostat, 2);
  EXPECT_EQ(sampling.mirostat_tau, 4);
  EXPECT_EQ(sampling.mirostat_eta, 0.2F);
  EXPECT_EQ(sampling.penalty_window, -1);
  EXPECT_EQ(sampling.repetition_penalty, 1.1F);
  EXPECT_EQ(sampling.xtc_probability, 0.25F);
  EXPECT_EQ(sampling.xtc_threshold, 0.2F);
  EXPECT_EQ(stages_of(sampling), (std::vector<uint32_t>{FSV_STAGE_LOGIT_BIAS, FSV_STAGE_PENALTIES,
                                                        FSV_STAGE_TEMPERATURE, FSV_STAGE_TOP_K, FSV_STAGE_TYPICAL}));
}

TEST(DefaultSampling, WhatMakesNoSenseIsPassedOver) {
  TinyShape shape;
  shape.keys = {number("temp", -3),    number("top_p", std::numeric_limits<float>::quiet_NaN()),
                text("top_k", "many"), integer("mirostat", 7),
                number("min_p", 0.3F), text("sequence", "top_k;adaptive_p")};
  const TemporaryFile file(shape);
  Host host(file.path());
  const fsv_sampling sampling = defaults_of(host);
  EXPECT_EQ(sampling.temperature, 1);
  EXPECT_EQ(sampling.top_p, 1);
  EXPECT_EQ(sampling.top_k, 0);
  EXPECT_EQ(sampling.mirostat, 0);
  EXPECT_EQ(sampling.min_p, 0.3F);
  EXPECT_EQ(sampling.stages, nullptr);
}

// NULL is the model's own; a host's settings are taken as a whole, and a copy of the model's may be changed.
TEST(DefaultSampling, AreUsedWhereTheHostSaysNothing) {
  TinyShape shape;
  shape.keys = {number("temp", 0)};
  const TemporaryFile greedy_file(shape);
  shape.keys = {number("temp", 2.5F), integer("top_k", 50)};
  const TemporaryFile hot_file(shape);
  Host greedy(greedy_file.path()), hot(hot_file.path());
  const auto prompt = random_prompt(3, 12);
  auto none = [](GenerateSettings& config) { config.sampling = nullptr; };
  const Reply expected = greedy.generate_alone(prompt, 40);  // temperature 0, said by the host
  expect_same(greedy.generate_alone(prompt, 40, none), expected, "the model says greedy");
  const Reply warm = hot.generate_alone(prompt, 40, none);
  EXPECT_NE(warm.ids, expected.ids);
  expect_same(hot.generate_alone(prompt, 40), expected, "the host says greedy");
  auto copied = [&](uint64_t seed) {
    return [&, seed](GenerateSettings& config) {
      config.draw = defaults_of(hot);
      config.draw.seed = seed;
    };
  };
  expect_same(hot.generate_alone(prompt, 40, copied(0)), warm, "a copy");
  EXPECT_NE(hot.generate_alone(prompt, 40, copied(1)).ids, warm.ids);
}

class Folder {
 public:
  explicit Folder(const std::string& generation_config) {
    static int next = 0;
    path_ =
        fs::temp_directory_path() / ("fastserve_defaults_" + std::to_string(getpid()) + "_" + std::to_string(next++));
    fs::copy(std::string(FASTSERVE_TEST_DATA "/hf/qwen2"), path_);
    std::ofstream(path_ / "generation_config.json") << generation_config;
  }
  ~Folder() { fs::remove_all(path_); }
  std::string path() const { return path_.string(); }

 private:
  fs::path path_;
};

TEST(DefaultSampling, AFoldersGenerationConfig) {
  const Folder folder(R"({"do_sample": true, "temperature": 0.7, "top_p": 0.8, "top_k": 20, "min_p": 0.05,
                          "typical_p": 0.95, "repetition_penalty": 1.05, "num_beams": 4})");
  Host host(folder.path());
  const fsv_sampling sampling = defaults_of(host);
  EXPECT_EQ(sampling.temperature, 0.7F);
  EXPECT_EQ(sampling.top_p, 0.8F);
  EXPECT_EQ(sampling.top_k, 20);
  EXPECT_EQ(sampling.min_p, 0.05F);
  EXPECT_EQ(sampling.typical_p, 0.95F);
  EXPECT_EQ(sampling.repetition_penalty, 1.05F);
  EXPECT_EQ(sampling.penalty_window, -1);
  const std::vector<uint32_t> stages = stages_of(sampling);
  ASSERT_EQ(stages.size(), 10U);
  EXPECT_LT(std::find(stages.begin(), stages.end(), FSV_STAGE_TEMPERATURE),
            std::find(stages.begin(), stages.end(), FSV_STAGE_TOP_K));
}

TEST(DefaultSampling, AFolderThatDoesNotSampleIsGreedy) {
  for (const auto& [config, temperature] :
       {std::pair<const char*, float>{R"({"do_sample": false, "temperature": 0.7})", 0},
        {R"({"temperature": 0.7})", 0.7F},
        {"[1, 2]", 1}}) {
    const Folder folder(config);
    Host host(folder.path());
    EXPECT_EQ(defaults_of(host).temperature, temperature) << config;
  }
}

}  // namespace
}  // namespace fastserve::test
