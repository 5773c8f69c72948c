// Byte-level BPE: pre-tokenise, take each piece's bytes as tokens, merge.
#include <array>

#include "base/format.h"
#include "text/bpe_merger.h"
#include "text/byte_level.h"
#include "text/pre_tokenizer.h"
#include "text/tokenizer_base.h"
#include "text/unicode.h"

namespace fastserve {
namespace {

class ByteBpeTokenizer final : public TokenizerBase {
 public:
  ByteBpeTokenizer(std::string name, NamedPreTokenizer pre_tokenizer, size_t merge_count)
      : name_(std::move(name)), pre_tokenizer_(std::move(pre_tokenizer)), merger_(merge_count) {}

  std::string_view name() const override { return name_; }

  Status load(TokenizerData data) {
    FSV_TRY(load_merges(data));
    load_token_bytes(data);
    FSV_TRY(initialise(data));
    for (int byte = 0; byte < 256; ++byte) {
      const char text = static_cast<char>(byte);
      const int32_t id = find_token({&text, 1});
      byte_ids_[static_cast<size_t>(byte)] = id >= 0 && !is_special(id) ? id : -1;
    }
    return {};
  }

 private:
  // A vocabulary holds printable characters for bytes; the tokens that are written as they are hold themselves.
  void load_token_bytes(const TokenizerData& data) {
    token_bytes_.reserve(data.tokens.size());
    for (size_t id = 0; id < data.tokens.size(); ++id) {
      const TokenType type = type_of(data, id);
      const bool literal =
          type == TokenType::kControl || type == TokenType::kUserDefined || type == TokenType::kUnknown;
      std::optional<std::string> bytes = literal ? std::nullopt : byte_level_decode(data.tokens[id]);
      token_bytes_.push_back(bytes ? std::move(*bytes) : data.tokens[id]);
    }
  }

  // "left right": both and their concatenation must be tokens.
  Status load_merges(const TokenizerData& data) {
    TokenIndex index(&data.tokens);
    for (size_t id = 0; id < data.tokens.size(); ++id) index.insert(static_cast<int32_t>(id));
    std::string joined;
    for (size_t rank = 0; rank < data.merges.size(); ++rank) {
      const std::string_view merge = data.merges[rank];
      const size_t space = merge.find(' ', 1);
      if (space == std::string_view::npos || space + 1 == merge.size()) {
        return Status(StatusCode::kCorrupt, format("tokenizer: merge ", rank, " is not two tokens: '", merge, "'"));
      }
      const std::string_view left = merge.substr(0, space), right = merge.substr(space + 1);
      joined.assign(left).append(right);
      const int32_t left_id = index.find(left), right_id = index.find(right), id = index.find(joined);
      if (left_id < 0 || right_id < 0 || id < 0) {
        return Status(StatusCode::kCorrupt,
                      format("tokenizer: merge ", rank, " ('", merge, "') needs a token that the vocabulary lacks"));
      }
      merger_.insert(left_id, right_id, {static_cast<int32_t>(rank), id});
    }
    return {};
  }

  Status encode_stretch(std::string_view text, bool, std::vector<int32_t>& ids) const override {
    std::string composed;
    if (pre_tokenizer_.traits.compose && !unicode::is_ascii(text)) {
      composed = unicode::normalise(text, unicode::NormalForm::kNfc);
      text = composed;
    }
    std::vector<size_t> ends;
    FSV_TRY(pre_tokenizer_.splitter->split(text, ends));
    BpeMerger::Scratch scratch;
    std::vector<int32_t> piece_ids;
    size_t start = 0;
    for (const size_t end : ends) {
      encode_piece(text.substr(start, end - start), piece_ids, scratch);
      ids.insert(ids.end(), piece_ids.begin(), piece_ids.end());
      start = end;
    }
    return {};
  }

  void encode_piece(std::string_view piece, std::vector<int32_t>& piece_ids, BpeMerger::Scratch& scratch) const {
    piece_ids.clear();
    if (pre_tokenizer_.traits.ignore_merges) {
      if (const int32_t id = find_token(piece); id >= 0 && !is_special(id)) {
        piece_ids.push_back(id);
        return;
      }
    }
    for (const char byte : piece) {
      // A byte without a token of its own is dropped, as Hugging Face and llama.cpp do (SmolLM2 lacks six control
      // characters): the unknown token is a control token in such vocabularies, which no text may turn into.
      if (const int32_t id = byte_ids_[static_cast<uint8_t>(byte)]; id >= 0) piece_ids.push_back(id);
    }
    merger_.merge(piece_ids, scratch);
  }

  std::string name_;
  NamedPreTokenizer pre_tokenizer_;
  BpeMerger merger_;
  std::array<int32_t, 256> byte_ids_{};
};

}  // namespace

Result<std::unique_ptr<Tokenizer>> create_byte_bpe_tokenizer(TokenizerData data) {
  FSV_ASSIGN(NamedPreTokenizer pre_tokenizer, create_pre_tokenizer(data.pre));
  if (data.merges.size() > INT32_MAX / 2) {
    return Status(StatusCode::kCorrupt, format("tokenizer: too many merges (", data.merges.size(), ")"));
  }
  std::string name = format("gpt2/", data.pre.empty() ? "default" : std::string_view(data.pre));
  auto tokenizer = std::make_unique<ByteBpeTokenizer>(std::move(name), std::move(pre_tokenizer), data.merges.size());
  FSV_TRY(tokenizer->load(std::move(data)));
  return std::unique_ptr<Tokenizer>(std::move(tokenizer));
}

}  // namespace fastserve
