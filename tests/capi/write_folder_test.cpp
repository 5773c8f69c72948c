// The file policy: an engine writes into one folder that its host names, whole files or none, and nowhere else.
#include <gtest/gtest.h>
#include <sys/resource.h>

#include <csignal>

#include "support/session.h"
#include "support/temporary_folder.h"
#include "support/tiny_model.h"

namespace fastserve::test {
namespace {

namespace fs = std::filesystem;

class WriteFolder : public testing::Test {
 protected:
  static const std::string& model() {
    static const TemporaryFile file{TinyShape{}};
    return file.path();
  }
  EditEngine edit(const std::string& path) const {
    return [path](fsv_engine_config& config) {
      config.write_folder = path.c_str();
      config.write_folder_size = path.size();
    };
  }
  static std::string text_of(const std::string& path) {
    const std::vector<uint8_t> bytes = bytes_of_file(path);
    return {bytes.begin(), bytes.end()};
  }

  TemporaryFolder folder_;
};

TEST_F(WriteFolder, WithoutOneNothingIsWritten) {
  for (const char* path : {static_cast<const char*>(nullptr), ""}) {
    Host host(model(), [&](fsv_engine_config& config) { config.write_folder = path; });
    TestSession session(host);
    EXPECT_EQ(session.save("slot"), FSV_ERROR_WRONG_STATE);
    EXPECT_NE(std::string(session.error().message).find("write_folder"), std::string::npos);
  }
  EXPECT_FALSE(fs::exists("slot"));
}

TEST_F(WriteFolder, NamesThatLeadElsewhereAreRefused) {
  fs::create_directory(folder_.path_of("inner"));
  Host host(model(), edit(folder_.path_of("inner")));
  TestSession session(host);
  const std::string names[] = {"",         ".",    "..",      "../out",
                               "/etc/out", "a/b",  "..\\out", "a\\b",
                               "C:\\out",  "C:o",  "a:b",     std::string("a\0b", 3),
                               "nul.txt",  "COM1", "a.",      "a ",
                               "a\n",      "\xFF", "*",       std::string(201, 'x')};
  for (const std::string& name : names) {
    EXPECT_EQ(session.save(name), FSV_ERROR_INVALID_ARGUMENT) << name;
    EXPECT_NE(std::string(session.error().message).find("file name"), std::string::npos) << session.error().message;
  }
  EXPECT_EQ(fsv_session_save(session.handle(), nullptr, 5, 0, nullptr), FSV_ERROR_INVALID_ARGUMENT);
  EXPECT_EQ(folder_.names(), std::set<std::string>{"inner"});
  EXPECT_TRUE(fs::is_empty(folder_.path_of("inner")));
  EXPECT_EQ(session.save(std::string(200, 'x')), FSV_OK) << session.error().message;
}

TEST_F(WriteFolder, ConfigurationsThatNameNoPathAreRefused) {
  for (const std::string& path : {std::string("a\0b", 3), std::string("\xFF")}) {
    const EditEngine naming = edit(path);
    const fsv_engine_config config = engine_config(naming);
    fsv_engine* engine = nullptr;
    fsv_error error{};
    EXPECT_EQ(fsv_engine_create(&config, &engine, &error), FSV_ERROR_INVALID_ARGUMENT);
    EXPECT_NE(std::string(error.message).find("write_folder"), std::string::npos) << error.message;
  }
}

TEST_F(WriteFolder, FoldersThatAreNoneAreAStatus) {
  std::ofstream(folder_.path_of("file")) << "x";
  for (const char* name : {"missing", "file"}) {
    Host host(model(), edit(folder_.path_of(name)));
    TestSession session(host);
    EXPECT_EQ(session.save("slot"), FSV_ERROR_NOT_FOUND) << name;
    EXPECT_NE(std::string(session.error().message).find(folder_.path_of(name)), std::string::npos);
  }
  EXPECT_EQ(text_of(folder_.path_of("file")), "x");
}

TEST_F(WriteFolder, LinksAreReplacedNotFollowed) {
  fs::create_directory(folder_.path_of("inner"));
  std::ofstream(folder_.path_of("outside")) << "untouched";
  fs::create_symlink("../outside", folder_.path_of("inner/slot"));
  fs::create_symlink("../new", folder_.path_of("inner/dangling"));
  fs::create_hard_link(folder_.path_of("outside"), folder_.path_of("inner/hard"));
  Host host(model(), edit(folder_.path_of("inner")));
  TestSession session(host);
  for (const char* name : {"slot", "dangling", "hard"}) {
    EXPECT_EQ(session.save(name), FSV_OK) << session.error().message;
    EXPECT_TRUE(fs::is_regular_file(fs::symlink_status(folder_.path_of(std::string("inner/") + name))));
  }
  EXPECT_EQ(text_of(folder_.path_of("outside")), "untouched");
  EXPECT_EQ(folder_.names(), (std::set<std::string>{"inner", "outside"}));
  fs::create_directory(folder_.path_of("inner/folder"));
  EXPECT_EQ(session.save("folder"), FSV_ERROR_IO);
  EXPECT_TRUE(fs::is_empty(folder_.path_of("inner/folder")));
}

// Files may grow to a limit only: what the system says then is what a full disk says, at any byte.
TEST_F(WriteFolder, AFullDiskCostsTheSaveAlone) {
  Host host(model(), edit(folder_.path()));
  TestSession session(host);
  (void)session.turn(random_prompt(1, 60), 5);
  const std::vector<int32_t> text = session.tokens();
  const std::vector<uint8_t> whole = session.exported();
  std::ofstream(folder_.path_of("slot")) << "older";
  rlimit before{};
  ASSERT_EQ(getrlimit(RLIMIT_FSIZE, &before), 0);
  const auto handler = std::signal(SIGXFSZ, SIG_IGN);
  for (const size_t limit : {size_t{0}, size_t{1}, size_t{100}, whole.size() / 2, whole.size() - 1}) {
    rlimit small = before;
    small.rlim_cur = limit;
    ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &small), 0);
    const fsv_status status = session.save("slot"), fresh = session.save("fresh");
    ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &before), 0);
    EXPECT_EQ(status, FSV_ERROR_IO) << limit;
    EXPECT_EQ(fresh, FSV_ERROR_IO) << limit;
    EXPECT_NE(std::string(session.error().message).find("fresh"), std::string::npos) << session.error().message;
    EXPECT_EQ(text_of(folder_.path_of("slot")), "older");
    EXPECT_EQ(folder_.names(), std::set<std::string>{"slot"});
    EXPECT_EQ(session.info().cached_token_count, 64u);
  }
  (void)std::signal(SIGXFSZ, handler);
  EXPECT_EQ(session.save("slot"), FSV_OK) << session.error().message;
  EXPECT_EQ(bytes_of_file(folder_.path_of("slot")), whole);
  EXPECT_EQ(session.tokens(), text);
}

}  // namespace
}  // namespace fastserve::test
