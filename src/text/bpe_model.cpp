// BPE: a piece's bytes or characters become symbols, the table says which of them merge.
#include "text/bpe_model.h"

#include <optional>

#include "base/format.h"
#include "text/byte_level.h"
#include "text/unicode.h"

namespace fastserve {
namespace {

class BpeModel final : public TokenModel {
 public:
  BpeModel(std::shared_ptr<const Vocabulary> vocabulary, BpeOptions options, MergeTable merges)
      : vocabulary_(std::move(vocabulary)), options_(std::move(options)), merges_(std::move(merges)) {}

  void encode(std::string_view piece, ModelScratch& scratch, std::vector<ModelToken>& tokens) const override {
    if (options_.ignore_merges) {
      if (const int32_t id = vocabulary_->index.find(piece); id >= 0) {
        tokens.push_back({id, 0, static_cast<uint32_t>(piece.size())});
        return;
      }
    }
    scratch.bpe.symbols.clear();
    if (options_.byte_level) {
      add_bytes(piece, scratch.bpe.symbols);
    } else {
      add_characters(piece, scratch.bpe.symbols);
    }
    merge_symbols(scratch.bpe,
                  [this](const BpeSymbol& left, const BpeSymbol& right) { return merges_.find(left.id, right.id); });
    for (const BpeSymbol& symbol : scratch.bpe.symbols) {
      tokens.push_back({symbol.id, symbol.start, symbol.start + symbol.size_bytes});
    }
  }

 private:
  // A byte without a token of its own becomes the unknown token, or is dropped where there is none.
  void add_bytes(std::string_view piece, std::vector<BpeSymbol>& symbols) const {
    bool after_unknown = false;
    for (size_t i = 0; i < piece.size(); ++i) {
      const int32_t id = options_.byte_ids[static_cast<uint8_t>(piece[i])];
      if (id >= 0) {
        symbols.push_back({id, static_cast<uint32_t>(i), 1});
        after_unknown = false;
      } else {
        add_unknown(static_cast<uint32_t>(i), 1, after_unknown, symbols);
      }
    }
  }

  void add_unknown(uint32_t start, uint32_t size, bool& after_unknown, std::vector<BpeSymbol>& symbols) const {
    const bool known = options_.unknown_id < 0 || (after_unknown && options_.fuse_unknown);
    after_unknown = options_.unknown_id >= 0;
    if (!known) {
      symbols.push_back({options_.unknown_id, start, size});
    } else if (!symbols.empty()) {
      symbols.back().size_bytes += size;  // so that positions stay right
    }
  }

  void add_characters(std::string_view piece, std::vector<BpeSymbol>& symbols) const {
    std::string affixed;
    bool after_unknown = false;
    for (size_t start = 0; start < piece.size();) {
      const uint32_t size = unicode::read_valid(piece.data() + start).size_bytes;
      const bool last = start + size == piece.size();
      std::string_view character = piece.substr(start, size);
      const bool prefixed = start > 0 && !options_.continuing_prefix.empty();
      if (prefixed || (last && !options_.end_suffix.empty())) {
        affixed.assign(prefixed ? options_.continuing_prefix : "").append(character);
        if (last) affixed += options_.end_suffix;
        character = affixed;
      }
      const uint32_t at = static_cast<uint32_t>(start);
      start += size;
      if (const int32_t id = vocabulary_->index.find(character); id >= 0) {
        symbols.push_back({id, at, size});
        after_unknown = false;
      } else if (options_.byte_fallback && has_byte_tokens(character)) {
        add_byte_tokens(character, at, size, symbols);
        after_unknown = false;
      } else {
        add_unknown(at, size, after_unknown, symbols);
      }
    }
  }

  bool has_byte_tokens(std::string_view bytes) const {
    for (const char byte : bytes) {
      if (options_.byte_ids[static_cast<uint8_t>(byte)] < 0) return false;
    }
    return true;
  }

  // The bytes may be more than the character's when an affix was added: the last one takes the rest.
  void add_byte_tokens(std::string_view bytes, uint32_t start, uint32_t size, std::vector<BpeSymbol>& symbols) const {
    for (size_t i = 0; i < bytes.size() && i < size; ++i) {
      symbols.push_back({options_.byte_ids[static_cast<uint8_t>(bytes[i])], start + static_cast<uint32_t>(i), 1});
    }
  }

  std::shared_ptr<const Vocabulary> vocabulary_;
  BpeOptions options_;
  MergeTable merges_;
};

}  // namespace

bool split_merge(std::string_view merge, std::string_view& left, std::string_view& right) {
  const size_t space = merge.empty() ? std::string_view::npos : merge.find(' ', 1);
  if (space == std::string_view::npos || space + 1 == merge.size()) return false;
  left = merge.substr(0, space);
  right = merge.substr(space + 1);
  return true;
}

BpeBuilder::BpeBuilder(std::shared_ptr<const Vocabulary> vocabulary, size_t merge_count, BpeOptions options)
    : vocabulary_(std::move(vocabulary)), options_(std::move(options)), merges_(merge_count) {}

// Merges name byte-level tokens by their printable form.
std::string_view BpeBuilder::text_of(std::string_view part, std::string& bytes) const {
  if (!options_.byte_level) return part;
  std::optional<std::string> decoded = byte_level_decode(part);
  if (!decoded) return part;
  bytes = std::move(*decoded);
  return bytes;
}

Status BpeBuilder::add(std::string_view left_part, std::string_view right_part, const TokenIndex& all) {
  const int32_t rank = rank_++;
  std::string left_bytes, right_bytes;
  const std::string_view left = text_of(left_part, left_bytes), right = text_of(right_part, right_bytes);
  std::string_view joined_right = right;
  if (!options_.continuing_prefix.empty() && joined_right.starts_with(options_.continuing_prefix)) {
    joined_right.remove_prefix(options_.continuing_prefix.size());
  }
  joined_.assign(left).append(joined_right);
  const TokenIndex& index = vocabulary_->index;
  const int32_t left_id = index.find(left), right_id = index.find(right), id = index.find(joined_);
  if (left_id >= 0 && right_id >= 0 && id >= 0) {
    merges_.insert(left_id, right_id, {rank, id});
    return {};
  }
  if (all.find(left) >= 0 && all.find(right) >= 0 && all.find(joined_) >= 0) return {};
  return Status(StatusCode::kCorrupt, format("tokenizer: merge ", rank, " ('", left_part, " ", right_part,
                                             "') needs a token that the vocabulary lacks"));
}

std::unique_ptr<TokenModel> BpeBuilder::finish() {
  return std::make_unique<BpeModel>(std::move(vocabulary_), std::move(options_), std::move(merges_));
}

}  // namespace fastserve
