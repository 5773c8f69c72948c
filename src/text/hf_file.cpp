// A stack of places says what each event means; two kinds of table, everything else is written anew as JSON.
#include "text/hf_file.h"

#include <charconv>

#include "base/format.h"
#include "text/bpe_model.h"

namespace fastserve {
namespace {

constexpr uint64_t kRestBytesMax = uint64_t{64} << 20;
constexpr uint64_t kTableBytesMax = uint64_t{1} << 30;

template <typename Number>
bool parse_number(std::string_view text, Number& number) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  return error == std::errc() && end == text.data() + text.size();
}

Status corrupt(std::string_view text) { return Status(StatusCode::kCorrupt, std::string(text)); }

}  // namespace

Status HfFileReader::push(std::string_view piece) { return parser_.push(piece); }

Result<HfFile> HfFileReader::finish() {
  FSV_TRY(parser_.finish());
  const std::string text = rest_.take();
  FSV_ASSIGN(file_.rest, json::parse(text, "its parts"));
  if (!file_.rest.root()["model"].is_object()) return corrupt("\"model\" is missing");
  if (!has_vocabulary_) return corrupt("model: \"vocab\" is missing");
  return std::move(file_);
}

Status HfFileReader::check_rest() const {
  if (rest_bytes_ <= kRestBytesMax) return {};
  return Status(StatusCode::kUnsupported, "holds more than 64 MiB beside vocabulary and merges");
}

Status HfFileReader::check_tables(size_t bytes_more) const {
  if (file_.tokens.size_bytes() + file_.merges.size_bytes() + bytes_more <= kTableBytesMax) return {};
  return Status(StatusCode::kUnsupported, "vocabulary and merges take more than 1 GiB");
}

Status HfFileReader::begin_table(Place place, bool& seen) {
  if (seen) return corrupt(format("model: \"", key_, "\" occurs twice"));
  seen = true;
  places_.push_back(place);
  return {};
}

Status HfFileReader::begin_object() {
  if (begins(Place::kModel, "vocab")) return begin_table(Place::kVocabulary, has_vocabulary_);
  if (in_table() || begins(Place::kModel, "merges")) return corrupt("model: an object where none belongs");
  const Place place = places_.empty() ? Place::kRoot : begins(Place::kRoot, "model") ? Place::kModel : Place::kOther;
  places_.push_back(place);
  rest_.begin_object();
  return {};
}

Status HfFileReader::end_object() {
  if (!in_table()) rest_.end_object();
  places_.pop_back();
  return {};
}

Status HfFileReader::begin_array() {
  if (begins(Place::kModel, "vocab")) {
    file_.vocabulary_is_list = true;
    return begin_table(Place::kVocabularyList, has_vocabulary_);
  }
  if (begins(Place::kModel, "merges")) return begin_table(Place::kMerges, file_.has_merges);
  if (top() == Place::kVocabularyList || top() == Place::kMerges) {
    places_.push_back(top() == Place::kMerges ? Place::kMergePair : Place::kVocabularyPair);
    parts_ = 0;
    return {};
  }
  if (in_table()) return corrupt("model: a list where none belongs");
  places_.push_back(Place::kOther);
  rest_.begin_array();
  return {};
}

Status HfFileReader::end_array() {
  const bool pair = top() == Place::kVocabularyPair || top() == Place::kMergePair;
  if (pair && parts_ != 2) return corrupt("model: an entry of \"vocab\" or \"merges\" is no pair");
  if (!in_table()) rest_.end_array();
  places_.pop_back();
  return {};
}

Status HfFileReader::key(std::string_view name) {
  key_ = name;
  if (in_table()) return {};
  if (top() == Place::kModel && (name == "vocab" || name == "merges")) return {};
  rest_.key(name);
  rest_bytes_ += name.size() + 4;
  return check_rest();
}

Status HfFileReader::string(std::string_view text) {
  FSV_TRY(check_tables(text.size()));
  switch (top()) {
    case Place::kVocabularyPair:
      if (parts_++ != 0) return corrupt("model: an entry of \"vocab\" is not a token and its score");
      file_.tokens.push_back(text);
      return {};
    case Place::kMergePair:
      if (++parts_ > 2) return corrupt("model: an entry of \"merges\" is no pair");
      file_.merges.push_back(text);
      return {};
    case Place::kMerges: {
      std::string_view left, right;
      if (!split_merge(text, left, right)) {
        return corrupt(format("model: merge ", file_.merges.size() / 2, " is not two tokens: '", text, "'"));
      }
      file_.merges.push_back(left);
      file_.merges.push_back(right);
      return {};
    }
    case Place::kVocabulary:
    case Place::kVocabularyList:
      return corrupt("model: \"vocab\" holds text in the place of an id or a pair");
    default:
      break;
  }
  if (expects_table()) return corrupt(format("model: \"", key_, "\" is text"));
  rest_.value(text);
  rest_bytes_ += text.size() + 4;
  return check_rest();
}

Status HfFileReader::number(std::string_view text) {
  if (top() == Place::kVocabulary) {
    int32_t id = -1;
    if (!parse_number(text, id) || id < 0) return corrupt(format("model: token '", key_, "' has the id ", text));
    FSV_TRY(check_tables(key_.size()));
    file_.tokens.push_back(key_);
    file_.ids.push_back(id);
    return {};
  }
  if (top() == Place::kVocabularyPair && parts_ == 1) {
    double score = 0;
    if (!parse_number(text, score)) return corrupt(format("model: the score ", text, " is out of range"));
    ++parts_;
    file_.scores.push_back(score);
    return {};
  }
  if (in_table() || expects_table()) return corrupt("model: a number where none belongs");
  rest_bytes_ += 24;
  if (int64_t integer = 0; parse_number(text, integer)) {
    rest_.value(integer);
  } else {
    double real = 0;
    if (!parse_number(text, real)) return corrupt(format("the number ", text, " is out of range"));
    rest_.value(real);
  }
  return check_rest();
}

Status HfFileReader::boolean(bool value) {
  if (in_table() || expects_table()) return corrupt("model: a truth value where none belongs");
  rest_.value(value);
  rest_bytes_ += 6;
  return check_rest();
}

Status HfFileReader::null() {
  if (in_table()) return corrupt("model: null where none belongs");
  if (expects_table()) return {};  // as if it were not there
  rest_.null();
  rest_bytes_ += 5;
  return check_rest();
}

}  // namespace fastserve
