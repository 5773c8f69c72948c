// Pre-tokenisers: how a text is cut into pieces before a token model sees them.
#pragma once
#include <cstddef>
#include <memory>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "text/aligned_text.h"

namespace fastserve {

class PreTokenizer {
 public:
  virtual ~PreTokenizer() = default;
  // Cuts each of the pieces further; may change the text.
  virtual Status apply(PieceList& list) const = 0;
};

// One that looks at each piece by itself and covers it without gaps.
class PatternPreTokenizer : public PreTokenizer {
 public:
  // Appends the end of each piece of `text` (valid UTF-8).
  virtual Status split(std::string_view text, std::vector<size_t>& ends) const = 0;
  Status apply(PieceList& list) const final;
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

// The common patterns as code (pre_tokenizer.cpp): GPT-2's; the same after taking every number alone; Llama 3's, which
// takes up to three digits together, as Qwen 2's takes one.
std::unique_ptr<PreTokenizer> create_gpt2_pre_tokenizer();
std::unique_ptr<PreTokenizer> create_smollm_pre_tokenizer();
std::unique_ptr<PreTokenizer> create_llama3_pre_tokenizer(int number_size_max);

// By the name in "tokenizer.ggml.pre"; kUnsupported names one that is not known.
Result<NamedPreTokenizer> create_pre_tokenizer(std::string_view name);
std::vector<std::string_view> pre_tokenizer_names();

}  // namespace fastserve
