// Matches and the gaps between them become pieces; what a behaviour joins stays together.
#include "text/split_pre_tokenizer.h"

#include <utility>

namespace fastserve {
namespace {

struct Part {
  TextRange range;
  bool is_match = false;
};

class SplitPreTokenizer final : public PreTokenizer {
 public:
  SplitPreTokenizer(std::unique_ptr<Matcher> matcher, SplitBehavior behavior, bool invert)
      : matcher_(std::move(matcher)), behavior_(behavior), invert_(invert) {}

  Status apply(PieceList& list) const override {
    std::vector<TextRange> pieces, matches;
    std::vector<Part> parts;
    for (const TextRange& piece : list.pieces) {
      const size_t size = piece.end - piece.start;
      matches.clear();
      FSV_TRY(matcher_->find_all(std::string_view(list.text.text).substr(piece.start, size), matches));
      parts.clear();
      size_t at = 0;
      for (const TextRange& match : matches) {
        if (match.start > at) parts.push_back({{at, match.start}, invert_});
        parts.push_back({match, !invert_});
        at = match.end;
      }
      if (at < size) parts.push_back({{at, size}, invert_});
      for (const TextRange& joined : join(parts)) {
        pieces.push_back({piece.start + joined.start, piece.start + joined.end});
      }
    }
    list.pieces.swap(pieces);
    return {};
  }

 private:
  std::vector<TextRange> join(const std::vector<Part>& parts) const {
    std::vector<TextRange> out;
    for (size_t i = 0; i < parts.size(); ++i) {
      const Part& part = parts[i];
      if (behavior_ == SplitBehavior::kRemoved && part.is_match) continue;
      const bool joins = i > 0 && joins_previous(parts[i - 1].is_match, part.is_match);
      if (joins) {
        out.back().end = part.range.end;
      } else {
        out.push_back(part.range);
      }
    }
    std::erase_if(out, [](const TextRange& range) { return range.start == range.end; });
    return out;
  }

  bool joins_previous(bool previous_is_match, bool is_match) const {
    switch (behavior_) {
      case SplitBehavior::kMergedWithPrevious:
        return is_match && !previous_is_match;
      case SplitBehavior::kMergedWithNext:
        return !is_match && previous_is_match;
      case SplitBehavior::kContiguous:
        return is_match == previous_is_match;
      default:
        return false;
    }
  }

  std::unique_ptr<Matcher> matcher_;
  SplitBehavior behavior_;
  bool invert_;
};

class SequencePreTokenizer final : public PreTokenizer {
 public:
  explicit SequencePreTokenizer(std::vector<std::unique_ptr<PreTokenizer>> steps) : steps_(std::move(steps)) {}
  Status apply(PieceList& list) const override {
    for (const auto& step : steps_) {
      FSV_TRY(step->apply(list));
      FSV_TRY(list.text.check_size());
    }
    return {};
  }

 private:
  std::vector<std::unique_ptr<PreTokenizer>> steps_;
};

}  // namespace

std::unique_ptr<PreTokenizer> create_split_pre_tokenizer(std::unique_ptr<Matcher> matcher, SplitBehavior behavior,
                                                         bool invert) {
  return std::make_unique<SplitPreTokenizer>(std::move(matcher), behavior, invert);
}
std::unique_ptr<PreTokenizer> create_sequence_pre_tokenizer(std::vector<std::unique_ptr<PreTokenizer>> steps) {
  return std::make_unique<SequencePreTokenizer>(std::move(steps));
}

}  // namespace fastserve
