// Every normaliser, pre-tokeniser and decoder of tokenizer.json by itself, against Hugging Face `tokenizers`: the
// goldens in golden/hf_tokenizers/components.json are made by golden/make_hf_tokenizers.py.
#include <gtest/gtest.h>

#include <cstdio>
#include <fstream>
#include <iterator>
#include <sstream>
#include <string>
#include <vector>

#include "base/json.h"
#include "corpus_golden.h"
#include "text/hf_components.h"
#include "text/hf_decoder.h"
#include "text/unicode.h"

namespace fastserve {
namespace {

constexpr size_t kBlockLines = 16;

std::string block_hash(const std::string& bytes) { return digest_bytes(bytes, 0).substr(6); }

std::string normalised(const Normalizer& normalizer, const std::string& line, bool tracks) {
  AlignedText text = AlignedText::from(line, 0, tracks);
  const Status status = normalizer.apply(text, true);
  EXPECT_TRUE(status.ok()) << status.message();
  if (tracks) EXPECT_EQ(text.sources.size(), text.text.size());
  return text.text + "\n";
}

std::string cut(const PreTokenizer& pre_tokenizer, const std::string& line, bool tracks) {
  PieceList list{AlignedText::from(line, 0, tracks), {{0, line.size()}}};
  const Status status = pre_tokenizer.apply(list);
  EXPECT_TRUE(status.ok()) << status.message();
  if (tracks) EXPECT_EQ(list.text.sources.size(), list.text.text.size());
  std::string out;
  for (const TextRange& piece : list.pieces) {
    if (piece.start != piece.end) out += list.text.text.substr(piece.start, piece.end - piece.start) + "\n";
  }
  return out + "\n";
}

// Bytes that are no UTF-8 as U+FFFD.
std::string with_replacements(const std::string& bytes) {
  std::string out;
  for (size_t at = 0; at < bytes.size();) {
    const unicode::Sequence sequence = unicode::inspect(bytes, at);
    out += sequence.valid ? bytes.substr(at, sequence.size_bytes) : "\xEF\xBF\xBD";
    at += sequence.size_bytes;
  }
  return out;
}

// As many tokens as the line has bytes, by their values, and one more.
std::string joined(const HfDecoder& decoder, json::Value tokens, const std::string& line) {
  std::string out;
  for (size_t i = 0; i <= line.size(); ++i) {
    const std::string_view token =
        i < line.size() ? *tokens.at(static_cast<uint8_t>(line[i]) % tokens.size()).string() : "foo</w>";
    auto bytes = decoder.bytes_of(token, i == 0);
    EXPECT_TRUE(bytes.ok());
    out += *bytes;
  }
  out = with_replacements(out);
  if (decoder.drops_last_space() && out.ends_with(' ')) out.pop_back();
  for (int i = decoder.leading_spaces_dropped(); i > 0 && out.starts_with(' '); --i) out.erase(0, 1);
  return out + "\n";
}

template <typename BytesOf>
void expect_blocks(std::string_view golden, const std::vector<std::string>& lines, const BytesOf& bytes_of) {
  std::istringstream hashes{std::string(golden)};
  int different = 0;
  for (size_t start = 0; start < lines.size(); start += kBlockLines) {
    std::string bytes, expected;
    for (size_t i = start; i < std::min(start + kBlockLines, lines.size()); ++i) bytes += bytes_of(lines[i]);
    hashes >> expected;
    if (block_hash(bytes) != expected && ++different == 1) ADD_FAILURE() << "lines from " << start + 1 << " differ";
  }
  EXPECT_EQ(different, 0);
  EXPECT_TRUE(hashes.good() || hashes.eof());
}

TEST(HfComponents, EqualTokenizers) {
  std::ifstream file(golden_path("../hf_tokenizers/components.json"), std::ios::binary);
  const std::string text{std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
  const auto document = json::parse(text, "components.json");
  ASSERT_TRUE(document.ok()) << document.status().message();
  const json::Value tokens = document->root()["decoder_tokens"], components = document->root()["components"];
  ASSERT_GT(components.size(), 70u);
  const std::vector<std::string> lines = corpus();
  for (size_t i = 0; i < components.size(); ++i) {
    const json::Value entry = components.at(i);
    const std::string_view kind = *entry["kind"].string(), golden = *entry["blocks"].string();
    const HfNode node(entry["component"], std::string(kind));
    SCOPED_TRACE(format("component ", i, " ", node.type()));
    for (const bool tracks : {false, true}) {
      if (kind == "normalizer") {
        auto read = read_hf_normalizer(node);
        ASSERT_TRUE(read.ok()) << read.status().message();
        expect_blocks(golden, lines, [&](const std::string& line) { return normalised(**read, line, tracks); });
      } else if (kind == "pre_tokenizer") {
        auto read = read_hf_pre_tokenizer(node, false);
        ASSERT_TRUE(read.ok()) << read.status().message();
        expect_blocks(golden, lines, [&](const std::string& line) { return cut(**read, line, tracks); });
      } else {
        auto read = HfDecoder::read(node);
        ASSERT_TRUE(read.ok()) << read.status().message();
        expect_blocks(golden, lines, [&](const std::string& line) { return joined(*read, tokens, line); });
      }
    }
  }
}

}  // namespace
}  // namespace fastserve
