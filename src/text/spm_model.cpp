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

}  // namespace

// A score that is not a number comes last.
bool SpmBuilder::Better::operator()(int32_t a, int32_t b) const {
  const double left = scores[static_cast<size_t>(a)], right = scores[static_cast<size_t>(b)];
  if (left != left || right != right) return left == left && right != right;
  return left > right;
}

SpmBuilder::SpmBuilder(std::shared_ptr<const Vocabulary> vocabulary, std::span<const double> scores,
                       std::vector<int32_t> byte_ids, int32_t unknown_id)
    : vocabulary_(std::move(vocabulary)),
      better_{scores},
      byte_ids_(std::move(byte_ids)),
      unknown_id_(unknown_id),
      ranks_(scores.size()) {
  std::vector<int32_t> ids(scores.size());
  std::iota(ids.begin(), ids.end(), 0);
  sort_.emplace(std::move(ids), better_);
}

// Ranks in descending order of score; equal scores share one.
bool SpmBuilder::step() {
  constexpr size_t kStepItems = 16384;
  if (sort_.has_value()) {
    if (!sort_->step()) return false;
    order_ = sort_->take();
    sort_.reset();
    return false;
  }
  for (const size_t end = std::min(order_.size(), ranked_ + kStepItems); ranked_ < end; ++ranked_) {
    const bool same = ranked_ > 0 && !better_(order_[ranked_ - 1], order_[ranked_]);
    ranks_[static_cast<size_t>(order_[ranked_])] =
        same ? ranks_[static_cast<size_t>(order_[ranked_ - 1])] : static_cast<int32_t>(ranked_);
  }
  return ranked_ == order_.size();
}

std::unique_ptr<TokenModel> SpmBuilder::finish() {
  return std::make_unique<SpmModel>(std::move(vocabulary_), std::move(ranks_), std::move(byte_ids_), unknown_id_);
}

}  // namespace fastserve
