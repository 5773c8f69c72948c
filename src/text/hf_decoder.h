// "decoder" of tokenizer.json, as what each token stands for: decoders work on the list of all tokens, but what a token
// becomes depends at most on whether it is the first.
#pragma once
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "text/hf_node.h"
#include "text/matcher.h"

namespace fastserve {

class HfDecoder {
 public:
  // Without a decoder tokens stand with spaces between them. kUnsupported for steps that look at several tokens.
  static Result<HfDecoder> read(const HfNode& node);

  // The bytes that `token` stands for. Bytes of a code point may be spread over tokens.
  Result<std::string> bytes_of(std::string_view token, bool is_first) const;
  bool is_byte_level() const { return steps_.size() == 1 && steps_[0].kind == Kind::kByteLevel; }
  // Whether bytes_of depends on `is_first`.
  bool regards_first() const;
  // Of the text as a whole: how many spaces at its start are dropped, and whether one at its end is.
  int leading_spaces_dropped() const { return leading_spaces_dropped_; }
  bool drops_last_space() const { return drops_last_space_; }

 private:
  enum class Kind { kSpaces, kByteLevel, kByteFallback, kMetaspace, kWordPiece, kReplace, kStrip, kBpe };
  struct Step {
    Kind kind;
    std::string text = {};     // what to look for, prefix or suffix
    std::string content = {};  // what to put there
    bool flag = false;         // kWordPiece: clean up; kMetaspace: the first token loses its marks
    size_t start = 0, stop = 0;
    std::shared_ptr<const Matcher> matcher = {};
  };
  Status add(const HfNode& node);
  Status add_sequence(const HfNode& node);
  Status add_strip(const HfNode& node);
  Status add_replace(const HfNode& node);
  Status add_metaspace(const HfNode& node);
  static Result<std::string> apply(const Step& step, std::string token, bool is_first);

  std::vector<Step> steps_;
  bool joined_ = false, closed_ = false;  // while reading: tokens are one text by now; no step may follow
  int leading_spaces_dropped_ = 0;
  bool drops_last_space_ = false;
};

}  // namespace fastserve
