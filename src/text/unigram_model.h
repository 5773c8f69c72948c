// Unigram (SentencePiece): the sequence of tokens with the best sum of scores.
#pragma once
#include <memory>
#include <vector>

#include "text/token_model.h"

namespace fastserve {

struct UnigramOptions {
  int32_t unknown_id = -1;
  std::vector<int32_t> byte_ids;  // 256 tokens of single bytes for unknown characters; empty: none
  bool single_precision = false;  // sums of scores as SentencePiece rounds them; else as Hugging Face does: ties differ
};

// `scores` has one for each token. Only the tokens of the vocabulary's index are used.
std::unique_ptr<TokenModel> create_unigram_model(std::shared_ptr<const Vocabulary> vocabulary,
                                                 std::vector<double> scores, UnigramOptions options);

}  // namespace fastserve
