// WordPiece: the longest token first, from left to right; a word that does not work out is the unknown token.
#pragma once
#include <memory>
#include <string>

#include "text/token_model.h"

namespace fastserve {

struct WordPieceOptions {
  int32_t unknown_id = -1;
  std::string continuing_prefix = "##";  // of tokens that continue a word
  size_t word_characters_max = 100;      // a longer word is unknown
};

std::unique_ptr<TokenModel> create_wordpiece_model(std::shared_ptr<const Vocabulary> vocabulary,
                                                   WordPieceOptions options);
// What a word's token stands for in a running text: " word", without the space before some punctuation and
// contractions.
std::string wordpiece_text(std::string_view spaced_word);

// Whole pieces are tokens or unknown.
std::unique_ptr<TokenModel> create_word_level_model(std::shared_ptr<const Vocabulary> vocabulary, int32_t unknown_id);

}  // namespace fastserve
