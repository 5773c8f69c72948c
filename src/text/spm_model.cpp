// Two neighbours merge when their joint text is a token, the one of best score first.
#include "text/spm_model.h"

#include <algorithm>
#include <numeric>
#include <utility>

#include "text/unicode.h"

namespace fastserve {
namespace {

class SpmModel final : public TokenModel {
 public:
  SpmModel(std::shared_ptr<const Vocabulary> vocabulary, std::vector<int32_t> ranks, std::vector<int32_t> byte_ids,
           int32_t unknown_id)
      : vocabulary_(std::move(vocabulary)),
        ranks_(std::move(ranks)),
        byte_ids_(std::move(byte_ids)),
        unknown_id_(unknown_id) {}

  void encode(std::string_view piece, ModelScratch& scratch, std::vector<ModelToken>& tokens) const override {
    std::vector<BpeSymbol>& symbols = scratch.bpe.symbols;
    symbols.clear();
    for (size_t start = 0; start < piece.size();) {
      const uint32_t size = unicode::read_valid(piece.data() + start).size_bytes;
      symbols.push_back({vocabulary_->index.find(piece.substr(start, size)), static_cast<uint32_t>(start), size});
      start += size;
    }
    merge_symbols(scratch.bpe, [&](const BpeSymbol& left, const BpeSymbol& right) {
      const int32_t id = vocabulary_->index.find(piece.substr(left.start, left.size_bytes + right.size_bytes));
      return id < 0 ? BpeMerge{} : BpeMerge{ranks_[static_cast<size_t>(id)], id};
    });
    bool after_unknown = false;
    for (const BpeSymbol& symbol : symbols) {
      if (symbol.id >= 0) {
        tokens.push_back({symbol.id, symbol.start, symbol.start + symbol.size_bytes});
        after_unknown = false;
      } else {
        after_unknown = add_unknown(piece, symbol, after_unknown, tokens);
      }
    }
  }

 private:
  // Bytes if the vocabulary has them, else the unknown token, one for neighbours. Returns whether it was that.
  bool add_unknown(std::string_view piece, const BpeSymbol& symbol, bool after_unknown,
                   std::vector<ModelToken>& tokens) const {
    const std::string_view bytes = piece.substr(symbol.start, symbol.size_bytes);
    const bool all =
        std::all_of(bytes.begin(), bytes.end(), [&](char byte) { return byte_ids_[static_cast<uint8_t>(byte)] >= 0; });
    if (all) {
      for (uint32_t i = 0; i < symbol.size_bytes; ++i) {
        tokens.push_back({byte_ids_[static_cast<uint8_t>(bytes[i])], symbol.start + i, symbol.start + i + 1});
      }
      return false;
    }
    if (after_unknown) {
      tokens.back().end += symbol.size_bytes;
    } else if (unknown_id_ >= 0) {
      tokens.push_back({unknown_id_, symbol.start, symbol.start + symbol.size_bytes});
    }
    return unknown_id_ >= 0;
  }

  std::shared_ptr<const Vocabulary> vocabulary_;
  std::vector<int32_t> ranks_;
  std::vector<int32_t> byte_ids_;
  int32_t unknown_id_;
};

// Ranks in descending order of score; equal scores share one. A score that is not a number comes last.
std::vector<int32_t> ranks_of(const std::vector<float>& scores) {
  const auto better = [&](int32_t a, int32_t b) {
    const float left = scores[static_cast<size_t>(a)], right = scores[static_cast<size_t>(b)];
    if (left != left || right != right) return left == left && right != right;
    return left > right;
  };
  std::vector<int32_t> order(scores.size());
  std::iota(order.begin(), order.end(), 0);
  std::sort(order.begin(), order.end(), better);
  std::vector<int32_t> ranks(scores.size());
  for (size_t i = 0; i < order.size(); ++i) {
    const bool same = i > 0 && !better(order[i - 1], order[i]);
    ranks[static_cast<size_t>(order[i])] = same ? ranks[static_cast<size_t>(order[i - 1])] : static_cast<int32_t>(i);
  }
  return ranks;
}

}  // namespace

std::unique_ptr<TokenModel> create_spm_model(std::shared_ptr<const Vocabulary> vocabulary,
                                             const std::vector<float>& scores, const std::vector<int32_t>& byte_ids,
                                             int32_t unknown_id) {
  return std::make_unique<SpmModel>(std::move(vocabulary), ranks_of(scores), byte_ids, unknown_id);
}

}  // namespace fastserve
