// tokenizer.json as it is read: the vocabulary and the merges, which may be tens of megabytes, go into tables; all the
// rest becomes a small document.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"
#include "base/json_events.h"
#include "base/json_writer.h"
#include "base/status.h"
#include "base/string_table.h"

namespace fastserve {

struct HfFile {
  json::Document rest;  // without "vocab" and "merges" of "model"
  StringTable tokens;   // in file order
  std::vector<int32_t> ids;
  std::vector<double> scores;  // where the vocabulary is a list of pairs (Unigram); ids then count from 0
  StringTable merges;          // two parts a merge
  bool vocabulary_is_list = false, has_merges = false;
};

// Takes the file in pieces that may be cut anywhere.
class HfFileReader final : private json::Events {
 public:
  HfFileReader() : parser_(*this) {}
  // kCorrupt names the place.
  Status push(std::string_view piece);
  Result<HfFile> finish();

 private:
  enum class Place { kOther, kRoot, kModel, kVocabulary, kVocabularyList, kVocabularyPair, kMerges, kMergePair };

  Status begin_object() override;
  Status end_object() override;
  Status begin_array() override;
  Status end_array() override;
  Status key(std::string_view name) override;
  Status string(std::string_view text) override;
  Status number(std::string_view text) override;
  Status boolean(bool value) override;
  Status null() override;

  Place top() const { return places_.empty() ? Place::kOther : places_.back(); }
  bool in_table() const { return top() >= Place::kVocabulary; }
  bool begins(Place parent, std::string_view name) const { return top() == parent && key_ == name; }
  bool expects_table() const { return begins(Place::kModel, "vocab") || begins(Place::kModel, "merges"); }
  Status begin_table(Place place, bool& seen);
  Status check_rest() const;
  Status check_tables(size_t bytes_more) const;

  HfFile file_;
  JsonWriter rest_;
  uint64_t rest_bytes_ = 0;
  std::vector<Place> places_;
  std::string key_;   // of the value to come
  size_t parts_ = 0;  // of the pair that is being read
  bool has_vocabulary_ = false;
  json::EventParser parser_;
};

}  // namespace fastserve
