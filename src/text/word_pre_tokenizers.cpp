// Most are cuts at a class of characters; Metaspace and the space prefix write the text anew.
#include "text/word_pre_tokenizers.h"

#include <utility>

#include "text/byte_level.h"
#include "text/hf_classes.h"
#include "text/unicode.h"

namespace fastserve {
namespace {

bool is_number(uint32_t c) { return unicode::classify(c) == unicode::Class::kNumber; }

std::unique_ptr<PreTokenizer> cut_at(bool (*wanted)(uint32_t), SplitBehavior behavior) {
  return create_split_pre_tokenizer(create_code_point_matcher(wanted), behavior, false);
}

class MetaspacePreTokenizer final : public PreTokenizer {
 public:
  MetaspacePreTokenizer(std::string mark, PrependScheme scheme, bool split)
      : mark_(std::move(mark)), scheme_(scheme), split_(split) {}

  Status apply(PieceList& list) const override {
    AlignedText out = list.text.like();
    std::vector<TextRange> pieces;
    for (const TextRange& piece : list.pieces) {
      if (piece.start == piece.end) continue;
      const size_t start = out.text.size();
      const std::string_view text = std::string_view(list.text.text).substr(piece.start, piece.end - piece.start);
      const bool first = piece.start == 0 && list.begins_text;
      const bool wanted = scheme_ == PrependScheme::kAlways || (scheme_ == PrependScheme::kFirst && first);
      if (wanted && !text.starts_with(' ') && !text.starts_with(mark_)) {
        out.append(mark_, list.text.source(piece.start, piece.start));
      }
      for (size_t at = piece.start; at < piece.end; ++at) {
        if (list.text.text[at] == ' ') {
          out.append(mark_, list.text.source(at, at + 1));
        } else {
          out.append(list.text, at, at + 1);
        }
      }
      cut(out.text, start, pieces);
    }
    list.text = std::move(out);
    list.pieces.swap(pieces);
    return {};
  }

 private:
  void cut(const std::string& text, size_t start, std::vector<TextRange>& pieces) const {
    while (split_) {
      const size_t next = text.find(mark_, start + 1);
      if (next == std::string::npos) break;
      pieces.push_back({start, next});
      start = next;
    }
    pieces.push_back({start, text.size()});
  }

  std::string mark_;
  PrependScheme scheme_;
  bool split_;
};

class ByteLevelPreTokenizer final : public PreTokenizer {
 public:
  Status apply(PieceList& list) const override {
    AlignedText out = list.text.like();
    out.text.reserve(list.text.text.size() * 2);
    for (TextRange& piece : list.pieces) {
      const size_t start = out.text.size();
      for (size_t at = piece.start; at < piece.end; ++at) append_byte_level(list.text, at, out);
      piece = {start, out.text.size()};
    }
    list.text = std::move(out);
    return {};
  }
};

class FixedLengthPreTokenizer final : public PatternPreTokenizer {
 public:
  explicit FixedLengthPreTokenizer(size_t length) : length_(length) {}
  Status split(std::string_view text, std::vector<size_t>& ends) const override {
    size_t count = 0;
    for (size_t at = 0; at < text.size();) {
      at += unicode::read_valid(text.data() + at).size_bytes;
      if (++count % length_ == 0 || at == text.size()) ends.push_back(at);
    }
    return {};
  }

 private:
  size_t length_;
};

class SpacePrefixPreTokenizer final : public PreTokenizer {
 public:
  Status apply(PieceList& list) const override {
    AlignedText out = list.text.like();
    std::vector<TextRange> pieces;
    for (const TextRange& piece : list.pieces) {
      if (piece.start == piece.end) continue;
      const size_t start = out.text.size();
      if (list.text.text[piece.start] != ' ') out.append(" ", list.text.source(piece.start, piece.start));
      out.append(list.text, piece.start, piece.end);
      pieces.push_back({start, out.text.size()});
    }
    list.text = std::move(out);
    list.pieces.swap(pieces);
    return {};
  }
};

}  // namespace

std::unique_ptr<PreTokenizer> create_bert_pre_tokenizer() {
  std::vector<std::unique_ptr<PreTokenizer>> steps;
  steps.push_back(create_white_space_pre_tokenizer());
  steps.push_back(create_punctuation_pre_tokenizer(SplitBehavior::kIsolated));
  return create_sequence_pre_tokenizer(std::move(steps));
}
std::unique_ptr<PreTokenizer> create_white_space_pre_tokenizer() {
  return cut_at(unicode::is_white_space, SplitBehavior::kRemoved);
}
std::unique_ptr<PreTokenizer> create_punctuation_pre_tokenizer(SplitBehavior behavior) {
  return cut_at(hf::is_punctuation, behavior);
}
std::unique_ptr<PreTokenizer> create_digits_pre_tokenizer(bool individual) {
  return cut_at(is_number, individual ? SplitBehavior::kIsolated : SplitBehavior::kContiguous);
}

Result<std::unique_ptr<PreTokenizer>> create_word_pre_tokenizer() {
  // This one's \w is that of another engine than the patterns of files are for.
  FSV_ASSIGN(Regex regex, Regex::compile(R"([\p{Alphabetic}\p{M}\p{Nd}\p{Pc}\x{200C}\x{200D}]+)"
                                         R"(|[^\p{Alphabetic}\p{M}\p{Nd}\p{Pc}\x{200C}\x{200D}\s]+)"));
  return create_split_pre_tokenizer(create_regex_matcher(std::move(regex)), SplitBehavior::kRemoved, true);
}

std::unique_ptr<PreTokenizer> create_metaspace_pre_tokenizer(std::string mark, PrependScheme scheme, bool split) {
  return std::make_unique<MetaspacePreTokenizer>(std::move(mark), scheme, split);
}
std::unique_ptr<PreTokenizer> create_byte_level_pre_tokenizer() { return std::make_unique<ByteLevelPreTokenizer>(); }
std::unique_ptr<PreTokenizer> create_fixed_length_pre_tokenizer(size_t length) {
  return std::make_unique<FixedLengthPreTokenizer>(length);
}
std::unique_ptr<PreTokenizer> create_space_prefix_pre_tokenizer() {
  return std::make_unique<SpacePrefixPreTokenizer>();
}

}  // namespace fastserve
