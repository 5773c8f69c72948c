// Split GGUF: any part opens the whole; parts that are missing, swapped or of another model are refused by name.
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "base/clock.h"
#include "base/format.h"
#include "formats/gguf_writer.h"
#include "formats/memory_file.h"
#include "formats/model_source.h"

namespace fastserve {
namespace {

class GgufSplit : public testing::Test {
 protected:
  void SetUp() override {
    const auto* test = testing::UnitTest::GetInstance()->current_test_info();
    folder_ =
        std::filesystem::temp_directory_path() / format("fastserve_split_", system_clock().now_ns(), test->name());
    std::filesystem::create_directories(folder_);
    for (uint32_t part = 0; part < 3; ++part) write(part, make_part(part, 3, part));
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  // Part `number` of `count` with tensors t<2*index> and t<2*index+1>, each 32 bytes of the value of its number.
  static std::vector<uint8_t> make_part(uint32_t number, uint32_t count, uint32_t index, int32_t tensor_count = 6) {
    GgufWriter w;
    w.preamble(3, 2, number == 0 ? 4 : 2);
    w.key("split.no", kGgufUint16).number(number, 2).key("split.count", kGgufUint16).number(count, 2);
    if (number == 0) {
      w.key("split.tensors.count", kGgufInt32).u32(static_cast<uint32_t>(tensor_count));
      w.key("general.architecture", kGgufString).text("llama");
    }
    for (uint32_t i = 0; i < 2; ++i) w.tensor(format("t", 2 * index + i), {8}, 0, i * 32);
    w.pad(32);
    for (uint32_t i = 0; i < 2; ++i) w.bytes.insert(w.bytes.end(), 32, static_cast<uint8_t>(2 * index + i));
    return w.bytes;
  }
  std::string path_of(uint32_t part) const { return (folder_ / format("m-0000", part + 1, "-of-00003.gguf")).string(); }
  void write(uint32_t part, const std::vector<uint8_t>& bytes) const {
    std::ofstream(path_of(part), std::ios::binary)
        .write(reinterpret_cast<const char*>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
  }
  void expect_refused(StatusCode code, std::string_view word) const {
    const auto source = open_model_source(path_of(0));
    ASSERT_FALSE(source.ok());
    EXPECT_EQ(source.status().code(), code) << source.status().message();
    EXPECT_NE(std::string_view(source.status().message()).find(word), std::string_view::npos)
        << source.status().message();
  }

  std::filesystem::path folder_;
};

TEST_F(GgufSplit, AnyPartOpensTheWhole) {
  for (uint32_t part = 0; part < 3; ++part) {
    const auto opened = open_model_source(path_of(part));
    ASSERT_TRUE(opened.ok()) << opened.status().message();
    ModelSource& source = **opened;
    EXPECT_EQ(source.get_string("general.architecture").value(), "llama");
    ASSERT_EQ(source.tensors().size(), 6u);
    for (uint32_t i = 0; i < 6; ++i) {
      const TensorInfo* tensor = source.find_tensor(format("t", i));
      ASSERT_NE(tensor, nullptr);
      EXPECT_EQ(tensor->part, i / 2);
      uint8_t bytes[32] = {};
      ASSERT_TRUE(source.read_tensor(*tensor, 0, bytes, 32).ok());
      for (uint8_t byte : bytes) EXPECT_EQ(byte, i);
    }
    uint64_t bytes = 0;
    for (uint32_t i = 0; i < 3; ++i) bytes += std::filesystem::file_size(path_of(i));
    EXPECT_EQ(source.file_bytes(), bytes);
  }
}

TEST_F(GgufSplit, PartsThatDoNotFitAreRefused) {
  write(1, make_part(2, 3, 1));
  expect_refused(StatusCode::kCorrupt, "is not part 2 of 3");
  write(1, make_part(1, 4, 1));
  expect_refused(StatusCode::kCorrupt, "is not part 2 of 3");
  write(1, make_part(1, 3, 0));  // holds the tensors of the first part
  expect_refused(StatusCode::kCorrupt, "occurs twice");
  write(1, make_part(1, 3, 1));
  write(0, make_part(0, 3, 0, 7));
  expect_refused(StatusCode::kCorrupt, "6 tensors instead of 7");
  std::filesystem::remove(path_of(1));
  expect_refused(StatusCode::kNotFound, "m-00002-of-00003.gguf");
}

TEST_F(GgufSplit, ARenamedOrLonePartSaysWhatItIs) {
  const std::string renamed = (folder_ / "renamed.gguf").string();
  std::filesystem::copy(path_of(1), renamed);
  const auto source = open_model_source(renamed);
  ASSERT_FALSE(source.ok());
  EXPECT_NE(std::string_view(source.status().message()).find("-00001-of-00003.gguf"), std::string_view::npos);
  const auto lone = open_gguf(std::make_unique<MemoryFile>(make_part(0, 3, 0)));
  ASSERT_FALSE(lone.ok());
  EXPECT_EQ(lone.status().code(), StatusCode::kUnsupported);
  const auto many = open_gguf(std::make_unique<MemoryFile>(make_part(0, 60000, 0)));
  ASSERT_FALSE(many.ok());
}

}  // namespace
}  // namespace fastserve
