// JSON: what is read, what is refused with its place, and that written text reads back.
#include "base/json.h"

#include <gtest/gtest.h>

#include "base/json_writer.h"

namespace fastserve {
namespace {

TEST(Json, ReadsEveryKind) {
  const auto parsed = json::parse(
      R"({"i": -5, "u": 18446744073709551615, "d": 1.5e3, "whole": 4096.0, "b": true, "n": null,
          "s": "a\"\u00fc\ud83d\ude80", "a": [1, [2], {}], "o": {"x": {"y": "deep"}}, "i": 7})",
      "test");
  ASSERT_TRUE(parsed.ok()) << parsed.status().message();
  const json::Value root = parsed->root();
  EXPECT_TRUE(root.is_object());
  EXPECT_EQ(root["i"].integer(), 7);  // the last of two
  EXPECT_EQ(root["u"].integer(), std::nullopt);
  EXPECT_EQ(root["u"].number(), 18446744073709551615.0);
  EXPECT_EQ(root["d"].number(), 1500.0);
  EXPECT_EQ(root["whole"].integer(), 4096);
  EXPECT_EQ(root["b"].boolean(), true);
  EXPECT_EQ(root["n"].kind(), json::Kind::kNull);
  EXPECT_TRUE(root["n"].present());
  EXPECT_EQ(root["s"].string(), "a\"\xc3\xbc\xf0\x9f\x9a\x80");
  EXPECT_EQ(root["a"].size(), 3u);
  EXPECT_EQ(root["a"].at(1).at(0).integer(), 2);
  EXPECT_EQ(root["o"]["x"]["y"].string(), "deep");
  EXPECT_EQ(root["o"].key(0), "x");
}

TEST(Json, WhatIsNotThereIsAbsent) {
  const auto parsed = json::parse(R"({"a": [1], "s": "x", "d": 1.5, "big": 1e300})", "test");
  ASSERT_TRUE(parsed.ok());
  const json::Value root = parsed->root();
  EXPECT_FALSE(root["none"].present());
  EXPECT_FALSE(root["none"]["deeper"].at(3)["x"].present());
  EXPECT_FALSE(root["a"].at(1).present());
  EXPECT_FALSE(root["a"]["key"].present());
  EXPECT_EQ(root["s"].integer(), std::nullopt);
  EXPECT_EQ(root["s"].boolean(), std::nullopt);
  EXPECT_EQ(root["a"].string(), std::nullopt);
  EXPECT_EQ(root["d"].integer(), std::nullopt);
  EXPECT_EQ(root["big"].integer(), std::nullopt);
  EXPECT_EQ(root["s"].size(), 0u);
  EXPECT_EQ(root.key(99), "");
  EXPECT_FALSE(json::Value().present());
  EXPECT_FALSE(json::Document().root().present());
}

TEST(Json, RefusesWithNameLineAndColumn) {
  const auto message = [](std::string_view text) {
    const auto parsed = json::parse(text, "config.json");
    EXPECT_FALSE(parsed.ok()) << text;
    EXPECT_EQ(parsed.status().code(), StatusCode::kCorrupt);
    return std::string(parsed.status().message());
  };
  EXPECT_EQ(message("{\n  \"a\": 1,\n  oops\n}").rfind("config.json: line 3, column ", 0), 0u);
  for (std::string_view text : {"", "{", "[1,]", "{\"a\" 1}", "nul", "\"\x01\"", "\"\xff\"", "1 2", "{} x", "'a'",
                                "\"\\ud800\"", "01", "NaN", "// comment\n1"}) {
    EXPECT_NE(message(text).find("config.json: line "), std::string::npos) << text;
  }
}

TEST(Json, DepthIsBounded) {
  const auto nested = [](size_t depth) { return std::string(depth, '[') + std::string(depth, ']'); };
  EXPECT_TRUE(json::parse(nested(64), "x").ok());
  EXPECT_FALSE(json::parse(nested(65), "x").ok());
  EXPECT_FALSE(json::parse(nested(1000000), "x").ok());
  EXPECT_FALSE(json::parse(nested(5), "x", 4).ok());
}

TEST(Json, ADocumentMoves) {
  json::Document document;
  {
    auto parsed = json::parse(R"(["a long string that is not stored in place, surely not"])", "x");
    ASSERT_TRUE(parsed.ok());
    document = parsed.take();
  }
  EXPECT_EQ(document.root().at(0).string(), "a long string that is not stored in place, surely not");
}

TEST(Json, QuotedTextReadsBack) {
  std::string all;
  for (int c = 0; c < 128; ++c) all.push_back(static_cast<char>(c));
  all += "\xc3\xbc\xe6\x97\xa5\xf0\x9f\x9a\x80";
  const std::string quoted = JsonWriter().value(all).take();
  const auto parsed = json::parse(quoted, "x");
  ASSERT_TRUE(parsed.ok()) << parsed.status().message();
  EXPECT_EQ(parsed->root().string(), all);
}

TEST(Json, QuotingReplacesInvalidBytes) {
  for (std::string_view bad : {"\xff", "\xc0\x80", "\xe0\x80\x80", "\xed\xa0\x80", "\xf4\x90\x80\x80", "\xc3",
                               "\xe6\x97", "\x80", "\xf8\x88\x80\x80\x80"}) {
    const std::string quoted = JsonWriter().value(bad).take();
    const auto parsed = json::parse(quoted, "x");
    ASSERT_TRUE(parsed.ok()) << quoted;
    EXPECT_EQ(parsed->root().string()->substr(0, 3), "\xef\xbf\xbd");
  }
}

}  // namespace
}  // namespace fastserve
