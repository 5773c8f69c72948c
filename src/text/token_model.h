// Token models: how a piece of text becomes ids. Immutable, used by any thread.
#pragma once
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "base/string_table.h"
#include "text/bpe_merge.h"
#include "text/token_index.h"

namespace fastserve {

// A token and the bytes of its piece that it stands for.
struct ModelToken {
  int32_t id = -1;
  uint32_t start = 0, end = 0;
};

// Working memory of one encoding.
struct ModelScratch {
  BpeScratch bpe;
  struct Step {
    double score = 0;
    uint32_t start = 0;
    int32_t id = -1;
  };
  std::vector<Step> steps;  // of a best path, by its end
};

class TokenModel {
 public:
  virtual ~TokenModel() = default;
  // Appends the tokens of `piece` (valid UTF-8, not empty).
  virtual void encode(std::string_view piece, ModelScratch& scratch, std::vector<ModelToken>& tokens) const = 0;
};

// The texts that a model matches, and their ids. Shared between a model and the tokenizer around it.
struct Vocabulary {
  StringTable texts;
  TokenIndex index{&texts};  // of the tokens that text may become: no control tokens

  Vocabulary() = default;
  Vocabulary(const Vocabulary&) = delete;
  Vocabulary& operator=(const Vocabulary&) = delete;
};

}  // namespace fastserve
