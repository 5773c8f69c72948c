// A tokenizer of tables that a test makes up, and changes at will before they are used.
#pragma once
#include <memory>
#include <string>
#include <vector>

#include "text/gguf_tokenizer.h"

namespace fastserve::test {

struct TokenizerTables {
  GgufTokenizerData data;  // its tables are those below
  std::vector<std::string> tokens, merges;
  std::vector<double> scores;
  std::vector<int64_t> types;
};

inline Result<std::unique_ptr<Tokenizer>> create_tokenizer(const TokenizerTables& tables) {
  StringTable tokens, merges;
  for (const std::string& token : tables.tokens) tokens.push_back(token);
  for (const std::string& merge : tables.merges) merges.push_back(merge);
  GgufTokenizerData data = tables.data;
  data.tokens = &tokens;
  data.merges = &merges;
  data.scores = tables.scores;
  data.types = tables.types;
  return fastserve::create_tokenizer(std::move(data));
}

}  // namespace fastserve::test
