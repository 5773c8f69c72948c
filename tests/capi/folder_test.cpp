// Hugging Face folders through the C API: inspect, load, tokenise, render, generate; against `transformers` by
// golden/make_hf_generate.py. And folders whose parts do not fit together.
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <iterator>

#include "support/host.h"

namespace fastserve::test {
namespace {

namespace fs = std::filesystem;

const fs::path kGolden = FASTSERVE_TEST_DATA;

std::string read(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

// A tiny random model with the golden tokenizer, of 38 tokens to 40 embeddings.
class Folder : public testing::Test {
 protected:
  void SetUp() override {
    const auto* test = testing::UnitTest::GetInstance()->current_test_info();
    folder_ = fs::temp_directory_path() / (std::string("fsv_folder_") + test->name() + std::to_string(getpid()));
  }
  void TearDown() override { fs::remove_all(folder_); }
  std::string make(const std::string& family) const {
    fs::remove_all(folder_);
    fs::copy(kGolden / "hf" / family, folder_);
    for (const char* name : {"tokenizer.json", "tokenizer_config.json", "generation_config.json"}) {
      fs::copy(kGolden / "hf_generate" / name, folder_ / name, fs::copy_options::overwrite_existing);
    }
    return folder_.string();
  }
  void write(const char* name, const std::string& text) const {
    std::ofstream(folder_ / name, std::ios::binary) << text;
  }
  void replace(const char* name, const std::string& from, const std::string& to) const {
    std::string text = read(folder_ / name);
    const size_t at = text.find(from);
    ASSERT_NE(at, std::string::npos) << from;
    write(name, text.replace(at, from.size(), to));
  }

  fs::path folder_;
};

// The list of numbers or the text under a family's key of expected.json, which is written one value a line.
std::string expected_part(const std::string& family, const std::string& key) {
  const std::string text = read(kGolden / "hf_generate" / "expected.json");
  const size_t at = text.find("\"" + key + "\"", family.empty() ? 0 : text.find("\"" + family + "\""));
  const size_t begin = text.find(':', at) + 1;
  const bool is_list = text[begin + 1] == '[';
  const size_t end = is_list ? text.find(']', begin) : text.find('\n', begin);
  return text.substr(begin, end - begin);
}

std::vector<int32_t> expected_ids(const std::string& family, const std::string& key) {
  std::vector<int32_t> ids;
  const std::string list = expected_part(family, key);
  for (size_t at = list.find_first_of("0123456789"); at < list.size(); at = list.find_first_of("0123456789", at)) {
    size_t used = 0;
    ids.push_back(std::stoi(list.substr(at), &used));
    at += used;
  }
  return ids;
}

std::string expected_text(const std::string& family) {
  const std::string quoted = expected_part(family, "text");
  const size_t begin = quoted.find('"') + 1;
  return quoted.substr(begin, quoted.rfind('"') - begin);
}

std::vector<int32_t> tokenize(fsv_model* model, const std::string& text, uint32_t flags) {
  std::vector<int32_t> ids(256);
  size_t count = 0;
  EXPECT_EQ(fsv_tokenize(model, text.data(), text.size(), flags, ids.data(), ids.size(), &count, nullptr), FSV_OK);
  ids.resize(count);
  return ids;
}

TEST_F(Folder, GeneratesWhatTransformersDoes) {
  for (const char* family : {"llama", "qwen2", "mixtral", "gemma3"}) {
    SCOPED_TRACE(family);
    Host host(make(family));
    ASSERT_NE(host.model(), nullptr);
    const std::vector<int32_t> prompt = tokenize(host.model(), "the cab in a hat", FSV_TOKENIZE_ADD_BOS);
    EXPECT_EQ(prompt, expected_ids("", "prompt_ids"));
    std::vector<int32_t> wanted = expected_ids(family, "ids");
    const Reply reply = host.generate_alone(prompt, 24, [](fsv_generate_config& config) { config.ignore_eos = 0; });
    EXPECT_EQ(reply.text, expected_text(family));
    const bool ends = wanted.back() == 2 || wanted.back() == 35;
    EXPECT_EQ(reply.reason, static_cast<uint32_t>(ends ? FSV_FINISH_STOP : FSV_FINISH_LENGTH));
    if (ends && reply.ids.size() < wanted.size()) wanted.pop_back();
    EXPECT_EQ(reply.ids, wanted);
  }
}

TEST_F(Folder, InspectSaysWhatItHolds) {
  const std::string path = make("mixtral");
  fsv_model_info info;
  fsv_model_info_init(&info, sizeof(info));
  fsv_error error{};
  ASSERT_EQ(fsv_model_inspect(path.data(), path.size(), &info, &error), FSV_OK) << error.message;
  EXPECT_EQ(info.runnable, 1u) << info.refusal;
  EXPECT_STREQ(info.architecture, "llama");
  EXPECT_STREQ(info.tokenizer, "tokenizer.json/BPE");
  EXPECT_EQ(info.vocabulary_size, 40u);
  EXPECT_EQ(info.has_chat_template, 1u);
  std::vector<char> json(1 << 20);
  size_t size = 0;
  ASSERT_EQ(fsv_model_inspect_json(path.data(), path.size(), json.data(), json.size(), &size, &error), FSV_OK);
  EXPECT_NE(std::string(json.data(), size).find("blk.0.ffn_gate_exps.weight"), std::string::npos);
}

TEST_F(Folder, SpecialTokensAndTemplateComeFromTheSideFiles) {
  Host host(make("llama"));
  uint32_t attributes = 0;
  char name[16];
  size_t size = 0;
  for (const int32_t id : {2, 35}) {  // eos_token, and generation_config.json's second
    ASSERT_EQ(fsv_token_get(host.model(), id, name, sizeof(name), &size, &attributes, nullptr), FSV_OK);
    EXPECT_NE(attributes & FSV_TOKEN_END_OF_GENERATION, 0u) << id;
  }
  ASSERT_EQ(fsv_token_get(host.model(), 39, name, sizeof(name), &size, &attributes, nullptr), FSV_OK);
  EXPECT_EQ(size, 0u);  // an embedding that no token has
  const fsv_chat_message message{"user", SIZE_MAX, "a <s> hat", SIZE_MAX};
  std::string text(256, '\0');
  ASSERT_EQ(fsv_chat_render(host.model(), &message, 1, FSV_CHAT_ADD_GENERATION_PROMPT, text.data(), text.size(), &size,
                            nullptr),
            FSV_OK);
  EXPECT_EQ(text.substr(0, size), "<s>user a <s> hat</s>assistant ");
  std::vector<int32_t> ids(64);
  ASSERT_EQ(fsv_chat_tokenize(host.model(), &message, 1, 0, ids.data(), ids.size(), &size, nullptr), FSV_OK);
  ids.resize(size);
  EXPECT_EQ(std::count(ids.begin(), ids.end(), 1), 1);  // the template's BOS, not the message's text
  EXPECT_EQ(std::count(ids.begin(), ids.end(), 2), 1);
}

TEST_F(Folder, RangesLeadBackToTheText) {
  Host host(make("llama"));
  const std::string text = "a é  the <s>.";
  int32_t ids[16];
  fsv_text_range ranges[16];
  size_t count = 0;
  ASSERT_EQ(fsv_tokenize_ranges(host.model(), text.data(), text.size(),
                                FSV_TOKENIZE_ADD_BOS | FSV_TOKENIZE_PARSE_SPECIAL, ids, ranges, 16, &count, nullptr),
            FSV_OK);
  const std::vector<std::pair<int32_t, std::string>> expected = {
      {1, ""}, {33, "a"}, {3, " "}, {0, "é"}, {3, " "}, {34, " the"}, {3, " "}, {1, "<s>"}, {3, ""}, {37, "."}};
  ASSERT_EQ(count, expected.size());
  for (size_t i = 0; i < count; ++i) {
    EXPECT_EQ(ids[i], expected[i].first) << i;
    EXPECT_EQ(text.substr(ranges[i].start, ranges[i].end - ranges[i].start), expected[i].second) << i;
  }
  EXPECT_EQ(fsv_tokenize_ranges(host.model(), text.data(), text.size(), 0, ids, ranges, 3, &count, nullptr),
            FSV_ERROR_BUFFER_TOO_SMALL);
  EXPECT_GT(count, 3u);
  EXPECT_EQ(fsv_tokenize_ranges(host.model(), text.data(), text.size(), 0, nullptr, nullptr, 0, &count, nullptr),
            FSV_OK);
}

TEST_F(Folder, RulesOnBosAndEosOverrideThePostProcessor) {
  make("llama");
  replace("tokenizer_config.json", "{", "{\"add_bos_token\": false, \"add_eos_token\": true, ");
  Host host(folder_.string());
  const std::vector<int32_t> ids = tokenize(host.model(), "a", FSV_TOKENIZE_ADD_BOS);
  EXPECT_EQ(ids, (std::vector<int32_t>{33, 2}));
}

TEST_F(Folder, TwoLoadsShareOneModelUntilAFileChanges) {
  const std::string path = make("qwen2");
  Host host;
  ASSERT_NE(host.load(path), nullptr);
  const uint64_t used = host.memory().used_bytes;
  ASSERT_NE(host.load(path), nullptr);
  EXPECT_EQ(host.memory().used_bytes, used);
  EXPECT_EQ(host.memory().model_count, 1u);
  replace("tokenizer.json", "\"<|end|>\"", "\"<|END|>\"");
  replace("tokenizer.json", "\"<|end|>\"", "\"<|END|>\"");
  fsv_model* changed = host.load(path);
  ASSERT_NE(changed, nullptr);
  EXPECT_EQ(host.memory().model_count, 2u);
}

TEST_F(Folder, PartsThatDoNotFitAreNamed) {
  const auto expect_refused = [&](fsv_status expected, const std::vector<std::string>& words) {
    Host host;
    fsv_ticket ticket = 0;
    fsv_model* model = nullptr;
    fsv_error error{};
    ASSERT_EQ(host.begin_load(folder_.string(), &ticket, &error), FSV_OK) << error.message;
    EXPECT_EQ(host.finish_load(ticket, &model, &error), expected) << error.message;
    EXPECT_EQ(host.memory().used_bytes, 0u);
    fsv_model_info info;
    fsv_model_info_init(&info, sizeof(info));
    ASSERT_EQ(fsv_model_inspect(folder_.c_str(), SIZE_MAX, &info, &error), FSV_OK) << error.message;
    EXPECT_EQ(info.runnable, 0u);
    for (const std::string& word : words) {
      EXPECT_NE(std::string(error.message).find(word), std::string::npos) << word << " is not in: " << error.message;
      EXPECT_NE(std::string(info.refusal).find(word), std::string::npos) << word << " is not in: " << info.refusal;
    }
  };
  make("llama");
  replace("tokenizer.json", "\"<|end|>\": 35", "\"<|end|>\": 35, \"x1\": 38, \"x2\": 39, \"x3\": 40");
  expect_refused(FSV_ERROR_CORRUPT, {"41 tokens", "40 rows"});
  make("llama");
  fs::remove(folder_ / "tokenizer.json");
  expect_refused(FSV_ERROR_NOT_FOUND, {"tokenizer.json"});
  make("llama");
  write("tokenizer.json", "{\"model\": {\"type\": \"BPE\",");
  expect_refused(FSV_ERROR_CORRUPT, {"tokenizer.json: byte 25"});
  make("llama");
  replace("tokenizer.json", "\"Replace\"", "\"Rephrase\"");
  expect_refused(FSV_ERROR_UNSUPPORTED, {"tokenizer.json: normalizer.normalizers[1]", "Rephrase"});
  make("llama");
  write("tokenizer_config.json", "{\"bos_token\"");
  fsv_model_info info;
  fsv_model_info_init(&info, sizeof(info));
  fsv_error error{};
  EXPECT_EQ(fsv_model_inspect(folder_.c_str(), SIZE_MAX, &info, &error), FSV_ERROR_CORRUPT);
  EXPECT_NE(std::string(error.message).find("tokenizer_config.json"), std::string::npos) << error.message;
}

}  // namespace
}  // namespace fastserve::test
