// Pre-tokenisers that cut a text where something matches, in the ways of Hugging Face's `Split`.
#pragma once
#include <memory>
#include <string>
#include <vector>

#include "text/pre_tokenizer.h"
#include "text/regex.h"

namespace fastserve {

// What becomes of a match.
enum class SplitBehavior { kRemoved, kIsolated, kMergedWithPrevious, kMergedWithNext, kContiguous };

// Finds what to cut at, in one piece; appends matches in order. An empty one is a place to cut.
class Matcher {
 public:
  virtual ~Matcher() = default;
  virtual Status find_all(std::string_view text, std::vector<TextRange>& matches) const = 0;
};

std::unique_ptr<Matcher> create_regex_matcher(Regex regex);
std::unique_ptr<Matcher> create_literal_matcher(std::string literal);
// Each code point for which `wanted` holds.
std::unique_ptr<Matcher> create_code_point_matcher(bool (*wanted)(uint32_t code_point));

// `invert`: what does not match counts as the match.
std::unique_ptr<PreTokenizer> create_split_pre_tokenizer(std::unique_ptr<Matcher> matcher, SplitBehavior behavior,
                                                         bool invert);
std::unique_ptr<PreTokenizer> create_sequence_pre_tokenizer(std::vector<std::unique_ptr<PreTokenizer>> steps);

}  // namespace fastserve
