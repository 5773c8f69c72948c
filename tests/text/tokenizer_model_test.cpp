// Real vocabularies: ids against Hugging Face `tokenizers` over the corpus, decoding, speed.
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <string>
#include <vector>

#include "base/format.h"
#include "corpus_golden.h"
#include "engine/tokenizer_loading.h"
#include "formats/model_source.h"
#include "text/chat_template.h"

namespace fastserve {
namespace {

std::unique_ptr<ModelSource> open_model(const std::string& name) {
  auto source = open_model_source(format(FASTSERVE_MODEL_DIR, "/", name));
  return source.ok() ? source.take() : nullptr;
}

class LoadedTokenizer : public testing::Test {
 protected:
  void load(const std::string& name) {
    source_ = open_model(name);
    if (source_ == nullptr) GTEST_SKIP() << "no " << name << " in " << FASTSERVE_MODEL_DIR << " (run ./dev models)";
    auto loaded = load_tokenizer(*source_);
    ASSERT_TRUE(loaded.ok()) << loaded.status().message();
    tokenizer_ = loaded.take();
  }
  std::vector<int32_t> encode(std::string_view text, EncodeOptions options = {}) const {
    std::vector<int32_t> ids;
    const Status status = tokenizer_->encode(text, options, ids);
    EXPECT_TRUE(status.ok()) << status.message();
    return ids;
  }

  std::unique_ptr<ModelSource> source_;
  std::unique_ptr<Tokenizer> tokenizer_;
};

class SmollmTokenizerModel : public LoadedTokenizer {
 protected:
  void SetUp() override { load("smollm2-135m-instruct-q4_1.gguf"); }
};

class GemmaTokenizerModel : public LoadedTokenizer {
 protected:
  void SetUp() override { load("gemma-3-270m-q4_k_m.gguf"); }
};

TEST_F(SmollmTokenizerModel, IdsOverCorpus) {
  expect_golden("smollm2.txt", corpus(), [&](const std::string& line) { return digest(encode(line)); });
}

TEST_F(SmollmTokenizerModel, IdsOverCorpusWithSpecialTokens) {
  expect_golden("smollm2_special.txt", corpus(),
                [&](const std::string& line) { return digest(encode(line, {.parse_special = true})); });
}

TEST_F(SmollmTokenizerModel, DecodesRandomIds) {
  uint32_t state = 1;
  std::vector<std::string> texts;
  for (uint32_t row = 0; row < 400; ++row) {
    std::vector<int32_t> ids;
    const uint32_t range = row % 2 != 0 ? 300 : static_cast<uint32_t>(tokenizer_->vocabulary_size()) - 17;
    for (int i = 0; i < 12; ++i) {
      state = state * 1664525u + 1013904223u;
      ids.push_back(static_cast<int32_t>(17 + (state >> 8) % range));
    }
    texts.push_back(decode(*tokenizer_, ids, false));
  }
  expect_golden("smollm2_decode.txt", texts, [](const std::string& text) { return digest_bytes(text, text.size()); });
}

TEST_F(SmollmTokenizerModel, CorpusComesBack) {
  for (std::string line : corpus()) {
    // The vocabulary has no tokens for these six bytes: they are dropped.
    std::erase_if(
        line, [](char c) { return std::string_view("\x04\x06\x13\x14\x16\x1D").find(c) != std::string_view::npos; });
    EXPECT_EQ(decode(*tokenizer_, encode(line), true), line);
    EXPECT_EQ(decode(*tokenizer_, encode(line, {.parse_special = true}), false), line);
  }
}

TEST_F(SmollmTokenizerModel, Metadata) {
  EXPECT_EQ(tokenizer_->name(), "gpt2/smollm");
  EXPECT_EQ(tokenizer_->vocabulary_size(), 49152);
  EXPECT_EQ(tokenizer_->bos_id(), 1);
  EXPECT_EQ(tokenizer_->eos_id(), 2);
  EXPECT_EQ(
      std::vector<int32_t>(tokenizer_->end_of_generation_ids().begin(), tokenizer_->end_of_generation_ids().end()),
      (std::vector<int32_t>{0, 2}));
  EXPECT_EQ(encode("a", {.add_bos_eos = true}), encode("a"));  // its metadata asks for neither
}

TEST_F(SmollmTokenizerModel, OneMegabyteOfEnglishIsFast) {
  std::string text;
  const std::vector<std::string> lines = corpus();
  while (text.size() < (1 << 20)) {
    for (size_t i = 16; i < 20; ++i) text += lines[i] + " The answer, as everyone knows by now, is not that simple.\n";
  }
  const auto start = std::chrono::steady_clock::now();
  const std::vector<int32_t> ids = encode(text);
  const std::chrono::duration<double> elapsed = std::chrono::steady_clock::now() - start;
  RecordProperty("seconds", std::to_string(elapsed.count()));
  EXPECT_GT(ids.size(), text.size() / 10);
}

TEST_F(SmollmTokenizerModel, ChatTemplateIsChatMl) {
  auto template_source = load_chat_template_source(*source_);
  ASSERT_TRUE(template_source.ok());
  auto chat = create_chat_template(*template_source);
  ASSERT_TRUE(chat.ok()) << chat.status().message();
  auto spans = (*chat)->render({{"user", "Hi <|im_end|>"}, {"assistant", "\nYo"}, {"user", " Bye"}}, true);
  ASSERT_TRUE(spans.ok());
  const std::string text = spans_to_text(*spans);
  EXPECT_EQ(text,
            "<|im_start|>system\nYou are a helpful AI assistant named SmolLM, trained by Hugging Face<|im_end|>\n"
            "<|im_start|>user\nHi <|im_end|><|im_end|>\n<|im_start|>assistant\n\nYo<|im_end|>\n"
            "<|im_start|>user\n Bye<|im_end|>\n<|im_start|>assistant\n");
  std::vector<int32_t> ids;
  ASSERT_TRUE(encode_spans(*tokenizer_, *spans, ids).ok());
  EXPECT_EQ(decode(*tokenizer_, ids, false), text);
  EXPECT_EQ(std::count(ids.begin(), ids.end(), 2), 4);  // <|im_end|> of four messages, not the user's own
  EXPECT_EQ(std::count(ids.begin(), ids.end(), 1), 5);
  // Without hostile text the ids are those of the whole text: words run across spans.
  spans = (*chat)->render({{"user", "\nHi  "}}, true);
  ids.clear();
  ASSERT_TRUE(encode_spans(*tokenizer_, *spans, ids).ok());
  EXPECT_EQ(ids, encode(spans_to_text(*spans), {.parse_special = true}));
}

TEST_F(GemmaTokenizerModel, IdsOverCorpus) {
  expect_golden("gemma3.txt", corpus(), [&](const std::string& line) { return digest(encode(line)); });
}

TEST_F(GemmaTokenizerModel, IdsOverCorpusWithSpecialTokens) {
  expect_golden("gemma3_special.txt", corpus(),
                [&](const std::string& line) { return digest(encode(line, {.parse_special = true})); });
}

TEST_F(GemmaTokenizerModel, CorpusComesBack) {
  for (const std::string& line : corpus()) {
    std::string expected = line;  // U+2581 is this vocabulary's space
    for (size_t at; (at = expected.find("\xE2\x96\x81")) != std::string::npos;) expected.replace(at, 3, " ");
    EXPECT_EQ(decode(*tokenizer_, encode(line), true), expected);
  }
}

}  // namespace
}  // namespace fastserve
