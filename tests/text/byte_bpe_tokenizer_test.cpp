// Byte-level BPE over a small vocabulary: special tokens, end-of-generation set, bad input, long words, round trips.
#include <gtest/gtest.h>

#include <random>
#include <string>
#include <vector>

#include "support/tokenizer_data.h"
#include "text/byte_level.h"
#include "text/tokenizer.h"
#include "text/unicode.h"

namespace fastserve {
namespace {

using test::TokenizerTables;

// 256 bytes, a few merges, then specials.
TokenizerTables small_data() {
  TokenizerTables data;
  data.data.model = "gpt2";
  data.data.pre = "gpt-2";
  for (int byte = 0; byte < 256; ++byte) {
    const char c = static_cast<char>(byte);
    data.tokens.push_back(byte_level_encode({&c, 1}));
  }
  for (const char* merge : {"h e", "l l", "he ll", "hell o", "a a", "aa aa", "Ġ w", "i m"}) {
    data.merges.push_back(merge);
    std::string joined = merge;
    joined.erase(joined.find(' '), 1);
    data.tokens.push_back(joined);
  }
  data.types.assign(data.tokens.size(), 1);
  const auto add = [&](const char* text, int32_t type) {
    data.tokens.push_back(text);
    data.types.push_back(type);
    return static_cast<int32_t>(data.tokens.size() - 1);
  };
  data.data.bos_id = add("<s>", 3);
  data.data.eos_id = add("</s>", 3);
  add("<|im_start|>", 3);
  add("<|im_end|>", 3);
  add("<tool>", 4);
  add("<tool><tool>", 4);
  return data;
}

std::unique_ptr<Tokenizer> create(TokenizerTables data) {
  auto created = test::create_tokenizer(data);
  EXPECT_TRUE(created.ok()) << created.status().message();
  return created.take();
}

std::vector<std::string> tokens_of(const Tokenizer& tokenizer, std::string_view text, EncodeOptions options = {}) {
  std::vector<int32_t> ids;
  EXPECT_TRUE(tokenizer.encode(text, options, ids).ok());
  std::vector<std::string> out;
  for (const int32_t id : ids) out.emplace_back(tokenizer.token_bytes(id));
  return out;
}

using Tokens = std::vector<std::string>;

TEST(ByteBpe, MergesByRankLeftmostFirst) {
  const auto tokenizer = create(small_data());
  EXPECT_EQ(tokenizer->name(), "gpt2/gpt-2");
  EXPECT_EQ(tokens_of(*tokenizer, "hello w"), (Tokens{"hello", " w"}));
  EXPECT_EQ(tokens_of(*tokenizer, "aaaaaaa"), (Tokens{"aaaa", "aa", "a"}));
  EXPECT_EQ(tokens_of(*tokenizer, ""), Tokens());
  EXPECT_EQ(tokenizer->find_token(" w"), 262);
  EXPECT_EQ(tokenizer->find_token("nothing"), -1);
}

TEST(ByteBpe, SpecialTokensOnlyWhereAsked) {
  const auto tokenizer = create(small_data());
  EXPECT_EQ(tokens_of(*tokenizer, "<s>").size(), 3u);
  EXPECT_EQ(tokens_of(*tokenizer, "a<s><|im_end|>", {.parse_special = true}), (Tokens{"a", "<s>", "<|im_end|>"}));
  EXPECT_EQ(tokens_of(*tokenizer, "<tool><tool><tool>a"), (Tokens{"<tool><tool>", "<tool>", "a"}));
  EXPECT_EQ(tokens_of(*tokenizer, "a", {.add_bos_eos = true}), Tokens{"a"});
  TokenizerTables data = small_data();
  data.data.add_bos = data.data.add_eos = true;
  EXPECT_EQ(tokens_of(*create(data), "a", {.add_bos_eos = true}), (Tokens{"<s>", "a", "</s>"}));
}

TEST(ByteBpe, SpecialRangesKeepUserTextPlain) {
  const auto tokenizer = create(small_data());
  const std::string text = "<s>him<s>";
  const TextRange ranges[] = {{0, 3}};
  EXPECT_EQ(tokens_of(*tokenizer, text, {.special_ranges = ranges}), (Tokens{"<s>", "h", "im", "<", "s", ">"}));
  const TextRange halves[] = {{0, 2}, {4, 7}};  // neither holds a whole one
  EXPECT_EQ(tokens_of(*tokenizer, text, {.special_ranges = halves}).front(), "<");
}

TEST(ByteBpe, EndOfGenerationSet) {
  const auto tokenizer = create(small_data());
  ASSERT_EQ(tokenizer->end_of_generation_ids().size(), 2u);
  EXPECT_TRUE(tokenizer->ends_generation(tokenizer->find_token("</s>")));
  EXPECT_TRUE(tokenizer->ends_generation(tokenizer->find_token("<|im_end|>")));
  EXPECT_FALSE(tokenizer->ends_generation(tokenizer->find_token("<|im_start|>")));
}

TEST(ByteBpe, InvalidUtf8NamesTheByte) {
  const auto tokenizer = create(small_data());
  std::vector<int32_t> ids = {7};
  for (const std::string& bad : {std::string("ab\xFF"), std::string("ab\xC3"), std::string("ab\xED\xA0\x80"),
                                 std::string("ab\xC0\x80"), std::string("ab\xF4\x90\x80\x80")}) {
    const Status status = tokenizer->encode(bad, {}, ids);
    EXPECT_EQ(status.code(), StatusCode::kInvalidArgument);
    EXPECT_NE(std::string(status.message()).find("byte 2"), std::string::npos);
    EXPECT_EQ(ids, std::vector<int32_t>{7});
  }
}

TEST(ByteBpe, RefusesBadVocabularies) {
  const auto refused = [](TokenizerTables data, StatusCode code, const char* names) {
    auto created = test::create_tokenizer(data);
    ASSERT_FALSE(created.ok());
    EXPECT_EQ(created.status().code(), code) << created.status().message();
    EXPECT_NE(std::string(created.status().message()).find(names), std::string::npos) << created.status().message();
  };
  TokenizerTables data = small_data();
  data.tokens.clear();
  refused(data, StatusCode::kCorrupt, "empty");
  data = small_data();
  data.merges.push_back("zz yy");
  refused(data, StatusCode::kCorrupt, "zz yy");
  data = small_data();
  data.merges.push_back("alone");
  refused(data, StatusCode::kCorrupt, "alone");
  data = small_data();
  data.merges.push_back("");
  refused(data, StatusCode::kCorrupt, "merge 8");
  data = small_data();
  data.types.pop_back();
  refused(data, StatusCode::kCorrupt, "types");
  data = small_data();
  data.data.bos_id = 100000;
  refused(data, StatusCode::kCorrupt, "bos");
  data = small_data();
  data.data.model = "strange";
  refused(data, StatusCode::kUnsupported, "strange");
  data = small_data();
  data.data.pre = "odd";
  refused(data, StatusCode::kUnsupported, "odd");
}

TEST(ByteBpe, LongWordIsNotQuadratic) {
  const auto tokenizer = create(small_data());
  std::vector<int32_t> ids;
  ASSERT_TRUE(tokenizer->encode(std::string(1 << 20, 'a'), {}, ids).ok());  // a quadratic one runs into the time limit
  EXPECT_EQ(ids.size(), size_t{1} << 18);
}

TEST(ByteBpe, ShortAndLongWordsMergeAlike) {
  const auto tokenizer = create(small_data());
  std::mt19937 random(1);
  for (int round = 0; round < 300; ++round) {
    std::string word;
    for (int i = 0; i < 20; ++i) word += "helowaim"[random() % 8];
    // No merge crosses "z", so that the long word's tokens are those of its parts.
    Tokens parts = tokens_of(*tokenizer, word), whole = parts;
    whole.push_back("z");
    whole.insert(whole.end(), parts.begin(), parts.end());
    EXPECT_EQ(tokens_of(*tokenizer, word + "z" + word), whole);
  }
}

TEST(ByteBpe, EveryCodePointComesBack) {
  const auto tokenizer = create(small_data());
  std::string text;
  for (uint32_t c = 0; c < 0x110000; c += 7) {
    if (c < 0xD800 || c > 0xDFFF) unicode::append_utf8(c, text);
  }
  std::vector<int32_t> ids;
  ASSERT_TRUE(tokenizer->encode(text, {}, ids).ok());
  EXPECT_EQ(decode(*tokenizer, ids, true), text);
}

TEST(Detokenizer, StreamsWholeCodePoints) {
  const auto tokenizer = create(small_data());
  std::vector<int32_t> ids;
  ASSERT_TRUE(tokenizer->encode("\xF0\x9F\x98\x80", {}, ids).ok());
  ASSERT_EQ(ids.size(), 4u);
  StreamDecoder decoder(tokenizer.get(), true);
  std::string out;
  for (int i = 0; i < 3; ++i) {
    decoder.push(ids[static_cast<size_t>(i)], out);
    EXPECT_EQ(out, "");
  }
  decoder.push(ids[3], out);
  EXPECT_EQ(out, "\xF0\x9F\x98\x80");
  decoder.push(ids[0], out);
  decoder.push(tokenizer->find_token("a"), out);
  EXPECT_EQ(out,
            "\xF0\x9F\x98\x80\xEF\xBF\xBD"
            "a");
  decoder.push(ids[0], out);
  decoder.finish(out);
  EXPECT_EQ(out,
            "\xF0\x9F\x98\x80\xEF\xBF\xBD"
            "a\xEF\xBF\xBD");
}

TEST(Detokenizer, SkipsControlTokensAlone) {
  const auto tokenizer = create(small_data());
  const std::vector<int32_t> ids = {tokenizer->find_token("<s>"), tokenizer->find_token("a"),
                                    tokenizer->find_token("<tool>")};
  EXPECT_EQ(decode(*tokenizer, ids, true), "a<tool>");
  EXPECT_EQ(decode(*tokenizer, ids, false), "<s>a<tool>");
}

}  // namespace
}  // namespace fastserve
