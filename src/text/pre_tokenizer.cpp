// The patterns of GPT-2, SmolLM, Llama 3 and Qwen 2 as code: one pass, one look at each code point or two.
#include "text/pre_tokenizer.h"

#include "text/unicode.h"

namespace fastserve {
namespace {

using unicode::Class;

// A place in the text with the class of what stands there.
struct Cursor {
  std::string_view text;
  size_t position = 0;
  uint32_t value = 0;
  uint32_t size_bytes = 0;  // 0 at the end
  Class kind = Class::kOther;

  Cursor(std::string_view text_in, size_t position_in) : text(text_in), position(position_in) { look(); }
  bool at_end() const { return size_bytes == 0; }
  bool is(Class wanted) const { return !at_end() && kind == wanted; }
  bool is_line_break() const { return !at_end() && (value == '\r' || value == '\n'); }
  void advance() {
    position += size_bytes;
    look();
  }
  void skip(Class wanted) {
    while (is(wanted)) advance();
  }

 private:
  void look() {
    if (position >= text.size()) {
      size_bytes = 0;
      return;
    }
    const unicode::CodePoint found = unicode::read_valid(text.data() + position);
    value = found.value;
    size_bytes = found.size_bytes;
    kind = unicode::classify(value);
  }
};

// Bytes of an English contraction ('s 't 're 've 'm 'll 'd) at `position`, 0 if there is none. Regardless of case the
// long s U+017F counts as an s, as Unicode case folding has it.
size_t contraction_bytes(std::string_view text, size_t position, bool any_case) {
  if (text[position] != '\'') return 0;
  const std::string_view rest = text.substr(position + 1);
  const auto letter = [&](size_t i) -> char {
    if (i >= rest.size()) return 0;
    return any_case && rest[i] >= 'A' && rest[i] <= 'Z' ? static_cast<char>(rest[i] | 0x20) : rest[i];
  };
  const char first = letter(0), second = letter(1);
  if (first == 's' || first == 't' || first == 'm' || first == 'd') return 2;
  if ((first == 'r' && second == 'e') || (first == 'v' && second == 'e') || (first == 'l' && second == 'l')) return 3;
  if (any_case && rest.starts_with("\xC5\xBF")) return 3;
  return 0;
}

// A run of white space: all of it when nothing follows, else all but its last code point, which goes with what
// follows; one alone is a piece. `limit` is where the text is taken to end.
size_t white_space_end(std::string_view text, size_t position) {
  Cursor cursor(text, position);
  size_t last = position;
  while (cursor.is(Class::kSpace)) {
    last = cursor.position;
    cursor.advance();
  }
  if (cursor.at_end() || last == position) return cursor.position;
  return last;
}

// 's|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+
size_t gpt2_piece_end(std::string_view text, size_t position) {
  if (const size_t size = contraction_bytes(text, position, false); size != 0) return position + size;
  Cursor cursor(text, position);
  if (cursor.value == ' ') {
    Cursor after = cursor;
    after.advance();
    if (!after.at_end() && after.kind != Class::kSpace) cursor = after;
  }
  if (cursor.kind == Class::kSpace) return white_space_end(text, position);
  cursor.skip(cursor.kind);
  return cursor.position;
}

class Gpt2PreTokenizer final : public PatternPreTokenizer {
 public:
  Status split(std::string_view text, std::vector<size_t>& ends) const override {
    for (size_t position = 0; position < text.size();) {
      position = gpt2_piece_end(text, position);
      ends.push_back(position);
    }
    return {};
  }
};

// Every number by itself first, then the pattern of GPT-2 over what lies between, where look-ahead sees no further.
class SmollmPreTokenizer final : public PatternPreTokenizer {
 public:
  Status split(std::string_view text, std::vector<size_t>& ends) const override {
    for (Cursor cursor(text, 0); !cursor.at_end();) {
      if (cursor.kind == Class::kNumber) {
        cursor.advance();
        ends.push_back(cursor.position);
        continue;
      }
      const size_t start = cursor.position;
      while (!cursor.at_end() && cursor.kind != Class::kNumber) cursor.advance();
      const std::string_view stretch = text.substr(0, cursor.position);
      for (size_t position = start; position < stretch.size();) {
        position = gpt2_piece_end(stretch, position);
        ends.push_back(position);
      }
    }
    return {};
  }
};

// (?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+
// where Qwen 2 has \p{N}.
class Llama3PreTokenizer final : public PatternPreTokenizer {
 public:
  explicit Llama3PreTokenizer(int number_size_max) : number_size_max_(number_size_max) {}

  Status split(std::string_view text, std::vector<size_t>& ends) const override {
    for (size_t position = 0; position < text.size();) {
      position = piece_end(text, position);
      ends.push_back(position);
    }
    return {};
  }

 private:
  size_t piece_end(std::string_view text, size_t position) const {
    if (const size_t size = contraction_bytes(text, position, true); size != 0) return position + size;
    Cursor cursor(text, position);
    if (cursor.kind == Class::kNumber) {
      for (int i = 0; i < number_size_max_ && cursor.is(Class::kNumber); ++i) cursor.advance();
      return cursor.position;
    }
    Cursor after = cursor;
    after.advance();
    if (cursor.kind == Class::kLetter || (after.is(Class::kLetter) && !cursor.is_line_break())) {
      after.skip(Class::kLetter);
      return after.position;
    }
    if (cursor.kind == Class::kOther || (cursor.value == ' ' && after.is(Class::kOther))) {
      after.skip(Class::kOther);
      while (after.is_line_break()) after.advance();
      return after.position;
    }
    return line_break_end(text, position);
  }

  // White space up to its last line break if it has one.
  static size_t line_break_end(std::string_view text, size_t position) {
    size_t end = 0;
    for (Cursor cursor(text, position); cursor.is(Class::kSpace);) {
      const bool line_break = cursor.is_line_break();
      cursor.advance();
      if (line_break) end = cursor.position;
    }
    return end != 0 ? end : white_space_end(text, position);
  }

  int number_size_max_;
};

}  // namespace

Status PatternPreTokenizer::apply(PieceList& list) const {
  std::vector<TextRange> pieces;
  std::vector<size_t> ends;
  const std::string_view text = list.text.text;
  for (const TextRange& piece : list.pieces) {
    ends.clear();
    FSV_TRY(split(text.substr(piece.start, piece.end - piece.start), ends));
    size_t start = piece.start;
    for (const size_t end : ends) {
      pieces.push_back({start, piece.start + end});
      start = piece.start + end;
    }
  }
  list.pieces.swap(pieces);
  return {};
}

std::unique_ptr<PreTokenizer> create_gpt2_pre_tokenizer() { return std::make_unique<Gpt2PreTokenizer>(); }
std::unique_ptr<PreTokenizer> create_smollm_pre_tokenizer() { return std::make_unique<SmollmPreTokenizer>(); }
std::unique_ptr<PreTokenizer> create_llama3_pre_tokenizer(int number_size_max) {
  return std::make_unique<Llama3PreTokenizer>(number_size_max);
}

}  // namespace fastserve
