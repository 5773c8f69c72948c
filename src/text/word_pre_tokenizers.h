// Pre-tokenisers of words: BERT's, white space, digits, punctuation, and those that change spaces.
#pragma once
#include <memory>
#include <string>

#include "text/split_pre_tokenizer.h"

namespace fastserve {

// Words without the white space between them; punctuation alone.
std::unique_ptr<PreTokenizer> create_bert_pre_tokenizer();
std::unique_ptr<PreTokenizer> create_white_space_pre_tokenizer();
std::unique_ptr<PreTokenizer> create_punctuation_pre_tokenizer(SplitBehavior behavior);
std::unique_ptr<PreTokenizer> create_digits_pre_tokenizer(bool individual);
// Runs of word characters and runs of others, without white space.
Result<std::unique_ptr<PreTokenizer>> create_word_pre_tokenizer();

enum class PrependScheme { kNever, kFirst, kAlways };
// Writes `mark` for each space, puts one before a piece that lacks it, and cuts before each mark if `split`.
std::unique_ptr<PreTokenizer> create_metaspace_pre_tokenizer(std::string mark, PrependScheme scheme, bool split);
// Writes the bytes of each piece as GPT-2's printable characters.
std::unique_ptr<PreTokenizer> create_byte_level_pre_tokenizer();
// Pieces of `length` characters (at least 1), the last of a piece may be shorter.
std::unique_ptr<PreTokenizer> create_fixed_length_pre_tokenizer(size_t length);
// Puts a space before each piece that lacks one.
std::unique_ptr<PreTokenizer> create_space_prefix_pre_tokenizer();

}  // namespace fastserve
