// GGUF reader: what it reads, and what it refuses and how.
#include <gtest/gtest.h>

#include <chrono>
#include <fstream>
#include <iterator>

#include "formats/gguf_header.h"
#include "formats/gguf_writer.h"
#include "formats/memory_file.h"
#include "formats/model_source.h"
#include "tensor/dtype.h"

namespace fastserve {
namespace {

using Source = Result<std::unique_ptr<ModelSource>>;

Source open_bytes(std::vector<uint8_t> bytes) { return open_gguf(std::make_unique<MemoryFile>(std::move(bytes))); }

// Expects a failure of `code` whose message holds every one of `words`.
void expect_refused(const GgufWriter& writer, StatusCode code, std::vector<std::string_view> words) {
  const Source source = open_bytes(writer.bytes);
  ASSERT_FALSE(source.ok()) << "accepted; expected: " << words[0];
  EXPECT_EQ(source.status().code(), code) << source.status().message();
  for (std::string_view word : words) {
    EXPECT_NE(std::string_view(source.status().message()).find(word), std::string_view::npos)
        << "\"" << source.status().message() << "\" lacks \"" << word << "\"";
  }
}

// A file with every value type, three tensors, and data.
GgufWriter complete_file(uint32_t version) {
  GgufWriter w;
  w.preamble(version, 3, 17);
  w.key("general.architecture", kGgufString).text("llama");
  w.key("u8", kGgufUint8).number(200, 1);
  w.key("i8", kGgufInt8).number(static_cast<uint8_t>(-5), 1);
  w.key("u16", kGgufUint16).number(60000, 2);
  w.key("i16", kGgufInt16).number(static_cast<uint16_t>(-300), 2);
  w.key("u32", kGgufUint32).u32(4000000000u);
  w.key("i32", kGgufInt32).u32(static_cast<uint32_t>(-70000));
  w.key("f32", kGgufFloat32).f32(1.5f);
  w.key("bool", kGgufBool).number(1, 1);
  w.key("u64", kGgufUint64).u64(uint64_t{1} << 63);
  w.key("i64", kGgufInt64).u64(static_cast<uint64_t>(-9000000000));
  w.key("f64", kGgufFloat64).f64(-0.1);
  w.array("strings", kGgufString, 3).text("a").text("").text(std::string_view("b\0c", 3));
  w.array("ints", kGgufInt32, 2).u32(static_cast<uint32_t>(-1)).u32(7);
  w.array("floats", kGgufFloat32, 2).f32(0.25f).f32(-2.0f);
  w.array("bools", kGgufBool, 3).number(1, 1).number(0, 1).number(1, 1);
  w.array("empty", kGgufUint32, 0);
  w.tensor("a.weight", {64, 2}, 2, 0);     // Q4_0: 2 rows of 36 bytes
  w.tensor("b.weight", {4, 3, 2}, 0, 96);  // F32: 96 bytes
  w.tensor("c.scalar", {}, 0, 192);
  w.pad(32).data(196);
  return w;
}

class Gguf : public testing::TestWithParam<uint32_t> {};

TEST_P(Gguf, ReadsEveryValueType) {
  const Source opened = open_bytes(complete_file(GetParam()).bytes);
  ASSERT_TRUE(opened.ok()) << opened.status().message();
  const ModelSource& source = **opened;
  EXPECT_EQ(source.format(), GetParam() == 2 ? "gguf v2" : "gguf v3");
  EXPECT_EQ(source.keys().size(), 17u);
  EXPECT_EQ(source.keys()[0], "general.architecture");
  EXPECT_EQ(source.keys()[16], "empty");
  EXPECT_EQ(source.get_string("general.architecture").value(), "llama");
  EXPECT_EQ(source.get_uint("u8").value(), 200u);
  EXPECT_EQ(source.find("i8")->int_value, -5);
  EXPECT_EQ(source.get_uint("u16").value(), 60000u);
  EXPECT_EQ(source.find("i16")->int_value, -300);
  EXPECT_EQ(source.get_uint("u32").value(), 4000000000u);
  EXPECT_EQ(source.find("i32")->int_value, -70000);
  EXPECT_EQ(source.get_float("f32").value(), 1.5);
  EXPECT_EQ(source.bool_or("bool", false).value(), true);
  EXPECT_EQ(source.get_uint("u64").value(), uint64_t{1} << 63);
  EXPECT_EQ(source.find("i64")->int_value, -9000000000);
  EXPECT_EQ(source.get_float("f64").value(), -0.1);
  const StringTable& strings = source.find("strings")->strings;
  ASSERT_EQ(strings.size(), 3u);
  EXPECT_EQ(strings[0], "a");
  EXPECT_EQ(strings[1], "");
  EXPECT_EQ(strings[2], std::string_view("b\0c", 3));
  EXPECT_EQ(source.find("ints")->integers, (std::vector<int64_t>{-1, 7}));
  EXPECT_EQ(source.find("floats")->floats, (std::vector<double>{0.25, -2.0}));
  EXPECT_EQ(source.find("bools")->integers, (std::vector<int64_t>{1, 0, 1}));
  EXPECT_EQ(source.find("empty")->type, MetaType::kArray);
  EXPECT_EQ(source.find("empty")->array_size(), 0u);
}

TEST_P(Gguf, PlacesTensorsAndReadsTheirBytes) {
  const GgufWriter writer = complete_file(GetParam());
  const Source opened = open_bytes(writer.bytes);
  ASSERT_TRUE(opened.ok());
  ModelSource& source = **opened;
  EXPECT_EQ(source.file_bytes(), writer.bytes.size());
  ASSERT_EQ(source.tensors().size(), 3u);
  const TensorInfo* b = source.find_tensor("b.weight");
  ASSERT_NE(b, nullptr);
  EXPECT_EQ(b->type, 0u);
  EXPECT_EQ(b->dimension_count, 3u);
  EXPECT_EQ(b->element_count(), 24);
  EXPECT_EQ(b->size_bytes, 96u);
  EXPECT_EQ(source.find_tensor("a.weight")->size_bytes, 72u);
  EXPECT_EQ(source.find_tensor("c.scalar")->size_bytes, 4u);
  EXPECT_EQ(source.find_tensor("missing"), nullptr);
  std::vector<uint8_t> bytes(10);
  ASSERT_TRUE(source.read_tensor(*b, 86, bytes.data(), 10).ok());
  for (size_t i = 0; i < 10; ++i) EXPECT_EQ(bytes[i], static_cast<uint8_t>((96 + 86 + i) * 7 + 3));
  EXPECT_EQ(source.read_tensor(*b, 87, bytes.data(), 10).code(), StatusCode::kInvalidArgument);
  EXPECT_EQ(source.read_tensor(*b, UINT64_MAX, bytes.data(), 1).code(), StatusCode::kInvalidArgument);
}

TEST_P(Gguf, EveryTruncationIsRefused) {
  const std::vector<uint8_t> whole = complete_file(GetParam()).bytes;
  for (size_t size = 0; size < whole.size(); ++size) {
    const std::vector<uint8_t> bytes(whole.begin(), whole.begin() + static_cast<ptrdiff_t>(size));
    const Source source = open_bytes(bytes);
    ASSERT_FALSE(source.ok()) << size << " of " << whole.size() << " bytes were accepted";
    ASSERT_EQ(source.status().code(), StatusCode::kCorrupt) << source.status().message();
    // The same cut, after the size was asked: reads fail one by one.
    const Source cut = open_gguf(std::make_unique<MemoryFile>(bytes, whole.size()));
    if (cut.ok()) {  // the header fits
      uint8_t byte;
      EXPECT_FALSE((*cut)->read_tensor((*cut)->tensors()[2], 3, &byte, 1).ok());
    }
  }
}

TEST_P(Gguf, EveryFlippedBitIsReadOrRefusedWithAMessage) {
  const std::vector<uint8_t> whole = complete_file(GetParam()).bytes;
  size_t refused = 0;
  for (size_t bit = 0; bit < whole.size() * 8; ++bit) {
    std::vector<uint8_t> bytes = whole;
    bytes[bit / 8] = static_cast<uint8_t>(bytes[bit / 8] ^ (1u << (bit % 8)));
    const Source source = open_bytes(std::move(bytes));
    if (source.ok()) continue;
    ++refused;
    ASSERT_GT(std::string_view(source.status().message()).size(), 10u);
  }
  EXPECT_GT(refused, 500u);
}

INSTANTIATE_TEST_SUITE_P(Versions, Gguf, testing::Values(2, 3));

TEST(GgufErrors, PreambleOfAnotherKind) {
  GgufWriter zip;
  zip.number(0x04034b50, 4).data(40);
  expect_refused(zip, StatusCode::kUnsupported, {"memory", "no GGUF"});
  expect_refused(GgufWriter().preamble(1, 0, 0), StatusCode::kUnsupported, {"version 1"});
  expect_refused(GgufWriter().preamble(4, 0, 0), StatusCode::kUnsupported, {"version 4"});
  expect_refused(GgufWriter().preamble(0, 0, 0), StatusCode::kUnsupported, {"version 0"});
  expect_refused(GgufWriter().preamble(0x03000000, 0, 0), StatusCode::kUnsupported, {"big-endian"});
}

TEST(GgufErrors, CountsBeyondTheFile) {
  for (uint64_t count : {uint64_t{20}, uint64_t{1} << 32, UINT64_MAX / 8, UINT64_MAX}) {
    expect_refused(GgufWriter().preamble(3, count, 0), StatusCode::kCorrupt, {"tensor count"});
    expect_refused(GgufWriter().preamble(3, 0, count), StatusCode::kCorrupt, {"metadata count"});
    expect_refused(GgufWriter().preamble(3, 0, 1).u64(count).data(8), StatusCode::kCorrupt, {"offset 32", "key"});
    expect_refused(GgufWriter().preamble(3, 0, 1).key("k", kGgufString).u64(count).data(1), StatusCode::kCorrupt,
                   {"\"k\"", "end of the file"});
    for (GgufType type : {kGgufUint8, kGgufString, kGgufFloat64}) {
      expect_refused(GgufWriter().preamble(3, 0, 1).array("k", type, count).data(1), StatusCode::kCorrupt,
                     {"\"k\"", "elements"});
    }
  }
}

TEST(GgufErrors, MetadataOfAWrongKind) {
  expect_refused(GgufWriter().preamble(3, 0, 1).key("k", static_cast<GgufType>(13)).u64(0), StatusCode::kCorrupt,
                 {"\"k\"", "unknown type 13"});
  expect_refused(GgufWriter().preamble(3, 0, 1).array("k", static_cast<GgufType>(99), 0), StatusCode::kCorrupt,
                 {"\"k\"", "unknown type 99"});
  expect_refused(GgufWriter().preamble(3, 0, 1).array("k", kGgufArray, 1).u32(0).u64(0), StatusCode::kUnsupported,
                 {"\"k\"", "array of arrays"});
  expect_refused(GgufWriter().preamble(3, 0, 1).key("k", kGgufBool).number(2, 1), StatusCode::kCorrupt,
                 {"\"k\"", "no boolean"});
  expect_refused(GgufWriter().preamble(3, 0, 1).array("k", kGgufBool, 2).number(1, 1).number(9, 1),
                 StatusCode::kCorrupt, {"\"k\"", "out of range"});
  expect_refused(GgufWriter().preamble(3, 0, 1).array("k", kGgufUint64, 1).u64(UINT64_MAX), StatusCode::kCorrupt,
                 {"\"k\"", "out of range"});
  expect_refused(GgufWriter().preamble(3, 0, 1).key("", kGgufUint8).u64(1), StatusCode::kCorrupt, {"empty"});
  expect_refused(
      GgufWriter().preamble(3, 0, 2).key("twice", kGgufUint8).number(1, 1).key("twice", kGgufUint8).number(1, 1),
      StatusCode::kCorrupt, {"\"twice\"", "occurs twice"});
  for (uint64_t alignment : {0u, 3u, 33u, 1u << 30}) {
    expect_refused(
        GgufWriter().preamble(3, 0, 1).key("general.alignment", kGgufUint32).u32(static_cast<uint32_t>(alignment)),
        StatusCode::kCorrupt, {"general.alignment", "power of two"});
  }
  expect_refused(GgufWriter().preamble(3, 0, 1).key("general.alignment", kGgufString).text("32"), StatusCode::kCorrupt,
                 {"general.alignment", "power of two"});
}

TEST(GgufErrors, MemoryBeyondTheBound) {
  GgufWriter many;  // 2^24 + 1 one-byte elements
  many.preamble(3, 0, 1).array("k", kGgufUint8, (1u << 24) + 1);
  many.bytes.resize(many.bytes.size() + (1u << 24) + 1);
  expect_refused(many, StatusCode::kUnsupported, {"\"k\"", "16777217"});

  const std::vector<uint8_t> bytes = complete_file(3).bytes;
  MemoryFile file(bytes);
  const auto refusal = [&](const GgufLimits& limits) {
    const auto header = parse_gguf_header(file, limits);
    return std::string(header.ok() ? "accepted" : header.status().message());
  };
  EXPECT_EQ(refusal({}), "accepted");
  EXPECT_NE(refusal({.tensor_count = 2}).find("tensor count 3 is above 2"), std::string::npos);
  EXPECT_NE(refusal({.key_count = 16}).find("metadata count 17 is above 16"), std::string::npos);
  EXPECT_NE(refusal({.array_size = 2}).find("\"strings\" has 3 elements, more than 2"), std::string::npos);
  // Whatever the bound on memory, nothing is exceeded and the reason is given.
  size_t refused = 0;
  for (uint64_t limit = 0; limit < 8000; limit += 7) {
    const std::string text = refusal({.metadata_bytes = limit});
    if (text == "accepted") break;
    ++refused;
    ASSERT_TRUE(text.find("metadata needs more than") != std::string::npos || text.find("allowed") != std::string::npos)
        << text;
  }
  EXPECT_GT(refused, 100u);
  EXPECT_LT(refused, 8000u / 7);
}

GgufWriter one_tensor(std::vector<uint64_t> dimensions, uint32_t type, uint64_t offset, size_t data_bytes) {
  GgufWriter w;
  w.preamble(3, 1, 0).tensor("t.weight", std::move(dimensions), type, offset).pad(32).data(data_bytes);
  return w;
}

TEST(GgufErrors, TensorsThatCannotBe) {
  ASSERT_TRUE(open_bytes(one_tensor({32, 2}, 2, 0, 36).bytes).ok());
  expect_refused(one_tensor({32, 2}, 2, 0, 35), StatusCode::kCorrupt, {"\"t.weight\"", "end of the file"});
  expect_refused(one_tensor({32, 2}, 2, 32, 36), StatusCode::kCorrupt, {"\"t.weight\"", "end of the file"});
  expect_refused(one_tensor({32, 2}, 2, 8, 64), StatusCode::kCorrupt, {"\"t.weight\"", "aligned"});
  expect_refused(one_tensor({32, 2}, 2, UINT64_MAX - 31, 64), StatusCode::kCorrupt, {"\"t.weight\"", "end of"});
  expect_refused(one_tensor({33, 2}, 2, 0, 64), StatusCode::kCorrupt, {"\"t.weight\"", "33", "block of 32"});
  expect_refused(one_tensor({128, 2}, 12, 0, 640), StatusCode::kCorrupt, {"\"t.weight\"", "128", "block of 256"});
  expect_refused(one_tensor({32, 0}, 2, 0, 64), StatusCode::kCorrupt, {"\"t.weight\"", "dimension 1 is 0"});
  expect_refused(one_tensor({32, 1, 1, 1, 1}, 2, 0, 64), StatusCode::kCorrupt, {"\"t.weight\"", "5 dimensions"});
  for (uint64_t huge : {uint64_t{1} << 50, uint64_t{1} << 63, UINT64_MAX}) {
    expect_refused(one_tensor({32, huge}, 2, 0, 64), StatusCode::kCorrupt, {"\"t.weight\"", "impossibly large"});
    expect_refused(one_tensor({32, 1, huge}, 0, 0, 64), StatusCode::kCorrupt, {"\"t.weight\"", "impossibly large"});
  }
  expect_refused(one_tensor({uint64_t{1} << 49}, 0, 0, 64), StatusCode::kCorrupt, {"\"t.weight\"", "end of the file"});
  for (uint32_t type : {4u, 31u, 99u, 0xffffffffu}) {
    expect_refused(one_tensor({32}, type, 0, 64), StatusCode::kUnsupported, {"\"t.weight\"", "unknown type"});
  }
}

TEST(GgufErrors, TensorsThatCollide) {
  GgufWriter overlap;
  overlap.preamble(3, 2, 0).tensor("a", {16}, 0, 0).tensor("b", {8}, 0, 32).pad(32).data(64);
  expect_refused(overlap, StatusCode::kCorrupt, {"\"a\"", "\"b\"", "overlap"});
  GgufWriter twice;
  twice.preamble(3, 2, 0).tensor("a", {8}, 0, 0).tensor("a", {8}, 0, 32).pad(32).data(64);
  expect_refused(twice, StatusCode::kCorrupt, {"memory", "\"a\"", "occurs twice"});
}

TEST(GgufErrors, NamesInMessagesAreMadeHarmless) {
  GgufWriter w;
  w.preamble(3, 0, 1).key(std::string("\x1b[31m\n\xff") + std::string(500, 'x'), static_cast<GgufType>(77)).u64(0);
  const Source source = open_bytes(w.bytes);
  ASSERT_FALSE(source.ok());
  const std::string_view message = source.status().message();
  EXPECT_LT(message.size(), 250u);
  for (char c : message) EXPECT_TRUE(c >= 0x20 && c < 0x7f);
}

TEST(GgufTypes, ATypeThatCannotRunIsKeptForTheModelToRefuse) {
  const Source source = open_bytes(one_tensor({256}, 16, 0, 66).bytes);  // IQ2_XXS
  ASSERT_TRUE(source.ok()) << source.status().message();
  EXPECT_EQ((*source)->tensors()[0].type, 16u);
  EXPECT_EQ((*source)->tensors()[0].size_bytes, 66u);
}

TEST(GgufTypes, LookUpsNameKeyAndKind) {
  const Source opened = open_bytes(complete_file(3).bytes);
  ASSERT_TRUE(opened.ok());
  const ModelSource& source = **opened;
  EXPECT_EQ(source.get_uint("none").status().code(), StatusCode::kNotFound);
  EXPECT_STREQ(source.get_uint("none").status().message(), "metadata key \"none\" is missing");
  EXPECT_EQ(source.get_uint("i8").status().code(), StatusCode::kCorrupt);
  EXPECT_STREQ(source.get_string("ints").status().message(), "metadata key \"ints\" is an array, not a string");
  EXPECT_EQ(source.uint_or("none", 7).value(), 7u);
  EXPECT_FALSE(source.uint_or("f32", 7).ok());
  EXPECT_EQ(source.float_or("u8", 7).value(), 200.0);
  EXPECT_EQ(source.float_or("none", 0.5).value(), 0.5);
  EXPECT_FALSE(source.bool_or("u8", true).ok());
  EXPECT_EQ(source.string_or("none", "x").value(), "x");
  EXPECT_FALSE(source.string_or("bool", "x").ok());
}

TEST(GgufFiles, MissingFolderAndForeignFiles) {
  const Source missing = open_model_source("/no/such/folder/model.gguf");
  ASSERT_FALSE(missing.ok());
  EXPECT_EQ(missing.status().code(), StatusCode::kNotFound);
  EXPECT_NE(std::string_view(missing.status().message()).find("/no/such/folder/model.gguf"), std::string_view::npos);
  EXPECT_FALSE(open_model_source("").ok());
  EXPECT_FALSE(open_model_source(FASTSERVE_TEST_DATA).ok());
  const Source foreign = open_model_source(FASTSERVE_TEST_DATA "/make_gguf.py");
  ASSERT_FALSE(foreign.ok());
  EXPECT_EQ(foreign.status().code(), StatusCode::kUnsupported);
}

// Something quadratic here would meet the runner's time limit.
TEST(GgufSpeed, AVocabularyOf262144TokensParsesAtOnce) {
  GgufWriter w;
  w.preamble(3, 0, 2).array("tokenizer.ggml.tokens", kGgufString, 262144);
  for (uint32_t i = 0; i < 262144; ++i) w.text(std::string(1 + i % 11, static_cast<char>('a' + i % 26)));
  w.array("tokenizer.ggml.scores", kGgufFloat32, 262144);
  for (uint32_t i = 0; i < 262144; ++i) w.f32(static_cast<float>(i));
  const Source source = open_bytes(std::move(w.bytes));
  ASSERT_TRUE(source.ok()) << source.status().message();
  ASSERT_EQ((*source)->find("tokenizer.ggml.tokens")->strings.size(), 262144u);
  EXPECT_EQ((*source)->find("tokenizer.ggml.tokens")->strings[262143].size(), 1 + 262143 % 11);
  EXPECT_EQ((*source)->find("tokenizer.ggml.scores")->floats[262143], 262143.0);
}

// Everything that the `gguf` package reads from its own file (make_gguf.py), line by line.
TEST(GgufGolden, EqualsTheGgufPackage) {
  const Source opened = open_model_source(FASTSERVE_TEST_DATA "/gguf/small.gguf.bin");
  ASSERT_TRUE(opened.ok()) << opened.status().message();
  const ModelSource& source = **opened;
  std::ifstream file(FASTSERVE_TEST_DATA "/gguf/small.txt");
  size_t keys = 0, tensors = 0;
  for (std::string kind, name; file >> kind >> name;) {
    if (kind == "key") {
      std::string type, value;
      file >> type >> value;
      const MetaValue* found = source.find(name);
      ASSERT_NE(found, nullptr) << name;
      ++keys;
      if (type == "uint") {
        EXPECT_EQ(found->uint_value, std::stoull(value)) << name;
      }
      if (type == "int") {
        EXPECT_EQ(found->int_value, std::stoll(value)) << name;
      }
      if (type == "float") {
        EXPECT_EQ(found->float_value, std::stod(value)) << name;
      }
      if (type == "bool") {
        EXPECT_EQ(found->bool_value, value == "True") << name;
      }
      if (type == "string") {
        EXPECT_EQ(found->string_value, value) << name;
      }
      if (type == "array") {
        EXPECT_EQ(found->array_size(), std::stoull(value)) << name;
      }
    } else {
      ASSERT_EQ(kind, "tensor");
      uint32_t type, dimension_count;
      uint64_t offset, size;
      file >> type >> offset >> size >> dimension_count;
      const TensorInfo* tensor = source.find_tensor(name);
      ASSERT_NE(tensor, nullptr) << name;
      ++tensors;
      EXPECT_EQ(tensor->type, type) << name;
      EXPECT_EQ(tensor->offset_bytes, offset) << name;
      EXPECT_EQ(tensor->size_bytes, size) << name;
      ASSERT_EQ(tensor->dimension_count, dimension_count) << name;
      for (uint32_t i = 0; i < dimension_count; ++i) {
        int64_t dimension;
        file >> dimension;
        EXPECT_EQ(tensor->dimensions[i], dimension) << name;
      }
    }
  }
  EXPECT_EQ(keys, source.keys().size());
  EXPECT_EQ(tensors, source.tensors().size());
  EXPECT_GT(keys, 8u);
  EXPECT_GT(tensors, 3u);
}

class GgufModel : public testing::TestWithParam<const char*> {};

TEST_P(GgufModel, HeaderOfARealFile) {
  const std::string path = std::string(FASTSERVE_MODEL_DIR "/") + GetParam();
  if (!std::ifstream(path).good()) GTEST_SKIP() << path << " is absent; ./dev models fetches it";
  const auto begin = std::chrono::steady_clock::now();
  const Source opened = open_model_source(path);
  const std::chrono::duration<double, std::milli> spent = std::chrono::steady_clock::now() - begin;
  ASSERT_TRUE(opened.ok()) << opened.status().message();
  ModelSource& source = **opened;
  const std::string architecture(source.get_string("general.architecture").value());
  const bool gemma = architecture == "gemma3";
  EXPECT_TRUE(gemma || architecture == "llama");
  EXPECT_EQ(source.tensors().size(), gemma ? 236u : 272u);
  EXPECT_EQ(source.find("tokenizer.ggml.tokens")->strings.size(), gemma ? 262144u : 49152u);
  EXPECT_EQ(source.get_uint(architecture + ".block_count").value(), gemma ? 18u : 30u);
  uint64_t bytes = 0;
  for (const TensorInfo& tensor : source.tensors()) bytes += tensor.size_bytes;
  EXPECT_LT(bytes, source.file_bytes());
  EXPECT_GT(bytes, source.file_bytes() / 2);
  const TensorInfo* norm = source.find_tensor("output_norm.weight");
  ASSERT_NE(norm, nullptr);
  ASSERT_EQ(norm->type, static_cast<uint32_t>(DType::kF32));
  std::vector<float> values(static_cast<size_t>(norm->element_count()));
  ASSERT_TRUE(source.read_tensor(*norm, 0, values.data(), norm->size_bytes).ok());
  for (float value : values) EXPECT_LT(value < 0 ? -value : value, 1000.0f);
  RecordProperty("milliseconds", static_cast<int>(spent.count()));
}

INSTANTIATE_TEST_SUITE_P(Files, GgufModel,
                         testing::Values("smollm2-135m-instruct-q4_1.gguf", "gemma-3-270m-q4_k_m.gguf"),
                         [](const auto& instance) { return std::string(instance.param).substr(0, 5); });

}  // namespace
}  // namespace fastserve
