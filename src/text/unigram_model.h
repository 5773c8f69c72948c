// Unigram (SentencePiece): the sequence of tokens with the best sum of scores.
#pragma once
#include <memory>
#include <optional>
#include <vector>

#include "text/stepped_sort.h"
#include "text/token_model.h"

namespace fastserve {

struct UnigramOptions {
  int32_t unknown_id = -1;
  std::vector<int32_t> byte_ids;  // 256 tokens of single bytes for unknown characters; empty: none
  bool single_precision = false;  // sums of scores as SentencePiece rounds them; else as Hugging Face does: ties differ
};

// Makes the model in parts.
class UnigramBuilder {
 public:
  // `scores` has one for each token. Only the tokens of the vocabulary's index are used.
  UnigramBuilder(std::shared_ptr<const Vocabulary> vocabulary, std::vector<double> scores, UnigramOptions options);
  // A bounded part of the work. True when none is left.
  bool step();
  std::unique_ptr<TokenModel> finish();

 private:
  struct Before {
    const StringTable* texts;
    bool operator()(int32_t a, int32_t b) const {
      return (*texts)[static_cast<size_t>(a)] < (*texts)[static_cast<size_t>(b)];
    }
  };

  std::shared_ptr<const Vocabulary> vocabulary_;
  std::vector<double> scores_;
  UnigramOptions options_;
  size_t looked_at_ = 0;
  double worst_;
  std::vector<int32_t> used_;  // ids; at the end sorted by their texts
  std::optional<SteppedSort<int32_t, Before>> sort_;
};

}  // namespace fastserve
