// The one tokenizer: added tokens, then normaliser, pre-tokeniser and token model over what lies between them.
// GGUF metadata (tokenizer_from_gguf.cpp) and tokenizer.json (tokenizer_json.cpp) only choose the parts.
#pragma once
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "text/normalizer.h"
#include "text/pre_tokenizer.h"
#include "text/special_tokens.h"
#include "text/token_model.h"
#include "text/tokenizer.h"

namespace fastserve {

// A token that is written as it is. Control tokens are recognised where the caller asks, the others always: they are
// llama.cpp's user-defined tokens (GGUF type 4) and Hugging Face's added tokens that are not special.
struct AddedToken {
  int32_t id = -1;
  std::string text;
  bool control = false;
  bool strips_left = false, strips_right = false;  // takes white space beside it along
  bool single_word = false;                        // only between characters that are no part of a word
  bool normalized = false;                         // looked for in the normalised text
};

struct Pipeline {
  std::string name;
  std::shared_ptr<const Vocabulary> vocabulary;
  std::shared_ptr<const StringTable> token_bytes, first_token_bytes;  // the second may be null, see Tokenizer
  std::vector<uint32_t> attributes;                                   // without kTokenEndOfGeneration
  std::vector<AddedToken> added;
  std::unique_ptr<Normalizer> normalizer;       // may be null
  std::unique_ptr<PreTokenizer> pre_tokenizer;  // may be null
  std::unique_ptr<TokenModel> model;
  std::vector<int32_t> prefix_ids, suffix_ids;  // what add_bos_eos adds
  int32_t bos_id = -1, eos_id = -1, eot_id = -1;
  std::vector<int32_t> end_ids;  // of generation, besides eos, eot and those known by their text
  int leading_spaces_dropped = 0;
  bool drops_last_space = false;
};

// Makes the tokenizer in parts: some vocabularies have thousands of added tokens.
class PipelineBuilder {
 public:
  explicit PipelineBuilder(Pipeline pipeline);
  ~PipelineBuilder();
  // A bounded part of the work. True when none is left.
  bool step();
  std::unique_ptr<Tokenizer> finish();

 private:
  std::unique_ptr<class PipelineTokenizer> tokenizer_;
};

}  // namespace fastserve
