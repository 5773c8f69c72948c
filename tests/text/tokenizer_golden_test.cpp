// Parity with Hugging Face `tokenizers` over the corpus: pieces of each pre-tokeniser, ids of small vocabularies.
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "corpus_golden.h"
#include "support/tokenizer_data.h"
#include "text/pre_tokenizer.h"
#include "text/tokenizer.h"

namespace fastserve {
namespace {

TEST(TokenizerGolden, CorpusIsAsLargeAsItSays) { EXPECT_GE(corpus().size(), 2000u); }

void expect_splits(std::string_view pre, const std::string& golden) {
  auto created = create_pre_tokenizer(pre);
  ASSERT_TRUE(created.ok());
  expect_golden(golden, corpus(), [&](const std::string& line) {
    PieceList list{AlignedText::from(line, 0, false), {{0, line.size()}}};
    EXPECT_TRUE(created->splitter->apply(list).ok());
    std::vector<size_t> ends;
    for (const TextRange& piece : list.pieces) ends.push_back(piece.end);
    return digest(ends);
  });
}

TEST(TokenizerGolden, SplitsOfGpt2) { expect_splits("gpt-2", "splits_gpt2.txt"); }
TEST(TokenizerGolden, SplitsOfSmollm) { expect_splits("smollm", "splits_smollm.txt"); }
TEST(TokenizerGolden, SplitsOfLlama3) { expect_splits("llama-bpe", "splits_llama3.txt"); }
TEST(TokenizerGolden, SplitsOfQwen2) { expect_splits("qwen2", "splits_qwen2.txt"); }
TEST(TokenizerGolden, SplitsOfPatterns) {
  expect_splits("gpt-4o", "splits_gpt4o.txt");
  expect_splits("tekken", "splits_tekken.txt");
  expect_splits("qwen35", "splits_qwen35.txt");
  expect_splits("kimi-k2", "splits_kimi.txt");
  expect_splits("deepseek-v3", "splits_deepseek_v3.txt");
  expect_splits("falcon", "splits_falcon.txt");
}

TEST(TokenizerGolden, EveryKnownNameCoversItsText) {
  const std::vector<std::string> lines = corpus();
  for (const std::string_view name : pre_tokenizer_names()) {
    auto created = create_pre_tokenizer(name);
    ASSERT_TRUE(created.ok()) << name << ": " << created.status().message();
    for (size_t i = 0; i < lines.size(); i += 7) {
      PieceList list{AlignedText::from(lines[i], 0, false), {{0, lines[i].size()}}};
      ASSERT_TRUE(created->splitter->apply(list).ok()) << name;
      size_t end = 0;
      for (const TextRange& piece : list.pieces) {
        ASSERT_EQ(piece.start, end) << name << " line " << i + 1;
        end = piece.end;
      }
      ASSERT_EQ(end, lines[i].size()) << name << " line " << i + 1;
    }
  }
}

void expect_ids_of_tiny(const std::string& pre, const std::string& name) {
  test::TokenizerTables data;
  data.data.model = "gpt2";
  data.data.pre = pre;
  bool merges = false;
  for (const std::string& row : read_lines(golden_path(format(name, "_vocabulary.txt")))) {
    if (row.empty()) {
      merges = true;
    } else {
      (merges ? data.merges : data.tokens).push_back(row);
    }
  }
  auto tokenizer = test::create_tokenizer(data);
  ASSERT_TRUE(tokenizer.ok()) << tokenizer.status().message();
  expect_golden(format(name, ".txt"), corpus(), [&](const std::string& line) {
    std::vector<int32_t> ids;
    EXPECT_TRUE((*tokenizer)->encode(line, {}, ids).ok());
    return digest(ids);
  });
}

TEST(TokenizerGolden, IdsOfTinyLlama3) { expect_ids_of_tiny("llama-bpe", "tiny_llama3"); }
TEST(TokenizerGolden, IdsOfTinyQwen2) { expect_ids_of_tiny("qwen2", "tiny_qwen2"); }

}  // namespace
}  // namespace fastserve
