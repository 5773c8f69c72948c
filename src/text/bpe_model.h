// BPE with a table of merges, over bytes (GPT-2 and its kin) or over characters.
#pragma once
#include <array>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/status.h"
#include "text/merge_table.h"
#include "text/token_model.h"

namespace fastserve {

struct BpeOptions {
  bool byte_level = false;     // symbols are bytes; texts of the vocabulary are the bytes themselves
  bool ignore_merges = false;  // a piece that is a token as it stands is taken without merging
  // Of characters (or bytes) that the vocabulary lacks:
  bool byte_fallback = false;                 // take the tokens <0x00> ... instead, if all of them are there
  int32_t unknown_id = -1;                    // else this; -1: drop them
  bool fuse_unknown = false;                  // one unknown token for neighbours
  std::string continuing_prefix, end_suffix;  // written before all symbols but the first, after the last one
  std::array<int32_t, 256> byte_ids;          // tokens of single bytes, -1: none
  BpeOptions() { byte_ids.fill(-1); }
};

// Makes the model merge by merge, so that a caller may do so in parts.
class BpeBuilder {
 public:
  // Call fill_part() until it is true, before merges are added.
  BpeBuilder(std::shared_ptr<const Vocabulary> vocabulary, size_t merge_count, BpeOptions options);
  bool fill_part() { return merges_.fill_part(); }
  // The next merge. kCorrupt when its parts or its result are no tokens: not in `all`, an index of every token. One
  // with tokens that text may not become (in `all`, not in the vocabulary's index) is left out.
  Status add(std::string_view left, std::string_view right, const TokenIndex& all);
  std::unique_ptr<TokenModel> finish();

 private:
  // What `part` of a merge stands for; `bytes` may come to hold it.
  std::string_view text_of(std::string_view part, std::string& bytes) const;

  std::shared_ptr<const Vocabulary> vocabulary_;
  BpeOptions options_;
  MergeTable merges_;
  int32_t rank_ = 0;
  std::string joined_;  // reused from merge to merge
};

// Cuts "left right" at its space; false when it is not two parts.
bool split_merge(std::string_view merge, std::string_view& left, std::string_view& right);

}  // namespace fastserve
