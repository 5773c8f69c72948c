// The tokens of tokenizer.json by their ids: the model's vocabulary and the added tokens together.
#pragma once
#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "base/string_table.h"
#include "text/hf_file.h"
#include "text/pipeline_tokenizer.h"
#include "text/token_index.h"

namespace fastserve {

class HfVocabulary {
 public:
  // `file` must outlive it.
  static Result<HfVocabulary> begin(const HfFile& file);
  // Reads a bounded part. True when none is left, and only then is anything else to be asked. kCorrupt when two texts
  // share an id, or ids leave more gaps than tokens would explain.
  Result<bool> step();

  size_t size() const { return places_.size(); }
  // A token's text as the file has it; empty for an id that no token has.
  std::string_view name(size_t id) const;
  bool is_special(size_t id) const { return places_[id].is_special; }
  bool is_added(size_t id) const { return places_[id].is_added; }
  // Whether the model itself has it: added tokens need not be in its vocabulary.
  bool is_in_model(size_t id) const { return places_[id].entry >= 0; }
  const std::vector<AddedToken>& added() const { return added_; }
  std::vector<AddedToken> take_added() { return std::move(added_); }
  // Scores by id, of a vocabulary with scores.
  std::vector<double> scores() const;

 private:
  struct Place {
    int32_t entry = -1;  // in the file's vocabulary
    int32_t added = -1;  // in added_
    bool is_special = false, is_added = false;
  };
  Status place_entry(size_t entry);
  Status read_added_token(const class HfNode& node);
  Status add_place(size_t id);

  const HfFile* file_ = nullptr;
  std::vector<Place> places_;  // by id
  std::vector<AddedToken> added_;
  size_t count_max_ = 0;  // of ids
  // While it is read:
  enum class Stage { kPlaces, kSlots, kEntries, kAdded };
  Stage stage_ = Stage::kPlaces;
  size_t next_ = 0;
  std::optional<TokenIndex> entries_;
};

}  // namespace fastserve
