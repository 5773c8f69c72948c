// Ids come from the file; where the model and the list of added tokens both have a text, the model's id counts.
#include "text/hf_vocabulary.h"

#include "base/format.h"
#include "text/hf_node.h"

namespace fastserve {
namespace {

Status corrupt(std::string_view text) { return Status(StatusCode::kCorrupt, format("tokenizer.json: ", text)); }

}  // namespace

Result<HfVocabulary> HfVocabulary::read(const HfFile& file) {
  HfVocabulary vocabulary;
  vocabulary.file_ = &file;
  const size_t count = file.tokens.size() + file.rest.root()["added_tokens"].size();
  if (count == 0) return corrupt("the vocabulary is empty");
  vocabulary.count_max_ = 4 * count + 65536;
  FSV_TRY(vocabulary.place_entries());
  FSV_TRY(vocabulary.read_added());
  return vocabulary;
}

Status HfVocabulary::add_place(size_t id) {
  if (id >= count_max_) return corrupt(format("token id ", id, " leaves too many ids without tokens"));
  if (id >= places_.size()) places_.resize(id + 1);
  return {};
}

Status HfVocabulary::place_entries() {
  for (size_t entry = 0; entry < file_->tokens.size(); ++entry) {
    const size_t id = file_->vocabulary_is_list ? entry : static_cast<size_t>(file_->ids[entry]);
    FSV_TRY(add_place(id));
    Place& place = places_[id];
    if (place.entry >= 0) {
      return corrupt(format("model: '", file_->tokens[static_cast<size_t>(place.entry)], "' and '",
                            file_->tokens[entry], "' both have the id ", id));
    }
    place.entry = static_cast<int32_t>(entry);
  }
  return {};
}

Status HfVocabulary::read_added() {
  TokenIndex entries(&file_->tokens);
  // Of equal texts the last counts.
  for (size_t entry = file_->tokens.size(); entry-- > 0;) entries.insert(static_cast<int32_t>(entry));
  const HfNode list(file_->rest.root()["added_tokens"], "added_tokens");
  for (size_t i = 0; i < list.value().size(); ++i) FSV_TRY(read_added_token(list.element(i), entries));
  return {};
}

Status HfVocabulary::read_added_token(const HfNode& node, const TokenIndex& entries) {
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
  if (const int32_t entry = entries.find(token.text); entry >= 0) {
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
