// WordPiece and Unigram tokenizers in GGUF metadata against their makers' libraries, over the corpus; the goldens are
// made by golden/make_gguf_tokenizers.py.
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "corpus_golden.h"
#include "engine/tokenizer_loading.h"
#include "formats/model_source.h"

namespace fastserve {
namespace {

class GgufTokenizer : public testing::TestWithParam<const char*> {};

TEST_P(GgufTokenizer, IdsOverCorpus) {
  const std::string name = std::string("../gguf_tokenizers/") + GetParam();
  auto source = open_model_source(golden_path(name + ".gguf.bin"));
  ASSERT_TRUE(source.ok()) << source.status().message();
  auto tokenizer = load_tokenizer(**source);
  ASSERT_TRUE(tokenizer.ok()) << tokenizer.status().message();
  const bool adds = std::string(GetParam()) == "wordpiece";
  expect_golden(name + ".txt", corpus(), [&](const std::string& line) {
    std::vector<int32_t> ids;
    std::vector<TextRange> ranges;
    EXPECT_TRUE((*tokenizer)->encode_ranges(line, {.add_bos_eos = adds}, ids, &ranges).ok());
    size_t start = 0;
    for (const TextRange& range : ranges) {
      EXPECT_GE(range.start, start) << line;
      EXPECT_GE(range.end, range.start) << line;
      EXPECT_LE(range.end, line.size()) << line;
      start = range.start;
    }
    const std::string text = digest(ids);
    return text.substr(text.size() - 6);
  });
}

INSTANTIATE_TEST_SUITE_P(Kinds, GgufTokenizer, testing::Values("unigram", "unigram_bytes", "wordpiece"),
                         [](const auto& instance) { return std::string(instance.param); });

}  // namespace
}  // namespace fastserve
