// SentencePiece's BPE: pieces merge by their scores, characters that no piece covers become bytes.
#pragma once
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "text/stepped_sort.h"
#include "text/token_model.h"

namespace fastserve {

// Makes the model in parts: tokens are ranked by their scores.
class SpmBuilder {
 public:
  // `scores` has one for each token and must outlive the builder; `byte_ids` the tokens of single bytes, -1: none.
  SpmBuilder(std::shared_ptr<const Vocabulary> vocabulary, std::span<const double> scores,
             std::vector<int32_t> byte_ids, int32_t unknown_id);
  // A bounded part of the work. True when none is left.
  bool step();
  std::unique_ptr<TokenModel> finish();

 private:
  struct Better {
    std::span<const double> scores;
    bool operator()(int32_t a, int32_t b) const;
  };

  std::shared_ptr<const Vocabulary> vocabulary_;
  Better better_;
  std::vector<int32_t> byte_ids_;
  int32_t unknown_id_;
  std::optional<SteppedSort<int32_t, Better>> sort_;  // until the order is known
  std::vector<int32_t> order_;                        // ids, the best first
  std::vector<int32_t> ranks_;
  size_t ranked_ = 0;
};

}  // namespace fastserve
