// Patterns: the dialect of tokenizer files, bad patterns, patterns that would take for ever.
#include "text/regex.h"

#include <gtest/gtest.h>

namespace fastserve {
namespace {

std::vector<std::string> found(std::string_view pattern, std::string_view text) {
  auto regex = Regex::compile(pattern);
  EXPECT_TRUE(regex.ok()) << regex.status().message();
  std::vector<TextRange> matches;
  EXPECT_TRUE(regex->find_all(text, matches).ok());
  std::vector<std::string> out;
  for (const TextRange& match : matches) out.emplace_back(text.substr(match.start, match.end - match.start));
  return out;
}

using Strings = std::vector<std::string>;

TEST(Regex, WhiteSpaceIsUnicodesOwn) {
  EXPECT_EQ(found(R"(\s+)",
                  "a\xC2\xA0\xE3\x80\x80"
                  "b \xE1\xA0\x8E"
                  "c"),
            (Strings{"\xC2\xA0\xE3\x80\x80", " "}));  // U+180E is none
  EXPECT_EQ(found(R"([^\s]+)", "ab \xE1\xA0\x8E"), (Strings{"ab", "\xE1\xA0\x8E"}));
  EXPECT_EQ(found(R"(\S+)", "ab\tc"), (Strings{"ab", "c"}));
}

TEST(Regex, ClassesWithBrackets) {
  EXPECT_EQ(found(R"([\[\]]+)", "a[]b"), Strings{"[]"});
  EXPECT_EQ(found("[]a]+", "]ab"), Strings{"]a"});
  EXPECT_EQ(found("[[:]+", "[:a"), Strings{"[:"});
}

TEST(Regex, EmptyMatchesAdvance) { EXPECT_EQ(found("x*", "aéb").size(), 3u); }

TEST(Regex, RefusesBadPatterns) {
  for (const std::string_view bad : {"(", "[a", "a{2,1}", "\\p{Nonsense}", "(?<n", "*a"}) {
    auto regex = Regex::compile(bad);
    ASSERT_FALSE(regex.ok()) << bad;
    EXPECT_EQ(regex.status().code(), StatusCode::kUnsupported);
  }
  EXPECT_FALSE(Regex::compile("\xFF").ok());
  EXPECT_FALSE(Regex::compile(std::string(1 << 20, 'a')).ok());
}

TEST(Regex, EndlessBacktrackingIsAStatus) {
  auto regex = Regex::compile("(a+)+$");
  ASSERT_TRUE(regex.ok());
  std::vector<TextRange> matches;
  const Status status = regex->find_all(std::string(40, 'a') + "b", matches);
  EXPECT_EQ(status.code(), StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace fastserve
