// tokenizer.json files that are refused, with place and name; settings from the files beside it; real vocabularies.
#include "text/hf_tokenizer.h"

#include <gtest/gtest.h>

#include <chrono>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "base/json_writer.h"
#include "corpus_golden.h"
#include "engine/tokenizer_loading.h"
#include "formats/model_source.h"

namespace fastserve {
namespace {

std::string file_with(const std::string& parts, const std::string& model) {
  return "{" + parts + (parts.empty() ? "" : ",") + "\"model\":" + model + "}";
}

const char* const kWords = R"({"type":"WordLevel","unk_token":"u","vocab":{"u":0,"a":1,"b":2,"</s>":3}})";

Status refusal(const std::string& json) {
  auto created = create_tokenizer_from_json(json, {});
  EXPECT_FALSE(created.ok()) << json;
  return created.ok() ? Status() : created.status();
}

TEST(HfTokenizerErrors, NameWhatIsNotSupportedAndWhere) {
  const std::pair<std::string, std::string> cases[] = {
      {R"("normalizer":{"type":"Sequence","normalizers":[{"type":"NFC"},{"type":"Magic"}]})",
       "normalizer.normalizers[1]: the type 'Magic'"},
      {R"("pre_tokenizer":{"type":"UnicodeScripts"})", "pre_tokenizer: the type 'UnicodeScripts'"},
      {R"("pre_tokenizer":{"type":"Split","pattern":{"Regex":"a"},"behavior":"Sideways"})", "the behavior 'Sideways'"},
      {R"("pre_tokenizer":{"type":"Split","pattern":{"Regex":"[a&&b]"},"behavior":"Isolated"})",
       "pre_tokenizer.pattern: pattern '[a&&b]'"},
      {R"("pre_tokenizer":{"type":"Metaspace","replacement":"_","prepend_scheme":"last"})", "'last'"},
      {R"("post_processor":{"type":"Sequence","processors":[{"type":"Odd"}]})",
       "post_processor.processors[0]: the type 'Odd'"},
      {R"("decoder":{"type":"CTC"})", "decoder: the type 'CTC'"},
      {R"("decoder":{"type":"Sequence","decoders":[{"type":"Fuse"},{"type":"Strip","content":"_","start":1,"stop":0}]})",
       "decoder.decoders[1]: stripping a whole text"},
      {R"("decoder":{"type":"Sequence","decoders":[{"type":"Fuse"},{"type":"ByteFallback"}]})",
       "decoder.decoders[1]: 'ByteFallback' on tokens that were joined"},
  };
  for (const auto& [part, words] : cases) {
    const Status status = refusal(file_with(part, kWords));
    EXPECT_EQ(status.code(), StatusCode::kUnsupported) << status.message();
    EXPECT_NE(std::string(status.message()).find(words), std::string::npos)
        << words << " is not in " << status.message();
    EXPECT_TRUE(std::string(status.message()).starts_with("tokenizer.json: ")) << status.message();
  }
  EXPECT_EQ(refusal(file_with("", R"({"type":"BPE","dropout":0.1,"vocab":{},"merges":[]})")).code(),
            StatusCode::kUnsupported);
}

TEST(HfTokenizerErrors, NameWhatIsCorrupt) {
  const std::pair<std::string, std::string> cases[] = {
      {"", "byte 0"},
      {"[1,2]", "\"model\" is missing"},
      {R"({"model":{"type":"BPE"}})", "\"vocab\" is missing"},
      {R"({"model":{"type":"BPE","vocab":{"a":0},"vocab":{"b":0}}})", "occurs twice"},
      {R"({"model":{"type":"BPE","vocab":{"a":-1}}})", "token 'a' has the id -1"},
      {R"({"model":{"type":"BPE","vocab":{"a":1.5}}})", "token 'a' has the id 1.5"},
      {R"({"model":{"type":"BPE","vocab":{"a":2000000000}}})", "token id 2000000000"},
      {R"({"model":{"type":"BPE","vocab":{"a":0,"b":0}}})", "'a' and 'b' both have the id 0"},
      {R"({"model":{"type":"BPE","vocab":[["a",0]]}})", "the vocabulary of BPE is a list"},
      {R"({"model":{"type":"Unigram","vocab":{"a":0}}})", "the vocabulary of Unigram"},
      {R"({"model":{"type":"Unigram","vocab":[["a"]]}})", "is no pair"},
      {R"({"model":{"type":"Unigram","unk_id":3,"vocab":[["a",0]]}})", "\"unk_id\" 3 is out of range"},
      {R"({"model":{"type":"BPE","vocab":{"a":0,"b":1},"merges":["ab"]}})", "merge 0 is not two tokens: 'ab'"},
      {R"({"model":{"type":"BPE","vocab":{"a":0,"b":1},"merges":[["a","b"]]}})", "merge 0 ('a b')"},
      {R"({"model":{"type":"WordPiece","unk_token":"x","vocab":{"a":0}}})", "the unknown token 'x'"},
      {R"({"model":{"type":"BPE","vocab":{"a":0}},"added_tokens":[{"content":"b","id":0}]})", "added_tokens[0]: 'b'"},
      {R"({"model":{"type":"BPE","vocab":{"a":0}},"added_tokens":[{"id":0}]})", "\"content\" is missing"},
      {R"({"model":{"type":"BPE","vocab":{"a":0}},"post_processor":{"type":"BertProcessing","sep":["a",0],"cls":["b",9]}})",
       "adds token 9, the vocabulary has 1"},
      {R"({"model":{"type":"BPE","vocab":{"a":0}},"normalizer":{"type":"Precompiled","precompiled_charsmap":"?"}})",
       "not base64"},
  };
  for (const auto& [json, words] : cases) {
    const Status status = refusal(json);
    EXPECT_EQ(status.code(), StatusCode::kCorrupt) << status.message();
    EXPECT_NE(std::string(status.message()).find(words), std::string::npos)
        << words << " is not in " << status.message();
  }
}

TEST(HfTokenizerErrors, RulesThatGrowWithoutEndAreAStatus) {
  std::string steps;
  for (int i = 0; i < 60; ++i) {
    steps += std::string(i > 0 ? "," : "") + R"({"type":"Replace","pattern":{"String":"a"},"content":"aa"})";
  }
  auto tokenizer = create_tokenizer_from_json(
      file_with(R"("normalizer":{"type":"Sequence","normalizers":[)" + steps + "]}", kWords), {});
  ASSERT_TRUE(tokenizer.ok()) << tokenizer.status().message();
  std::vector<int32_t> ids;
  EXPECT_EQ((*tokenizer)->encode("a", {}, ids).code(), StatusCode::kInvalidArgument);
}

// The fuzzer's seeds: a file, a NUL, a text.
TEST(HfTokenizer, SeedsLoadAndTheirTextsBecomeTokens) {
  size_t count = 0;
  for (const auto& entry : std::filesystem::directory_iterator(FASTSERVE_TEST_DATA "/../fuzz/seeds/tokenizer")) {
    SCOPED_TRACE(entry.path().string());
    std::ifstream file(entry.path(), std::ios::binary);
    const std::string seed{std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
    const size_t end = seed.find('\0');
    ASSERT_NE(end, std::string::npos);
    auto tokenizer = create_tokenizer_from_json(seed.substr(0, end), {});
    ASSERT_TRUE(tokenizer.ok()) << tokenizer.status().message();
    std::vector<int32_t> ids;
    ASSERT_TRUE((*tokenizer)->encode(seed.substr(end + 1), {.add_bos_eos = true, .parse_special = true}, ids).ok());
    ++count;
  }
  EXPECT_GE(count, 7u);
}

// The file may be cut anywhere: also inside keys, texts, numbers and escapes.
TEST(HfTokenizer, EveryCutOfTheFileReadsTheSame) {
  const std::string json =
      file_with(R"("decoder":{"type":"Fuse"})",
                R"({"type":"Unigram","unk_id":0,"vocab":[["u",-1.25e1],["\u00e9\ud83d\ude00\n",-2],["é",-0.5]]})");
  for (size_t cut = 1; cut < json.size(); ++cut) {
    HfTokenizerLoader loader({});
    ASSERT_TRUE(loader.push(json.substr(0, cut)).ok()) << cut;
    ASSERT_TRUE(loader.push(json.substr(cut)).ok()) << cut;
    for (bool done = false; !done;) {
      auto stepped = loader.step();
      ASSERT_TRUE(stepped.ok()) << cut << ": " << stepped.status().message();
      done = *stepped;
    }
    const std::unique_ptr<Tokenizer> tokenizer = loader.take();
    std::vector<int32_t> ids;
    ASSERT_TRUE(tokenizer->encode("é\xF0\x9F\x98\x80\né!", {}, ids).ok());
    ASSERT_EQ(ids, (std::vector<int32_t>{1, 2, 0})) << cut;
  }
  for (size_t size = 0; size < json.size(); ++size) {
    EXPECT_EQ(refusal(json.substr(0, size)).code(), StatusCode::kCorrupt) << size;
  }
}

TEST(HfTokenizer, RangesCoverWhatWasNormalised) {
  auto tokenizer = create_tokenizer_from_json(
      file_with(R"("normalizer":{"type":"Sequence","normalizers":[{"type":"NFC"},{"type":"Prepend","prepend":"_"}]})",
                R"({"type":"BPE","unk_token":"u","vocab":{"u":0,"_":1,"é":2,"x":3},"merges":[]})"),
      {});
  ASSERT_TRUE(tokenizer.ok()) << tokenizer.status().message();
  std::vector<int32_t> ids;
  std::vector<TextRange> ranges;
  ASSERT_TRUE((*tokenizer)->encode_ranges("e\xCC\x81x", {}, ids, &ranges).ok());
  EXPECT_EQ(ids, (std::vector<int32_t>{1, 2, 3}));
  const size_t expected[][2] = {{0, 0}, {0, 3}, {3, 4}};
  for (size_t i = 0; i < ranges.size(); ++i) {
    EXPECT_EQ(ranges[i].start, expected[i][0]) << i;
    EXPECT_EQ(ranges[i].end, expected[i][1]) << i;
  }
}

TEST(HfTokenizer, PaddedIdsStandForNothing) {
  auto tokenizer = create_tokenizer_from_json(file_with("", kWords), {});
  ASSERT_TRUE(tokenizer.ok());
  (*tokenizer)->pad_vocabulary(9);
  EXPECT_EQ((*tokenizer)->vocabulary_size(), 9);
  EXPECT_EQ((*tokenizer)->token_bytes(8), "");
  EXPECT_EQ((*tokenizer)->attributes(8), 0u);
  EXPECT_EQ(decode(**tokenizer, std::vector<int32_t>{1, 8, 2}, false), "a b");
}

TEST(HfTokenizer, NoTextBecomesASpecialToken) {
  auto tokenizer = create_tokenizer_from_json(
      file_with(R"("added_tokens":[{"id":3,"content":"</s>","special":true}])", kWords), {.eos_token = "</s>"});
  ASSERT_TRUE(tokenizer.ok()) << tokenizer.status().message();
  std::vector<int32_t> ids;
  ASSERT_TRUE((*tokenizer)->encode("</s>", {}, ids).ok());
  EXPECT_EQ(ids, std::vector<int32_t>{0});
  ids.clear();
  ASSERT_TRUE((*tokenizer)->encode("</s>", {.parse_special = true}, ids).ok());
  EXPECT_EQ(ids, std::vector<int32_t>{3});
  EXPECT_TRUE((*tokenizer)->ends_generation(3));
}

TEST(HfSettings, ComeFromTheFilesInTheirOrder) {
  HfSettingsFiles files;
  files.bos_id = 7;
  files.eos_id = 8;
  auto settings = read_hf_settings(files);
  ASSERT_TRUE(settings.ok());
  EXPECT_EQ(settings->bos_id, 7);
  EXPECT_EQ(settings->end_ids, std::vector<int32_t>{8});
  files.special_tokens_map = R"({"bos_token":{"content":"<a>"},"eos_token":"<b>"})";
  files.tokenizer_config = R"({"bos_token":null,"add_bos_token":true,"add_eos_token":false})";
  files.generation_config = R"({"eos_token_id":[4,5,-1]})";
  settings = read_hf_settings(files);
  ASSERT_TRUE(settings.ok());
  EXPECT_EQ(settings->bos_token, "");
  EXPECT_EQ(settings->bos_id, -1);
  EXPECT_EQ(settings->eos_token, "<b>");
  EXPECT_EQ(settings->end_ids, (std::vector<int32_t>{4, 5}));
  EXPECT_EQ(settings->add_bos, 1);
  EXPECT_EQ(settings->add_eos, -1);
  files.generation_config = "{";
  EXPECT_EQ(read_hf_settings(files).status().code(), StatusCode::kCorrupt);
}

// The tokenizer.json that SmolLM2's makers published, put together again from the GGUF file's arrays.
class Smollm2TokenizerJsonModel : public testing::Test {
 protected:
  void SetUp() override {
    auto source = open_model_source(format(FASTSERVE_MODEL_DIR, "/smollm2-135m-instruct-q4_1.gguf"));
    if (!source.ok()) GTEST_SKIP() << "no SmolLM2 (run ./dev models)";
    auto loaded = load_tokenizer(**source);
    ASSERT_TRUE(loaded.ok()) << loaded.status().message();
    from_gguf_ = loaded.take();
    const MetaValue* tokens = (*source)->find("tokenizer.ggml.tokens");
    const MetaValue* types = (*source)->find("tokenizer.ggml.token_type");
    JsonWriter json;
    json.begin_object().key("added_tokens").begin_array();
    for (size_t id = 0; id < tokens->strings.size(); ++id) {
      if (types->integers[id] != 3) continue;
      json.begin_object().key("id").value(static_cast<int64_t>(id)).key("content").value(tokens->strings[id]);
      json.key("special").value(true).key("normalized").value(false).end_object();
    }
    json.end_array().key("model").begin_object().key("type").value("BPE").key("vocab").begin_object();
    for (size_t id = 0; id < tokens->strings.size(); ++id) {
      json.key(tokens->strings[id]).value(static_cast<int64_t>(id));
    }
    json.end_object().key("merges").begin_array();
    const StringTable& merges = (*source)->find("tokenizer.ggml.merges")->strings;
    for (size_t i = 0; i < merges.size(); ++i) json.value(merges[i]);
    json.end_array().end_object().end_object();
    text_ = json.take();
    const std::string pipeline =
        R"({"pre_tokenizer":{"type":"Sequence","pretokenizers":[{"type":"Digits","individual_digits":true},)"
        R"({"type":"ByteLevel","add_prefix_space":false,"trim_offsets":true,"use_regex":true}]},)"
        R"("decoder":{"type":"ByteLevel"},)";
    text_ = pipeline + text_.substr(1);
  }
  std::string text_;
  std::unique_ptr<Tokenizer> from_gguf_;
};

TEST_F(Smollm2TokenizerJsonModel, RangesAreThoseOfTheGgufFile) {
  auto tokenizer = create_tokenizer_from_json(text_, {});
  ASSERT_TRUE(tokenizer.ok()) << tokenizer.status().message();
  for (const std::string& line : corpus()) {
    std::vector<int32_t> ids, gguf_ids;
    std::vector<TextRange> ranges, gguf_ranges;
    ASSERT_TRUE((*tokenizer)->encode_ranges(line, {.parse_special = true}, ids, &ranges).ok());
    ASSERT_TRUE(from_gguf_->encode_ranges(line, {.parse_special = true}, gguf_ids, &gguf_ranges).ok());
    ASSERT_EQ(ids, gguf_ids) << line;
    ASSERT_EQ(ranges.size(), gguf_ranges.size()) << line;
    for (size_t i = 0; i < ranges.size(); ++i) {
      ASSERT_EQ(ranges[i].start, gguf_ranges[i].start) << line;
      ASSERT_EQ(ranges[i].end, gguf_ranges[i].end) << line;
    }
  }
}

TEST_F(Smollm2TokenizerJsonModel, IdsOverCorpusInBoundedSteps) {
  HfTokenizerLoader loader({.eos_token = "<|im_end|>"});
  using Clock = std::chrono::steady_clock;
  size_t steps = 0;
  for (size_t at = 0; at < text_.size(); at += 1 << 18, ++steps) {
    ASSERT_TRUE(loader.push(std::string_view(text_).substr(at, 1 << 18)).ok());
  }
  auto longest = Clock::duration::zero();
  for (bool done = false; !done; ++steps) {
    const auto start = Clock::now();
    auto stepped = loader.step();
    ASSERT_TRUE(stepped.ok()) << stepped.status().message();
    longest = std::max(longest, Clock::now() - start);
    done = *stepped;
  }
  RecordProperty("steps", static_cast<int>(steps));
  RecordProperty("longest_step_us",
                 static_cast<int>(std::chrono::duration_cast<std::chrono::microseconds>(longest).count()));
  const std::unique_ptr<Tokenizer> tokenizer = loader.take();
  expect_golden("smollm2_special.txt", corpus(), [&](const std::string& line) {
    std::vector<int32_t> ids;
    EXPECT_TRUE(tokenizer->encode(line, {.parse_special = true}, ids).ok());
    return digest(ids);
  });
  expect_golden("smollm2.txt", corpus(), [&](const std::string& line) {
    std::vector<int32_t> ids;
    EXPECT_TRUE(tokenizer->encode(line, {}, ids).ok());
    return digest(ids);
  });
}

}  // namespace
}  // namespace fastserve
