// Files that appear complete or not at all: one writer of a name at a time, and nothing of one that is gone.
#include "base/output_file.h"

#include <gtest/gtest.h>

#include "support/temporary_folder.h"

namespace fastserve {
namespace {

using test::bytes_of_file;

class OutputFileTest : public testing::Test {
 protected:
  Result<std::unique_ptr<os::OutputFile>> create(const std::string& name) {
    return os::create_output_file(folder_.path(), name);
  }
  void put(const std::string& name, const std::string& text) const { std::ofstream(folder_.path_of(name)) << text; }
  std::string text_of(const std::string& name) const {
    const std::vector<uint8_t> bytes = bytes_of_file(folder_.path_of(name));
    return {bytes.begin(), bytes.end()};
  }
  using Names = std::set<std::string>;
  test::TemporaryFolder folder_;
};

TEST_F(OutputFileTest, IsThereOnceCommitted) {
  put("a", "older");
  Result<std::unique_ptr<os::OutputFile>> file = create("a");
  ASSERT_TRUE(file.ok()) << file.status().message();
  EXPECT_TRUE((*file)->write("new", 3).ok());
  EXPECT_TRUE((*file)->write("er", 2).ok());
  EXPECT_EQ(folder_.names(), (Names{"a", "a.part"}));
  EXPECT_EQ(text_of("a"), "older");
  EXPECT_TRUE((*file)->commit().ok());
  EXPECT_EQ(folder_.names(), Names{"a"});
  EXPECT_EQ(text_of("a"), "newer");
  // Another may be written before the first object is gone.
  Result<std::unique_ptr<os::OutputFile>> next = create("a");
  ASSERT_TRUE(next.ok()) << next.status().message();
  *file = nullptr;
  EXPECT_EQ(folder_.names(), (Names{"a", "a.part"}));
  EXPECT_TRUE((*next)->commit().ok());
  EXPECT_EQ(text_of("a"), "");
}

TEST_F(OutputFileTest, IsGoneWithoutACommit) {
  put("a", "older");
  {
    Result<std::unique_ptr<os::OutputFile>> file = create("a");
    ASSERT_TRUE(file.ok());
    EXPECT_TRUE((*file)->write("new", 3).ok());
  }
  EXPECT_EQ(folder_.names(), Names{"a"});
  EXPECT_EQ(text_of("a"), "older");
}

TEST_F(OutputFileTest, HasOneWriterAtATime) {
  Result<std::unique_ptr<os::OutputFile>> first = create("a");
  ASSERT_TRUE(first.ok());
  EXPECT_TRUE((*first)->write("first", 5).ok());
  for (int i = 0; i < 2; ++i) {
    const Result<std::unique_ptr<os::OutputFile>> second = create("a");
    EXPECT_EQ(second.status().code(), StatusCode::kWrongState);
    EXPECT_NE(std::string(second.status().message()).find("/a\""), std::string::npos) << second.status().message();
  }
  const Result<std::unique_ptr<os::OutputFile>> other = create("b");
  EXPECT_TRUE(other.ok());
  EXPECT_TRUE((*first)->commit().ok());
  EXPECT_EQ(text_of("a"), "first");
  EXPECT_TRUE(create("a").ok());
}

TEST_F(OutputFileTest, ReplacesWhatIsNobodys) {
  put("elsewhere", "untouched");
  auto expect_replaced = [&](const char* name) {
    Result<std::unique_ptr<os::OutputFile>> file = create(name);
    ASSERT_TRUE(file.ok()) << file.status().message();
    EXPECT_TRUE((*file)->write("x", 1).ok());
    EXPECT_TRUE((*file)->commit().ok());
    EXPECT_EQ(text_of(name), "x");
  };
  put("a.part", "a long rest of an earlier one");
  expect_replaced("a");
  std::filesystem::create_symlink("elsewhere", folder_.path_of("link.part"));
  expect_replaced("link");
  std::filesystem::create_hard_link(folder_.path_of("elsewhere"), folder_.path_of("hard.part"));
  expect_replaced("hard");
  EXPECT_EQ(text_of("elsewhere"), "untouched");
  std::filesystem::create_directory(folder_.path_of("folder.part"));
  EXPECT_EQ(create("folder").status().code(), StatusCode::kIo);
  EXPECT_EQ(folder_.names(), (Names{"a", "elsewhere", "folder.part", "hard", "link"}));
}

}  // namespace
}  // namespace fastserve
