// Hugging Face folders: the same metadata, names, shapes and numbers as llama.cpp's conversion of the same model
// (goldens of make_hf_folders.py), and folders that are not as they should be.
#include "formats/hf_folder.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <set>
#include <sstream>

#include "base/clock.h"
#include "base/format.h"
#include "formats/model_source.h"
#include "tensor/dtype.h"

namespace fastserve {
namespace {

namespace fs = std::filesystem;

uint32_t crc32(const void* data, size_t size) {
  uint32_t crc = 0xffffffffu;
  for (size_t i = 0; i < size; ++i) {
    crc ^= static_cast<const uint8_t*>(data)[i];
    for (int bit = 0; bit < 8; ++bit) crc = (crc >> 1) ^ (0xedb88320u & (0u - (crc & 1u)));
  }
  return ~crc;
}

// A tensor as floats, read in pieces of odd sizes.
std::vector<float> read_floats(ModelSource& source, const TensorInfo& tensor) {
  std::vector<uint8_t> bytes(tensor.size_bytes);
  for (size_t begin = 0, step = 1; begin < bytes.size(); begin += step, step = (step * 7 + 3) % 301 + 1) {
    step = std::min(step, bytes.size() - begin);
    const Status status = source.read_tensor(tensor, begin, bytes.data() + begin, step);
    EXPECT_TRUE(status.ok()) << tensor.name << ": " << status.message();
  }
  std::vector<float> floats(static_cast<size_t>(tensor.element_count()));
  dequantize_row(static_cast<DType>(tensor.type), bytes.data(), floats.data(), tensor.element_count());
  return floats;
}

class HfFolder : public testing::TestWithParam<const char*> {
 protected:
  std::string folder() const { return std::string(FASTSERVE_TEST_DATA "/hf/") + GetParam(); }
};

TEST_P(HfFolder, EqualsTheConversionToGguf) {
  const auto opened = open_model_source(folder());
  ASSERT_TRUE(opened.ok()) << opened.status().message();
  ModelSource& source = **opened;
  std::ifstream file(folder() + "/expected.txt");
  size_t keys = 0, tensors = 0;
  for (std::string line; std::getline(file, line);) {
    std::istringstream words(line);
    std::string kind, name, type;
    words >> kind >> name;
    if (kind == "key") {
      ++keys;
      std::string value;
      words >> type >> value;
      const MetaValue* found = source.find(name);
      ASSERT_NE(found, nullptr) << name;
      if (type == "uint") {
        EXPECT_EQ(source.get_uint(name).value(), std::stoull(value)) << name;
      } else if (type == "float") {
        EXPECT_FLOAT_EQ(static_cast<float>(source.get_float(name).value()), std::stof(value)) << name;
      } else {
        EXPECT_EQ(found->string_value, value) << name;
      }
      continue;
    }
    const TensorInfo* tensor = source.find_tensor(name);
    ASSERT_NE(tensor, nullptr) << name;
    const std::vector<float> floats = read_floats(source, *tensor);
    if (kind == "values") {  // derived by float arithmetic
      size_t count;
      words >> count;
      ASSERT_EQ(count, floats.size());
      for (float found : floats) {
        float value;
        words >> value;
        EXPECT_NEAR(found, value, 2e-6f * std::fabs(value)) << name;
      }
      continue;
    }
    ++tensors;
    uint32_t dimension_count, crc;
    words >> dimension_count;
    ASSERT_EQ(tensor->dimension_count, dimension_count) << name;
    for (uint32_t i = 0; i < dimension_count; ++i) {
      int64_t dimension;
      words >> dimension;
      EXPECT_EQ(tensor->dimensions[i], dimension) << name;
    }
    words >> crc;
    if (name.rfind("rope_", 0) != 0) {
      EXPECT_EQ(crc32(floats.data(), floats.size() * 4), crc) << name;
    }
  }
  EXPECT_GT(keys, 5u);
  EXPECT_EQ(tensors, source.tensors().size());
  EXPECT_EQ(source.format(), "safetensors");
  const auto side = source.read_side_file("tokenizer.json");
  ASSERT_TRUE(side.ok());
  EXPECT_EQ(side->size(), fs::file_size(folder() + "/tokenizer.json"));
}

INSTANTIATE_TEST_SUITE_P(Families, HfFolder,
                         testing::Values("llama", "mistral", "qwen2", "qwen3", "gemma2", "gemma3", "phi3", "gpt2",
                                         "mixtral", "qwen3moe"),
                         [](const auto& instance) { return std::string(instance.param); });

// A copy of a golden folder to be spoiled.
class HfFolderErrors : public testing::Test {
 protected:
  void SetUp() override {
    const auto* test = testing::UnitTest::GetInstance()->current_test_info();
    folder_ = fs::temp_directory_path() / format("fastserve_hf_", system_clock().now_ns(), test->name());
  }
  void TearDown() override { fs::remove_all(folder_); }
  void copy(const char* family) const {
    fs::remove_all(folder_);
    fs::copy(std::string(FASTSERVE_TEST_DATA "/hf/") + family, folder_);
  }
  std::string read(const char* name) const {
    std::ifstream file(folder_ / name, std::ios::binary);
    return {std::istreambuf_iterator<char>(file), {}};
  }
  void write(const char* name, const std::string& text) const {
    std::ofstream(folder_ / name, std::ios::binary) << text;
  }
  void replace(const char* name, std::string_view from, std::string_view to) const {
    std::string text = read(name);
    const size_t place = text.find(from);
    ASSERT_NE(place, std::string::npos) << from;
    write(name, text.replace(place, from.size(), to));
  }
  // Of a safetensors file, with the header's length put right.
  void replace_in_header(const char* name, std::string_view from, std::string_view to) const {
    replace(name, from, to);
    std::string text = read(name);
    uint64_t length;
    std::memcpy(&length, text.data(), 8);
    length += to.size() - from.size();
    std::memcpy(text.data(), &length, 8);
    write(name, text);
  }
  void expect_refused(StatusCode code, std::string_view word) const {
    const auto source = open_model_source(folder_.string());
    ASSERT_FALSE(source.ok()) << "accepted; expected: " << word;
    EXPECT_EQ(source.status().code(), code) << source.status().message();
    EXPECT_NE(std::string_view(source.status().message()).find(word), std::string_view::npos)
        << source.status().message();
  }
  std::unique_ptr<ModelSource> open() const {
    auto source = open_model_source(folder_.string());
    EXPECT_TRUE(source.ok()) << source.status().message();
    return source.ok() ? source.take() : nullptr;
  }

  fs::path folder_;
};

TEST_F(HfFolderErrors, FilesThatAreMissing) {
  copy("llama");
  fs::remove(folder_ / "model.safetensors");
  expect_refused(StatusCode::kNotFound, "model.safetensors");
  write("pytorch_model.bin", "x");
  expect_refused(StatusCode::kUnsupported, "pytorch_model.bin");
  fs::remove(folder_ / "config.json");
  expect_refused(StatusCode::kNotFound, "config.json");
  copy("mixtral");
  fs::remove(folder_ / "model-00003-of-00005.safetensors");
  expect_refused(StatusCode::kNotFound, "model-00003-of-00005.safetensors");
}

TEST_F(HfFolderErrors, ConfigurationsThatCannotRun) {
  const std::tuple<const char*, const char*, const char*, StatusCode, const char*> cases[] = {
      {"llama", "LlamaForCausalLM", "MambaForCausalLM", StatusCode::kUnsupported, "MambaForCausalLM"},
      {"llama", "\"silu\"", "\"relu\"", StatusCode::kUnsupported, "relu"},
      {"llama", "\"llama3\"", "\"dynamic\"", StatusCode::kUnsupported, "rope scaling \"dynamic\""},
      {"llama", "\"mlp_bias\": false", "\"mlp_bias\": true", StatusCode::kUnsupported, "mlp_bias"},
      {"llama", "\"hidden_size\": 32", "\"hidden_size\": -32", StatusCode::kCorrupt, "hidden_size"},
      {"llama", "\"hidden_size\": 32", "\"x\": 32", StatusCode::kCorrupt, "\"hidden_size\" is missing"},
      {"llama", "\"hidden_size\": 32", "\"hidden_size\": 1e300", StatusCode::kCorrupt, "hidden_size"},
      {"llama", "\"hidden_size\": 32", "\"hidden_size\": 32,", StatusCode::kCorrupt, "line "},
      {"llama", "\"vocab_size\"", "\"quantization_config\": {\"quant_method\": \"gptq\"}, \"vocab_size\"",
       StatusCode::kUnsupported, "gptq"},
      {"llama", "\"num_attention_heads\": 4", "\"num_attention_heads\": 3", StatusCode::kCorrupt, "3 heads"},
      {"gemma3", "\"sliding_attention\",", "", StatusCode::kCorrupt, "layer_types"},
      {"phi3", "8.125", "8.125, 9", StatusCode::kCorrupt, "long_factor"},
      {"phi3", "1.1", "-1.1", StatusCode::kCorrupt, "short_factor"},
      {"gpt2", "\"scale_attn_weights\": true", "\"scale_attn_weights\": false", StatusCode::kUnsupported,
       "scale_attn_weights"},
      {"mixtral", "\"num_local_experts\": 3", "\"num_local_experts\": 4", StatusCode::kCorrupt, "3 of 4 experts"},
      {"mixtral", "\"num_local_experts\": 3", "\"num_local_experts\": 2", StatusCode::kUnsupported, "experts.2.w"},
      {"qwen3moe", "\"mlp_only_layers\": []", "\"mlp_only_layers\": [0]", StatusCode::kUnsupported, "mlp_only_layers"},
  };
  for (const auto& [family, from, to, code, word] : cases) {
    copy(family);
    replace("config.json", from, to);
    expect_refused(code, word);
  }
}

TEST_F(HfFolderErrors, TensorsThatCannotBe) {
  const std::tuple<const char*, const char*, StatusCode, const char*> cases[] = {
      {"\"dtype\":\"BF16\"", "\"dtype\":\"I64\"", StatusCode::kUnsupported, "I64"},
      {"lm_head.weight", "lm_head.strange", StatusCode::kUnsupported, "lm_head.strange"},
      {"\"shape\":[40,32]", "\"shape\":[41,32]", StatusCode::kCorrupt, "its shape needs 2624"},
      {"\"shape\":[40,32]", "\"shape\":[0,32]", StatusCode::kCorrupt, "impossible shape"},
      {"\"shape\":[40,32]", "\"shape\":[9223372036854775807,32]", StatusCode::kCorrupt, "impossible shape"},
      {"\"shape\":[40,32]", "\"shape\":[1,1,1,40,32]", StatusCode::kCorrupt, "5 dimensions"},
      {"\"shape\":[40,32]", "\"shape\":[40.5,32]", StatusCode::kCorrupt, "no integer"},
      {"\"data_offsets\":[0,", "\"data_offsets\":[-1,", StatusCode::kCorrupt, "data_offsets"},
      {"\"data_offsets\":[0,", "\"data_offsets\":[2560,", StatusCode::kCorrupt, "bytes; its shape needs"},
      {"\"data_offsets\":[0,2560]", "\"data_offsets\":[2560,5120]", StatusCode::kCorrupt, "overlap"},
      {"\"data_offsets\":[0,2560]", "\"data_offsets\":[99999999,100002559]", StatusCode::kCorrupt, "data_offsets"},
      {"layers.0.", "layers.7.", StatusCode::kUnsupported, "layers.7."},
  };
  for (const auto& [from, to, code, word] : cases) {
    copy("llama");
    replace_in_header("model.safetensors", from, to);
    expect_refused(code, word);
  }
}

TEST_F(HfFolderErrors, EveryTruncationOfTheHeaderIsRefused) {
  copy("llama");
  const std::string whole = read("model.safetensors");
  uint64_t header;
  std::memcpy(&header, whole.data(), 8);
  for (size_t size = 0; size < whole.size(); size += size < header + 100 ? 13 : 997) {
    write("model.safetensors", whole.substr(0, size));
    const auto source = open_model_source(folder_.string());
    ASSERT_FALSE(source.ok()) << size;
    EXPECT_EQ(source.status().code(), StatusCode::kCorrupt) << source.status().message();
  }
}

TEST_F(HfFolderErrors, AnIndexCannotLeadOutOfTheFolder) {
  for (const char* name : {"../x.safetensors", "/etc/passwd", "a/b", "..", "a\\\\b"}) {
    copy("mixtral");
    write("model.safetensors.index.json", format("{\"weight_map\": {\"t\": \"", name, "\"}}"));
    expect_refused(StatusCode::kCorrupt, "is not in a file of this folder");
  }
  copy("llama");
  const auto source = open();
  ASSERT_NE(source, nullptr);
  EXPECT_EQ(source->read_side_file("../llama/config.json").status().code(), StatusCode::kInvalidArgument);
  EXPECT_EQ(source->read_side_file("absent.json").status().code(), StatusCode::kNotFound);
}

TEST_F(HfFolderErrors, AMissingOutputMatrixIsNoTiedOne) {
  copy("qwen2");
  replace("config.json", "\"tie_word_embeddings\": true", "\"tie_word_embeddings\": false");
  expect_refused(StatusCode::kCorrupt, "\"lm_head.weight\" is missing");
}

TEST_F(HfFolderErrors, OldConfigurationsReadAsNewOnes) {
  copy("llama");
  std::string text = read("config.json");
  const size_t begin = text.find("\"rope_parameters\""), end = text.find('}', begin);
  text.replace(begin, end + 1 - begin, R"("rope_theta": 10000.0, "rope_scaling": {"type": "linear", "factor": 4.0})");
  write("config.json", text);
  auto source = open();
  ASSERT_NE(source, nullptr);
  EXPECT_EQ(source->get_string("llama.rope.scaling.type").value(), "linear");
  EXPECT_EQ(source->get_float("llama.rope.scaling.factor").value(), 4.0);
  EXPECT_EQ(source->get_float("llama.rope.freq_base").value(), 10000.0);
  EXPECT_EQ(source->find_tensor("rope_freqs.weight"), nullptr);

  copy("gemma3");
  text = read("config.json");
  const size_t rope = text.find("\"rope_parameters\""), rope_end = text.find("},\n  \"sliding_window\"", rope);
  text.replace(rope, rope_end + 1 - rope, R"("rope_theta": 500000, "rope_local_base_freq": 20000)");
  const size_t types = text.find("\"layer_types\""), types_end = text.find(']', types);
  text.replace(types, types_end + 1 - types, R"("sliding_window_pattern": 2)");
  write("config.json", text);
  source = open();
  ASSERT_NE(source, nullptr);
  EXPECT_EQ(source->get_float("gemma3.rope.freq_base").value(), 500000.0);
  EXPECT_EQ(source->get_float("gemma3.rope.freq_base_swa").value(), 20000.0);
  EXPECT_EQ(source->find("gemma3.attention.sliding_window_pattern")->integers, (std::vector<int64_t>{1, 0}));
}

TEST_F(HfFolderErrors, WindowsAndScalesBeyondGgufAreStated) {
  copy("mistral");
  auto source = open();
  ASSERT_NE(source, nullptr);
  EXPECT_EQ(source->get_uint("llama.attention.sliding_window").value(), 128u);
  EXPECT_EQ(source->find("llama.attention.sliding_window_pattern"), nullptr);  // every layer
  copy("gemma2");
  source = open();
  ASSERT_NE(source, nullptr);
  EXPECT_EQ(source->get_float("gemma2.attention.scale").value(), 0.125);
  EXPECT_EQ(source->find("gemma2.attention.sliding_window_pattern")->integers, (std::vector<int64_t>{1, 0}));
  copy("qwen2");
  replace("config.json", "\"sliding_window\": null", "\"sliding_window\": 512");
  source = open();
  ASSERT_NE(source, nullptr);
  EXPECT_EQ(source->find("qwen2.attention.sliding_window"), nullptr);  // switched off
}

TEST_F(HfFolderErrors, ChatTemplatesAndTokensAreFound) {
  copy("llama");
  write("tokenizer_config.json", R"({"chat_template": [{"name": "tool", "template": "T"},
                                                       {"name": "default", "template": "D\n"}]})");
  auto source = open();
  ASSERT_NE(source, nullptr);
  EXPECT_EQ(source->get_string("tokenizer.chat_template").value(), "D\n");
  write("tokenizer_config.json", R"({"chat_template": "plain"})");
  EXPECT_EQ(open()->get_string("tokenizer.chat_template").value(), "plain");
  write("chat_template.jinja", "file");
  EXPECT_EQ(open()->get_string("tokenizer.chat_template").value(), "file");
  write("config.json", read("config.json"));
  replace("config.json", "\"eos_token_id\": 2", "\"eos_token_id\": [2, 7]");
  source = open();
  ASSERT_NE(source, nullptr);
  EXPECT_EQ(source->get_uint("tokenizer.ggml.eos_token_id").value(), 2u);
  EXPECT_EQ(source->find("fastserve.eos_token_ids")->integers, (std::vector<int64_t>{2, 7}));
}

// Experts fused in one tensor read as those apart.
TEST_F(HfFolderErrors, FusedExpertsEqualSeparateOnes) {
  copy("qwen3moe");
  const auto separate = open();
  ASSERT_NE(separate, nullptr);
  // Gate and up of expert e stand together: [experts][2 * 16][32]; the pieces are moved into one tensor's place.
  std::map<std::string, std::vector<uint8_t>> bytes;
  for (const char* name : {"ffn_gate_exps", "ffn_up_exps", "ffn_down_exps"}) {
    const TensorInfo* tensor = separate->find_tensor(format("blk.0.", name, ".weight"));
    ASSERT_NE(tensor, nullptr);
    auto& out = bytes[name];
    out.resize(tensor->size_bytes);
    ASSERT_TRUE(separate->read_tensor(*tensor, 0, out.data(), out.size()).ok());
  }
  std::string data;
  const size_t expert = 16 * 32 * 2;
  for (size_t e = 0; e < 4; ++e) {
    data.append(reinterpret_cast<char*>(bytes["ffn_gate_exps"].data()) + e * expert, expert);
    data.append(reinterpret_cast<char*>(bytes["ffn_up_exps"].data()) + e * expert, expert);
  }
  data.append(reinterpret_cast<char*>(bytes["ffn_down_exps"].data()), 4 * expert);
  const std::string header = format(
      R"({"model.layers.0.mlp.experts.gate_up_proj":{"dtype":"BF16","shape":[4,32,32],"data_offsets":[0,8192]},)",
      R"("model.layers.0.mlp.experts.down_proj":{"dtype":"BF16","shape":[4,32,16],"data_offsets":[8192,12288]},)",
      R"("lm_head.weight":{"dtype":"BF16","shape":[1,1],"data_offsets":[12288,12290]}})");
  const uint64_t length = header.size();
  write("model.safetensors", std::string(reinterpret_cast<const char*>(&length), 8) + header + data + "xx");
  const auto fused = open();
  ASSERT_NE(fused, nullptr);
  for (const auto& [name, expected] : bytes) {
    const TensorInfo* tensor = fused->find_tensor(format("blk.0.", name, ".weight"));
    ASSERT_NE(tensor, nullptr);
    std::vector<uint8_t> found(tensor->size_bytes);
    ASSERT_TRUE(fused->read_tensor(*tensor, 0, found.data(), found.size()).ok());
    EXPECT_EQ(found, expected) << name;
  }
}

}  // namespace
}  // namespace fastserve
