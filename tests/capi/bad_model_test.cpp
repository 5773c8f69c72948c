// Files that are no models, or wrong ones: a status that names what and where, no memory left behind, and the engine
// goes on.
#include <gtest/gtest.h>

#include <filesystem>
#include <limits>

#include "support/host.h"
#include "support/tiny_model.h"

namespace fastserve::test {
namespace {

using Tensors = std::vector<TinyTensor>;

TinyTensor& find(Tensors& tensors, const std::string& name) {
  for (TinyTensor& tensor : tensors) {
    if (tensor.name == name) return tensor;
  }
  ADD_FAILURE() << name;
  return tensors[0];
}

class BadModel : public testing::Test {
 protected:
  // Loads in both modes; expects the same status and words in the message, and an engine without a trace of it.
  void expect_refused(const std::string& path, fsv_status expected, const std::vector<std::string>& words) {
    for (Host* host : {&pumped_, &threaded_}) {
      fsv_ticket ticket = 0;
      fsv_model* model = nullptr;
      fsv_error error{};
      ASSERT_EQ(host->begin_load(path, &ticket, &error), FSV_OK) << error.message;
      EXPECT_EQ(host->finish_load(ticket, &model, &error), expected) << error.message;
      EXPECT_EQ(model, nullptr);
      for (const std::string& word : words) {
        EXPECT_NE(std::string(error.message).find(word), std::string::npos) << word << " is not in: " << error.message;
      }
      EXPECT_EQ(host->memory().used_bytes, 0u);
      EXPECT_EQ(host->memory().model_count, 0u);
    }
  }
  void expect_refused(const std::function<void(Tensors&)>& edit, fsv_status expected,
                      const std::vector<std::string>& words) {
    const TemporaryFile file(tiny_gguf(TinyShape{}, edit));
    expect_refused(file.path(), expected, words);
  }

  Host pumped_;
  Host threaded_{[](fsv_engine_config& config) {
    config.mode = FSV_MODE_THREADED;
    config.thread_count = 2;
  }};
};

TEST_F(BadModel, MissingFileDirectoryEmptyFileNoGguf) {
  expect_refused("/no/such/model.gguf", FSV_ERROR_NOT_FOUND, {"/no/such/model.gguf"});
  const std::filesystem::path folder =
      std::filesystem::temp_directory_path() / ("fsv_empty_" + std::to_string(getpid()));
  std::filesystem::create_directory(folder);
  fsv_ticket ticket = 0;
  fsv_model* model = nullptr;
  fsv_error error{};
  ASSERT_EQ(pumped_.begin_load(folder.string(), &ticket, &error), FSV_OK);
  EXPECT_NE(pumped_.finish_load(ticket, &model, &error), FSV_OK);
  EXPECT_NE(error.message_size, 0u);
  std::filesystem::remove(folder);
  const TemporaryFile empty(std::vector<uint8_t>{});
  expect_refused(empty.path(), FSV_ERROR_CORRUPT, {});
  const TemporaryFile text(std::vector<uint8_t>(1000, 'x'));
  expect_refused(text.path(), FSV_ERROR_UNSUPPORTED, {"no GGUF"});
}

TEST_F(BadModel, PathsThatCannotBe) {
  fsv_load_config config;
  fsv_load_config_init(&config, sizeof(config));
  fsv_ticket ticket = 5;
  for (const std::string& path : {std::string(), std::string("a\0b", 3), std::string("\xFF\xFE")}) {
    config.path = path.data();
    config.path_size = path.size();
    fsv_error error{};
    EXPECT_EQ(fsv_model_load(pumped_.engine(), &config, &ticket, &error), FSV_ERROR_INVALID_ARGUMENT);
    EXPECT_NE(error.message_size, 0u);
    EXPECT_EQ(ticket, 0u);
  }
  config.path = nullptr;
  EXPECT_EQ(fsv_model_load(pumped_.engine(), &config, &ticket, nullptr), FSV_ERROR_INVALID_ARGUMENT);
  EXPECT_EQ(fsv_model_load(pumped_.engine(), nullptr, &ticket, nullptr), FSV_ERROR_INVALID_ARGUMENT);
  EXPECT_EQ(fsv_model_load(pumped_.engine(), &config, nullptr, nullptr), FSV_ERROR_INVALID_ARGUMENT);
}

TEST_F(BadModel, UnknownArchitectureIsNamed) {
  TinyShape shape;
  shape.architecture = "hyperdrive";
  const TemporaryFile file(shape);
  expect_refused(file.path(), FSV_ERROR_UNSUPPORTED, {"hyperdrive"});
}

TEST_F(BadModel, MissingTensorsAreNamed) {
  for (const char* name : {"token_embd.weight", "blk.1.attn_k.weight", "blk.0.ffn_norm.weight", "output_norm.weight"}) {
    expect_refused(
        [name](Tensors& tensors) { std::erase_if(tensors, [name](const TinyTensor& t) { return t.name == name; }); },
        FSV_ERROR_NOT_FOUND, {name});
  }
}

TEST_F(BadModel, WrongShapesAreNamedWithBothSizes) {
  expect_refused([](Tensors& tensors) { find(tensors, "blk.1.attn_q.weight").dimensions = {64, 60}; },
                 FSV_ERROR_CORRUPT, {"blk.1.attn_q.weight", "64, 60", "64, 64"});
  expect_refused([](Tensors& tensors) { find(tensors, "blk.0.ffn_down.weight").dimensions = {64, 128}; },
                 FSV_ERROR_CORRUPT, {"blk.0.ffn_down.weight", "64, 128", "128, 64"});
  expect_refused([](Tensors& tensors) { find(tensors, "output_norm.weight").dimensions = {32}; }, FSV_ERROR_CORRUPT,
                 {"output_norm.weight", "32", "64"});
  expect_refused([](Tensors& tensors) { find(tensors, "token_embd.weight").dimensions = {64, 200}; }, FSV_ERROR_CORRUPT,
                 {"300", "200"});
}

TEST_F(BadModel, UnsupportedTensorTypesAreNamed) {
  constexpr uint32_t kIq2Xxs = 16;
  expect_refused(
      [](Tensors& tensors) {
        TinyTensor& tensor = find(tensors, "blk.0.ffn_up.weight");
        tensor.type = kIq2Xxs;
        tensor.dimensions = {256, 32};  // whole blocks of that type
      },
      FSV_ERROR_CORRUPT, {"blk.0.ffn_up.weight"});
  TinyShape shape;
  shape.hidden = 256;
  shape.heads = 16;
  const TemporaryFile file(
      tiny_gguf(shape, [](Tensors& tensors) { find(tensors, "blk.0.ffn_up.weight").type = kIq2Xxs; }));
  expect_refused(file.path(), FSV_ERROR_UNSUPPORTED, {"blk.0.ffn_up.weight", "IQ2_XXS"});
}

// Cut anywhere: never a crash, always a status, and nothing stays.
TEST_F(BadModel, Truncated) {
  const std::vector<uint8_t> whole = tiny_gguf(TinyShape{});
  const TemporaryFile file(whole);
  std::vector<size_t> sizes = {0, 1, 3, 4, 8, 16, 23, 24, 25, whole.size() - 1, whole.size() - 33};
  for (size_t i = 1; i < 40; ++i) sizes.push_back(whole.size() * i / 40);
  for (size_t i = 0; i < 60; ++i) sizes.push_back(30 + i * 131);
  for (const size_t size : sizes) {
    file.rewrite({whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(size)});
    fsv_ticket ticket = 0;
    fsv_model* model = nullptr;
    fsv_error error{};
    ASSERT_EQ(pumped_.begin_load(file.path(), &ticket, &error), FSV_OK);
    EXPECT_EQ(pumped_.finish_load(ticket, &model, &error), FSV_ERROR_CORRUPT) << "cut at " << size;
    EXPECT_GT(error.message_size, 0u);
    ASSERT_EQ(pumped_.memory().used_bytes, 0u);
  }
}

// Flipped bits: a status, or a model that runs (to whatever answer) without a crash.
TEST_F(BadModel, BitFlipped) {
  const std::vector<uint8_t> whole = tiny_gguf(TinyShape{});
  const TemporaryFile file(whole);
  std::mt19937 random(5);
  size_t refused = 0;
  for (int i = 0; i < 400; ++i) {
    std::vector<uint8_t> bytes = whole;
    const size_t header = 12000;  // most of what can go wrong lies before the data
    const size_t at = i % 4 == 0 ? random() % bytes.size() : random() % header;
    bytes[at] ^= static_cast<uint8_t>(1U << random() % 8);
    file.rewrite(bytes);
    fsv_ticket ticket = 0;
    fsv_model* model = nullptr;
    fsv_error error{};
    ASSERT_EQ(pumped_.begin_load(file.path(), &ticket, &error), FSV_OK);
    const fsv_status status = pumped_.finish_load(ticket, &model, &error);
    if (status != FSV_OK) {
      ++refused;
      EXPECT_GT(error.message_size, 0u);
      ASSERT_EQ(pumped_.memory().used_bytes, 0u) << error.message;
      continue;
    }
    const fsv_request request = pumped_.generate(random_prompt(1, 5), 4, nullptr, model);
    pumped_.run();
    EXPECT_TRUE(pumped_.reply(request).status == FSV_OK || !pumped_.reply(request).message.empty());
    EXPECT_EQ(fsv_model_release(model, nullptr), FSV_OK);
    pumped_.poll();
    ASSERT_EQ(pumped_.memory().used_bytes, 0u);
  }
  EXPECT_GT(refused, 20u);
}

// Weights that are no numbers end the request with a message, not the process.
TEST_F(BadModel, TokensAndEmbeddingsThatDoNotMatch) {
  for (const int more : {-1, 1}) {
    const uint64_t rows = static_cast<uint64_t>(kTinyVocabulary + more);
    expect_refused(
        [rows](Tensors& tensors) {
          TinyTensor& embedding = find(tensors, "token_embd.weight");
          embedding.dimensions[1] = rows;
          embedding.bytes.resize(rows * embedding.dimensions[0] * sizeof(float));
        },
        FSV_ERROR_CORRUPT, {std::to_string(kTinyVocabulary) + " tokens", std::to_string(rows) + " rows"});
  }
}

TEST_F(BadModel, BudgetTooSmallSaysTheBytes) {
  const TemporaryFile file(TinyShape{});
  uint64_t weights = 0, all = 0;
  {
    Host host(file.path(), [](fsv_engine_config& config) { config.kv_bytes = 1 << 16; });
    weights = host.memory().weight_bytes;
    all = host.memory().used_bytes;
    EXPECT_EQ(all, host.memory().weight_bytes + host.memory().kv_bytes + host.memory().activation_bytes +
                       host.memory().other_bytes);
  }
  for (const uint64_t budget : {uint64_t{1}, weights - 1, weights, all - 1}) {
    Host host([budget](fsv_engine_config& config) {
      config.kv_bytes = 1 << 16;
      config.memory_budget_bytes = budget;
    });
    fsv_ticket ticket = 0;
    fsv_model* model = nullptr;
    fsv_error error{};
    ASSERT_EQ(host.begin_load(file.path(), &ticket, &error), FSV_OK);
    EXPECT_EQ(host.finish_load(ticket, &model, &error), FSV_ERROR_BUDGET_TOO_SMALL) << error.message;
    EXPECT_NE(std::string(error.message).find("bytes"), std::string::npos) << error.message;
    if (budget == weights - 1) {  // one byte does not even hold what a header becomes
      EXPECT_NE(std::string(error.message).find(std::to_string(weights)), std::string::npos) << error.message;
    }
    EXPECT_EQ(host.memory().used_bytes, 0u);
  }
  Host host(file.path(), [all](fsv_engine_config& config) {
    config.kv_bytes = 1 << 16;
    config.memory_budget_bytes = all;
  });
  EXPECT_EQ(host.generate_alone(random_prompt(1, 5), 4).ids.size(), 4u);
  EXPECT_LE(host.memory().peak_bytes, all);
}

}  // namespace
}  // namespace fastserve::test
