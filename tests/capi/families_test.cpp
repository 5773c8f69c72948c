// Every family from files to logits, over the C ABI. Hugging Face folders against transformers
// (golden/make_families.py): in one go, in chunks beside other requests, and with weights given another type while they
// are read. GGUF files that the gguf package wrote against llama.cpp (golden/make_gguf_families.py).
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <string>

#include "support/host.h"

namespace fastserve::test {
namespace {

struct Golden {
  std::vector<int32_t> ids;
  size_t first_row = 0, vocabulary = 0;
  std::vector<float> logits;  // after each token from the first row on
};

// A file of: token count, first row if `has_first_row`, vocabulary, ids, logits.
Golden read_golden(const std::string& path, bool has_first_row) {
  Golden golden;
  std::FILE* file = std::fopen(path.c_str(), "rb");
  if (file == nullptr) return golden;
  const size_t words = has_first_row ? 3 : 2;
  int32_t header[3] = {};
  EXPECT_EQ(std::fread(header, sizeof(int32_t), words, file), words);
  golden.ids.resize(static_cast<size_t>(header[0]));
  golden.first_row = has_first_row ? static_cast<size_t>(header[1]) : 0;
  golden.vocabulary = static_cast<size_t>(header[words - 1]);
  EXPECT_EQ(std::fread(golden.ids.data(), sizeof(int32_t), golden.ids.size(), file), golden.ids.size());
  golden.logits.resize((golden.ids.size() - 1 - golden.first_row) * golden.vocabulary);  // the last row stays away
  EXPECT_EQ(std::fread(golden.logits.data(), sizeof(float), golden.logits.size(), file), golden.logits.size());
  std::fclose(file);
  return golden;
}

double largest_difference(const Reply& reply, const Golden& golden) {
  EXPECT_EQ(reply.status, FSV_OK) << reply.message;
  EXPECT_EQ(reply.logits.size(), (golden.ids.size() - 1) * golden.vocabulary);
  const size_t skipped = golden.first_row * golden.vocabulary;
  if (golden.logits.empty() || reply.logits.size() != skipped + golden.logits.size()) return INFINITY;
  double largest = 0;
  for (size_t i = 0; i < golden.logits.size(); ++i) {
    largest = std::max(largest, static_cast<double>(std::abs(reply.logits[skipped + i] - golden.logits[i])));
  }
  return largest;
}

EditEngine exact(uint32_t batch_tokens) {
  return [batch_tokens](fsv_engine_config& config) {
    config.kernels = FSV_KERNELS_REFERENCE;
    config.kv_dtype = FSV_KV_F32;
    config.context_tokens = 0;
    config.max_batch_tokens = batch_tokens;
  };
}

class FamilyFolders : public testing::TestWithParam<const char*> {
 protected:
  FamilyFolders()
      : folder_(std::string(FASTSERVE_TEST_DATA "/hf/") + GetParam()),
        golden_(read_golden(FASTSERVE_TEST_DATA "/families/" + std::string(GetParam()) + ".bin", false)) {}

  Reply score(uint32_t dtype, std::string* type = nullptr) const {
    Host host(folder_, exact(128), [dtype](fsv_load_config& config) { config.load_dtype = dtype; });
    fsv_model_info info;
    fsv_model_info_init(&info, sizeof(info));
    EXPECT_EQ(fsv_model_get_info(host.model(), &info, nullptr), FSV_OK);
    if (type != nullptr) *type = info.weight_type;
    return host.score_alone(golden_.ids, true);
  }

  std::string folder_;
  Golden golden_;
};

TEST_P(FamilyFolders, LogitsAreTransformers) {
  ASSERT_FALSE(golden_.ids.empty());
  EXPECT_LE(largest_difference(score(FSV_DTYPE_STORED), golden_), 1e-4);
}

TEST_P(FamilyFolders, ChunksBesideOthersChangeNothing) {
  const Reply whole = score(FSV_DTYPE_STORED);
  Host host(folder_, exact(16));  // the text needs several steps, which it shares
  std::vector<fsv_request> requests;
  for (int i = 0; i < 3; ++i) requests.push_back(host.score(golden_.ids, true));
  host.run();
  for (const fsv_request request : requests) EXPECT_TRUE(same_bits(host.reply(request).logits, whole.logits));
}

TEST_P(FamilyFolders, WiderFloatsChangeNothingAndBlocksLittle) {
  const Reply stored = score(FSV_DTYPE_STORED);
  std::string type;
  const Reply wide = score(FSV_DTYPE_F32, &type);
  EXPECT_EQ(type, "F32");
  EXPECT_TRUE(same_bits(wide.logits, stored.logits));
  const Reply blocks = score(FSV_DTYPE_Q8_0, &type);
  EXPECT_EQ(type, "Q8_0");
  double squares = 0, all = 0;
  for (size_t i = 0; i < stored.logits.size(); ++i) {
    squares += std::pow(static_cast<double>(blocks.logits[i] - stored.logits[i]), 2);
    all += std::pow(static_cast<double>(stored.logits[i]), 2);
  }
  EXPECT_GT(squares, 0);
  EXPECT_LT(std::sqrt(squares / all), 0.05);
}

// What a family derives from its weights when they are there is derived once.
TEST_P(FamilyFolders, AModelThatCameBackIsTheSame) {
  Host host(folder_, exact(128));
  const Reply before = host.score_alone(golden_.ids, true);
  while (host.step(0)) {
  }
  ASSERT_EQ(fsv_model_evict(host.engine(), host.model(), nullptr), FSV_OK);
  const Reply after = host.score_alone(golden_.ids, true);
  EXPECT_EQ(host.metrics().reloaded_models, 1u);
  EXPECT_TRUE(same_bits(after.logits, before.logits));
}

INSTANTIATE_TEST_SUITE_P(All, FamilyFolders,
                         testing::Values("gemma2", "gemma3", "gpt2", "llama", "mistral", "mixtral", "phi3", "qwen2",
                                         "qwen3", "qwen3moe"),
                         [](const auto& instance) { return std::string(instance.param); });

class FamilyFiles : public testing::TestWithParam<const char*> {};

TEST_P(FamilyFiles, LogitsAreLlamaCpps) {
  const std::string path = FASTSERVE_TEST_DATA "/gguf_families/" + std::string(GetParam());
  const Golden golden = read_golden(path + ".logits", true);
  ASSERT_FALSE(golden.ids.empty());
  Host host(path + ".gguf.bin", exact(128));
  // Where llama.cpp looks GELU up in a table of halves, that is the difference.
  const std::string name = GetParam();
  const bool has_gelu = name.starts_with("gemma") || name == "gpt2";
  EXPECT_LE(largest_difference(host.score_alone(golden.ids, true), golden), has_gelu ? 5e-3 : 1e-4);
}

INSTANTIATE_TEST_SUITE_P(All, FamilyFiles,
                         testing::Values("gemma2", "gemma3", "gpt2", "llama", "mixtral", "phi3", "qwen2", "qwen3",
                                         "qwen3moe"),
                         [](const auto& instance) { return std::string(instance.param); });

}  // namespace
}  // namespace fastserve::test
