// Ids come from the file; where the model and the list of added tokens both have a text, the model's id counts.
#include "text/hf_vocabulary.h"

#include <algorithm>

#include "base/format.h"
#include "text/hf_node.h"

namespace fastserve {
namespace {

constexpr size_t kStepEntries = 4096, kStepAdded = 256;

Status corrupt(std::string_view text) { return Status(StatusCode::kCorrupt, format("tokenizer.json: ", text)); }

}  // namespace

Result<HfVocabulary> HfVocabulary::begin(const HfFile& file) {
  HfVocabulary vocabulary;
  vocabulary.file_ = &file;
  const size_t count = file.tokens.size() + file.rest.root()["added_tokens"].size();
  if (count == 0) return corrupt("the vocabulary is empty");
  vocabulary.count_max_ = 4 * count + 65536;
  vocabulary.places_.reserve(count);
  return vocabulary;
}

Result<bool> HfVocabulary::step() {
  const size_t count = file_->tokens.size(), end = std::min(count, next_ + kStepEntries);
  const HfNode list(file_->rest.root()["added_tokens"], "added_tokens");
  const size_t added_count = list.value().size(), added_end = std::min(added_count, next_ + kStepAdded);
  switch (stage_) {
    case Stage::kPlaces:
      for (; next_ < end; ++next_) FSV_TRY(place_entry(next_));
      if (next_ < count) return false;
      entries_.emplace(&file_->tokens);
      stage_ = Stage::kSlots;
      return false;
    case Stage::kSlots:
      if (!entries_->fill_part()) return false;
      next_ = 0;
      stage_ = Stage::kEntries;
      return false;
    case Stage::kEntries:  // of equal texts the last counts
      for (; next_ < end; ++next_) entries_->insert(static_cast<int32_t>(count - 1 - next_));
      if (next_ < count) return false;
      next_ = 0;
      stage_ = Stage::kAdded;
      return false;
    case Stage::kAdded:
      for (; next_ < added_end; ++next_) FSV_TRY(read_added_token(list.element(next_)));
      if (next_ < added_count) return false;
      entries_.reset();
      return true;
  }
  return true;
}

Status HfVocabulary::add_place(size_t id) {
  if (id >= count_max_) return corrupt(format("token id ", id, " leaves too many ids without tokens"));
  if (id >= places_.size()) places_.resize(id + 1);
  return {};
}

Status HfVocabulary::place_entry(size_t entry) {
  const size_t id = file_->vocabulary_is_list ? entry : static_cast<size_t>(file_->ids[entry]);
  FSV_TRY(add_place(id));
  Place& place = places_[id];
  if (place.entry >= 0) {
    return corrupt(format("model: '", file_->tokens[static_cast<size_t>(place.entry)], "' and '", file_->tokens[entry],
                          "' both have the id ", id));
  }
  place.entry = static_cast<int32_t>(entry);
  return {};
}

Status HfVocabulary::read_added_token(const HfNode& node) {
  AddedToken token;
  FSV_ASSIGN(token.text, node.text("content"));
  if (token.text.empty()) return {};  // matches nothing
  FSV_ASSIGN(const int64_t stated, node.integer("id", -1));
  if (stated < 0 || stated > INT32_MAX) return node.corrupt("\"id\" is missing or out of range");
  FSV_ASSIGN(token.control, node.flag("special", false));
  FSV_ASSIGN(token.strips_left, node.flag("lstrip", false));
  FSV_ASSIGN(token.strips_right, node.flag("rstrip", false));
  FSV_ASSIGN(token.single_word, node.flag("single_word", false));
  FSV_ASSIGN(token.normalized, node.flag("normalized", !token.control));
  size_t id = static_cast<size_t>(stated);
  if (const int32_t entry = entries_->find(token.text); entry >= 0) {
    id = file_->vocabulary_is_list ? static_cast<size_t>(entry)
                                   : static_cast<size_t>(file_->ids[static_cast<size_t>(entry)]);
  }
  FSV_TRY(add_place(id));
  Place& place = places_[id];
  if (place.is_added ? added_[static_cast<size_t>(place.added)].text != token.text
                     : place.entry >= 0 && file_->tokens[static_cast<size_t>(place.entry)] != token.text) {
    return node.corrupt(format("'", token.text, "' has the id ", id, " of another token"));
  }
  place.is_special = token.control;
  place.is_added = true;
  token.id = static_cast<int32_t>(id);
  place.added = static_cast<int32_t>(added_.size());
  added_.push_back(std::move(token));
  return {};
}

std::string_view HfVocabulary::name(size_t id) const {
  const Place& place = places_[id];
  if (place.entry >= 0) return file_->tokens[static_cast<size_t>(place.entry)];
  return place.added >= 0 ? std::string_view(added_[static_cast<size_t>(place.added)].text) : std::string_view();
}

std::vector<double> HfVocabulary::scores() const {
  std::vector<double> scores(size(), 0);
  for (size_t id = 0; id < size() && id < file_->scores.size(); ++id) scores[id] = file_->scores[id];
  return scores;
}

}  // namespace fastserve
