// What every tokenizer shares: token attributes, end-of-generation set, special tokens around plain stretches of text.
#pragma once
#include <string_view>
#include <vector>

#include "text/special_tokens.h"
#include "text/token_index.h"
#include "text/tokenizer.h"

namespace fastserve {

// GGUF's token types.
enum class TokenType : int32_t { kNormal = 1, kUnknown = 2, kControl = 3, kUserDefined = 4, kUnused = 5, kByte = 6 };

class TokenizerBase : public Tokenizer {
 public:
  // Order of work: check the text, BOS, then special tokens and the stretches between them, EOS.
  // Control tokens are recognised with `parse_special` alone; user-defined ones (GGUF type 4, the "added, not special"
  // tokens of Hugging Face) always. Where several match, the leftmost and then the longest counts.
  Status encode(std::string_view text, const EncodeOptions& options, std::vector<int32_t>& ids) const override;
  int32_t find_token(std::string_view text) const override { return index_.find(text); }

 protected:
  TokenizerBase() : index_(&token_bytes_) {}
  // Takes what all kinds read the same way; `token_bytes_` must be set before and stay as it is.
  Status initialise(const TokenizerData& data);
  // Appends the ids of a stretch without special tokens. `after_special`: it does not begin the text.
  virtual Status encode_stretch(std::string_view text, bool after_special, std::vector<int32_t>& ids) const = 0;

  TokenType type_of(const TokenizerData& data, size_t id) const {
    return data.types.empty() ? TokenType::kNormal : static_cast<TokenType>(data.types[id]);
  }
  bool is_special(int32_t id) const { return (attributes(id) & (kTokenControl | kTokenUserDefined)) != 0; }

 private:
  void collect_end_of_generation(const TokenizerData& data);

  TokenIndex index_;
  SpecialTokens special_tokens_;
  bool add_bos_ = false, add_eos_ = false;
};

// Checks what does not depend on the kind: sizes of the arrays and ids in range.
Status check_tokenizer_data(const TokenizerData& data);

Result<std::unique_ptr<Tokenizer>> create_byte_bpe_tokenizer(TokenizerData data);

}  // namespace fastserve
