// Parity with Hugging Face `tokenizers` over the corpus: pieces of each pre-tokeniser, ids of small vocabularies.
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "corpus_golden.h"
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

void expect_ids_of_tiny(const std::string& pre, const std::string& name) {
  TokenizerData data;
  data.model = "gpt2";
  data.pre = pre;
  bool merges = false;
  for (const std::string& row : read_lines(golden_path(format(name, "_vocabulary.txt")))) {
    if (row.empty()) {
      merges = true;
    } else {
      (merges ? data.merges : data.tokens).push_back(row);
    }
  }
  auto tokenizer = create_tokenizer(std::move(data));
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
