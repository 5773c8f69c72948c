// "model" of tokenizer.json: its type and options, and the token model they make of a vocabulary.
#pragma once
#include <memory>
#include <string>
#include <vector>

#include "text/bpe_model.h"
#include "text/hf_file.h"
#include "text/hf_node.h"
#include "text/token_model.h"

namespace fastserve {

enum class HfModelType { kBpe, kUnigram, kWordPiece, kWordLevel };

struct HfModelOptions {
  HfModelType type = HfModelType::kBpe;
  std::string unknown_token;   // empty: none
  int32_t unknown_id = -1;     // found by the caller, but for Unigram
  bool byte_fallback = false;  // BPE, Unigram
  bool fuse_unknown = false, ignore_merges = false;
  std::string continuing_prefix, end_suffix;  // BPE; WordPiece's prefix
  size_t word_characters_max = 100;           // WordPiece
};

Result<HfModelOptions> read_hf_model_options(const HfNode& node, const HfFile& file);
// "BPE".
std::string_view hf_model_name(HfModelType type);
// Tokens "<0x00>" ... of `all`, an index of every token's text; -1 for those that are not there.
std::array<int32_t, 256> find_byte_tokens(const TokenIndex& all);

}  // namespace fastserve
