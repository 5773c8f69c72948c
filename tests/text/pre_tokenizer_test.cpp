// Pieces of the hand-written pre-tokenisers, by hand; tokenizer_golden_test.cpp compares them over the whole corpus.
#include "text/pre_tokenizer.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace fastserve {
namespace {

std::vector<std::string> pieces(std::string_view name, const std::string& text) {
  auto created = create_pre_tokenizer(name);
  EXPECT_TRUE(created.ok()) << created.status().message();
  PieceList list{AlignedText::from(text, 0, false), {{0, text.size()}}};
  EXPECT_TRUE(created->splitter->apply(list).ok());
  std::vector<std::string> out;
  size_t start = 0;
  for (const TextRange& piece : list.pieces) {
    EXPECT_EQ(piece.start, start);
    out.push_back(text.substr(piece.start, piece.end - piece.start));
    start = piece.end;
  }
  EXPECT_EQ(start, text.size());
  return out;
}

using Pieces = std::vector<std::string>;

TEST(PreTokenizer, Gpt2) {
  EXPECT_EQ(pieces("gpt-2", ""), Pieces());
  EXPECT_EQ(pieces("gpt-2", "It's  fine, 1234!"), (Pieces{"It", "'s", " ", " fine", ",", " 1234", "!"}));
  EXPECT_EQ(pieces("gpt-2", "IT'S"), (Pieces{"IT", "'", "S"}));
  EXPECT_EQ(pieces("default", "a \n\n b  "), (Pieces{"a", " \n\n", " b", "  "}));
  EXPECT_EQ(pieces("gpt-2", "\tx"), (Pieces{"\t", "x"}));
}

TEST(PreTokenizer, SmollmTakesDigitsAloneAndLooksNoFurther) {
  EXPECT_EQ(pieces("smollm", "a  12"), (Pieces{"a", "  ", "1", "2"}));
  EXPECT_EQ(pieces("smollm", "x'1s"), (Pieces{"x", "'", "1", "s"}));
  EXPECT_EQ(pieces("smollm", "\xC2\xBD \xE0\xA5\xA7"), (Pieces{"\xC2\xBD", " ", "\xE0\xA5\xA7"}));
}

TEST(PreTokenizer, Llama3) {
  EXPECT_EQ(pieces("llama-bpe", "I'M 12345\r\n\n  x"), (Pieces{"I", "'M", " ", "123", "45", "\r\n\n", " ", " x"}));
  EXPECT_EQ(pieces("llama3", "(abc) ...\n\n\n"), (Pieces{"(abc", ")", " ...\n\n\n"}));
  EXPECT_EQ(pieces("llama-v3", "\n\tfoo  \n "), (Pieces{"\n", "\tfoo", "  \n", " "}));
}

TEST(PreTokenizer, Qwen2) {
  EXPECT_EQ(pieces("qwen2", "a123"), (Pieces{"a", "1", "2", "3"}));
  EXPECT_EQ(pieces("qwen2", "it'\xC5\xBF"), (Pieces{"it", "'\xC5\xBF"}));
}

TEST(PreTokenizer, RefusesUnknownByName) {
  auto created = create_pre_tokenizer("nonsense");
  ASSERT_FALSE(created.ok());
  EXPECT_EQ(created.status().code(), StatusCode::kUnsupported);
  EXPECT_NE(std::string(created.status().message()).find("nonsense"), std::string::npos);
}

}  // namespace
}  // namespace fastserve
