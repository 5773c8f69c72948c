// tokenizer.json files of many kinds against Hugging Face `tokenizers`: ids, offsets, decoding; real ones in the suites
// that end in Model. The goldens are made by golden/make_hf_tokenizers.py.
#include <gtest/gtest.h>

#include <cstdio>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "corpus_golden.h"
#include "text/hf_tokenizer.h"
#include "text/unicode.h"

namespace fastserve {
namespace {

std::string hf_golden(const std::string& name) { return "../hf_tokenizers/" + name; }

std::string read_file(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

std::unique_ptr<Tokenizer> load(const std::string& path) {
  const std::string text = read_file(path);
  EXPECT_FALSE(text.empty()) << path;
  auto created = create_tokenizer_from_json(text, {});
  EXPECT_TRUE(created.ok()) << created.status().message();
  return created.ok() ? created.take() : nullptr;
}

std::string hex(uint32_t value, uint32_t digits) {
  char text[16];
  std::snprintf(text, sizeof(text), "%0*x", static_cast<int>(digits), value & ((1u << (4 * digits)) - 1));
  return text;
}

template <typename Values>
uint32_t hash_of(const Values& values) {
  return static_cast<uint32_t>(std::stoul(digest(values).substr(digest(values).find(' ') + 1), nullptr, 16));
}

// Offsets as `tokenizers` gives them: in characters, of all that a token touches.
std::vector<uint32_t> in_characters(const std::string& line, const std::vector<TextRange>& ranges) {
  std::vector<uint32_t> before(line.size() + 1, 0);  // characters that begin before a byte
  for (size_t i = 0; i < line.size(); ++i) {
    before[i + 1] = before[i] + ((static_cast<uint8_t>(line[i]) & 0xC0) != 0x80 ? 1 : 0);
  }
  std::vector<uint32_t> out;
  for (const TextRange& range : ranges) {
    const bool inside = range.start < line.size() && (static_cast<uint8_t>(line[range.start]) & 0xC0) == 0x80;
    out.push_back(before[range.start] - (inside ? 1 : 0));
    out.push_back(range.start == range.end ? out.back() : before[range.end]);
  }
  return out;
}

void expect_parity(const std::string& path, const std::string& name) {
  const std::unique_ptr<Tokenizer> tokenizer = load(path);
  ASSERT_NE(tokenizer, nullptr);
  std::vector<bool> has_offsets;
  for (const std::string& line : read_lines(golden_path(hf_golden(name + ".txt")))) {
    has_offsets.push_back(!line.ends_with('-'));
  }
  size_t row = 0;
  expect_golden(hf_golden(name + ".txt"), corpus(), [&](const std::string& line) {
    std::vector<int32_t> ids;
    std::vector<TextRange> ranges;
    const EncodeOptions options{.add_bos_eos = true, .parse_special = true};
    EXPECT_TRUE(tokenizer->encode_ranges(line, options, ids, &ranges).ok());
    const std::string offsets = has_offsets[row++] ? hex(hash_of(in_characters(line, ranges)), 4) : "----";
    return hex(hash_of(ids), 6) + " " + offsets;
  });
  std::vector<std::string> texts;
  uint32_t state = 1;
  for (int row = 0; row < 300; ++row) {
    std::vector<int32_t> ids;
    for (int i = 0; i < 12; ++i) {
      state = state * 1664525u + 1013904223u;
      int32_t id = static_cast<int32_t>((state >> 8) % static_cast<uint32_t>(tokenizer->vocabulary_size()));
      if ((tokenizer->attributes(id) & kTokenByte) != 0 && tokenizer->token_bytes(id)[0] < 0) id -= 128;
      ids.push_back(id);
    }
    texts.push_back(decode(*tokenizer, ids, false));
  }
  expect_golden(hf_golden(name + "_decode.txt"), texts, [](const std::string& text) {
    return hex(static_cast<uint32_t>(std::stoul(digest_bytes(text, 0).substr(2), nullptr, 16)), 6);
  });
}

class HfTokenizer : public testing::TestWithParam<const char*> {};

TEST_P(HfTokenizer, IdsOffsetsAndTexts) {
  expect_parity(golden_path(hf_golden(std::string(GetParam()) + ".json")), GetParam());
}

INSTANTIATE_TEST_SUITE_P(Kinds, HfTokenizer,
                         testing::Values("llama3", "qwen2", "gpt2", "roberta", "clip", "llama2", "gemma", "t5", "xlnet",
                                         "bert", "subword", "wordlevel"),
                         [](const auto& instance) { return std::string(instance.param); });

TEST(MiniLmTokenizerModel, IdsOffsetsAndTexts) {
  const std::string path = format(FASTSERVE_MODEL_DIR, "/all-minilm-l6-v2/tokenizer.json");
  if (!std::ifstream(path).good()) GTEST_SKIP() << "no " << path << " (run ./dev models)";
  expect_parity(path, "minilm");
}

}  // namespace
}  // namespace fastserve
