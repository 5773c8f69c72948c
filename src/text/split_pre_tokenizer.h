// Pre-tokenisers that cut a text where something matches, in the ways of Hugging Face's `Split`.
#pragma once
#include <memory>
#include <string>
#include <vector>

#include "text/matcher.h"
#include "text/pre_tokenizer.h"

namespace fastserve {

// What becomes of a match.
enum class SplitBehavior { kRemoved, kIsolated, kMergedWithPrevious, kMergedWithNext, kContiguous };

// `invert`: what does not match counts as the match.
std::unique_ptr<PreTokenizer> create_split_pre_tokenizer(std::unique_ptr<Matcher> matcher, SplitBehavior behavior,
                                                         bool invert);
std::unique_ptr<PreTokenizer> create_sequence_pre_tokenizer(std::vector<std::unique_ptr<PreTokenizer>> steps);

}  // namespace fastserve
