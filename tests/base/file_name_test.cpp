// Names of files that may be written, and those that may not.
#include "base/file_name.h"

#include <gtest/gtest.h>

namespace fastserve {
namespace {

TEST(FileName, PlainOnesAreTaken) {
  for (const char* name : {"a",
                           "slot 1.save",
                           "..a",
                           ".hidden",
                           "a..b",
                           "console",
                           "COM",
                           "COMET",
                           "COM10",
                           "nul_",
                           "aux-1.txt",
                           "lpt",
                           "\xC3\xBC\xE6\x97\xA5",
                           "-",
                           "~",
                           "$x",
                           "part",
                           "a.part.b",
                           "a.parts",
                           "%TEMP%"}) {
    EXPECT_TRUE(check_file_name(name).ok()) << check_file_name(name).message();
  }
  EXPECT_TRUE(check_file_name(std::string(kFileNameBytesMax, 'x')).ok());
}

TEST(FileName, OthersAreRefusedWithTheReason) {
  const std::pair<std::string, const char*> cases[] = {{"", "empty"},
                                                       {std::string(kFileNameBytesMax + 1, 'x'), "longer"},
                                                       {".", "is a folder"},
                                                       {"..", "is a folder"},
                                                       {"../a", "names a folder"},
                                                       {"a/b", "names a folder"},
                                                       {"/etc/passwd", "names a folder"},
                                                       {"a\\b", "names a folder"},
                                                       {"\\\\host\\share", "names a folder"},
                                                       {"a/", "names a folder"},
                                                       {"C:", "holds one of"},
                                                       {"C:a", "holds one of"},
                                                       {"a:stream", "holds one of"},
                                                       {"a*", "holds one of"},
                                                       {"a?", "holds one of"},
                                                       {"<a>", "holds one of"},
                                                       {"a|b", "holds one of"},
                                                       {"\"a\"", "holds one of"},
                                                       {"a\n", "control"},
                                                       {std::string("a\0b", 3), "control"},
                                                       {"\x7F", "control"},
                                                       {"a.", "ends in"},
                                                       {"a ", "ends in"},
                                                       {"...", "ends in"},
                                                       {"\xFF", "UTF-8"},
                                                       {"a\xC3", "UTF-8"},
                                                       {"nul", "device"},
                                                       {"NUL.txt", "device"},
                                                       {"Con .save", "device"},
                                                       {"prn", "device"},
                                                       {"aux.a.b", "device"},
                                                       {"com1", "device"},
                                                       {"LPT9.x", "device"},
                                                       {"COM\xC2\xB9", "device"},
                                                       {"conin$", "device"},
                                                       {"a.part", ".part"},
                                                       {"a.PaRt", ".part"},
                                                       {".part", ".part"}};
  for (const auto& [name, reason] : cases) {
    const Status status = check_file_name(name);
    EXPECT_EQ(status.code(), StatusCode::kInvalidArgument) << name;
    EXPECT_NE(std::string(status.message()).find(reason), std::string::npos) << status.message();
  }
}

TEST(FileName, PartialNamesAreNobodysOwn) {
  EXPECT_EQ(partial_file_name("a"), "a.part");
  EXPECT_LE(partial_file_name(std::string(kFileNameBytesMax, 'x')).size(), 255u);
  EXPECT_FALSE(check_file_name(partial_file_name("a")).ok());
}

}  // namespace
}  // namespace fastserve
