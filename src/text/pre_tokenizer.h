// Pre-tokenisers: how a text is cut into pieces before byte pair merging. Written by hand for the common patterns.
#pragma once
#include <cstddef>
#include <memory>
#include <string_view>
#include <vector>

#include "base/status.h"

namespace fastserve {

class PreTokenizer {
 public:
  virtual ~PreTokenizer() = default;
  // Appends the end of each piece of `text` (valid UTF-8); the pieces cover the text without gaps.
  virtual Status split(std::string_view text, std::vector<size_t>& ends) const = 0;
};

// What a pre-tokeniser's name stands for besides its pattern.
struct PreTokenizerTraits {
  bool ignore_merges = false;  // a piece that is a token as it stands is taken without merging
  bool compose = false;        // the text is put into normal form C first
};

struct NamedPreTokenizer {
  std::unique_ptr<PreTokenizer> splitter;
  PreTokenizerTraits traits;
};

// By the name in "tokenizer.ggml.pre"; kUnsupported names one that is not known.
Result<NamedPreTokenizer> create_pre_tokenizer(std::string_view name);

}  // namespace fastserve
