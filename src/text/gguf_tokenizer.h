// A tokenizer from GGUF's arrays of tokens, scores, types and merges, made in steps of bounded length.
#pragma once
#include <cstdint>
#include <memory>
#include <span>
#include <string>

#include "base/status.h"
#include "base/string_table.h"
#include "text/tokenizer.h"

namespace fastserve {

// What a tokenizer is made of, filled by engine/ from a ModelSource (text/ knows no file format). Tables are borrowed:
// they may be megabytes.
struct GgufTokenizerData {
  std::string model;  // "gpt2" (byte-level BPE), "llama" (SentencePiece), "bert", "t5"
  std::string pre;    // pre-tokeniser name: "smollm", "llama-bpe", "qwen2", "gpt-2" ...
  const StringTable* tokens = nullptr;
  std::span<const double> scores;       // may be empty
  std::span<const int64_t> types;       // GGUF token types; may be empty (all normal)
  const StringTable* merges = nullptr;  // "left right"; null: none
  int32_t bos_id = -1, eos_id = -1, eot_id = -1, unknown_id = -1, padding_id = -1;
  bool add_bos = false, add_eos = false, add_space_prefix = true;
  bool remove_extra_spaces = false;  // SentencePiece: runs of spaces count as one, none at the ends
  std::string character_map;         // SentencePiece's compiled normalisation rules
  bool lowercase = true;             // "bert"
};

class GgufTokenizerLoader {
 public:
  // The tables must outlive the loader.
  explicit GgufTokenizerLoader(GgufTokenizerData data);
  ~GgufTokenizerLoader();
  // A bounded part of the work, well under a millisecond. True when none is left. kUnsupported names the tokenizer
  // model or pre-tokeniser that is not known, kCorrupt what does not fit together.
  Result<bool> step();
  std::unique_ptr<Tokenizer> take();

 private:
  class Work;
  std::unique_ptr<Work> work_;
};

// All at once.
Result<std::unique_ptr<Tokenizer>> create_tokenizer(GgufTokenizerData data);

}  // namespace fastserve
