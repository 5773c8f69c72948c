// A hand-written scanner that follows the order in which Jinja's regular expressions match.
#include "text/jinja/jinja_lexer.h"

#include <algorithm>

#include "base/format.h"
#include "text/jinja/jinja_value.h"
#include "text/jinja/string_literal.h"
#include "text/unicode.h"

namespace fastserve::jinja {
namespace {

constexpr std::string_view kOperators[] = {"//", "**", "==", "!=", ">=", "<=", "+", "-", "/", "*", "%", "~", "[",
                                           "]",  "(",  ")",  "{",  "}",  ">",  "<", "=", ".", ":", "|", ",", ";"};

std::string normalise_line_breaks(std::string_view source) {
  std::string out;
  out.reserve(source.size());
  for (size_t i = 0; i < source.size(); ++i) {
    if (source[i] == '\r') {
      out.push_back('\n');
      if (i + 1 < source.size() && source[i + 1] == '\n') ++i;
    } else {
      out.push_back(source[i]);
    }
  }
  if (!out.empty() && out.back() == '\n') out.pop_back();
  return out;
}

bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool is_name_byte(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || is_digit(c) || c == '_' || static_cast<uint8_t>(c) >= 0x80;
}

class Scanner {
 public:
  explicit Scanner(std::string_view source) : source_(normalise_line_breaks(source)), text_(source_) {}

  std::vector<Token> scan() {
    while (position_ < text_.size()) scan_data();
    emit(TokenKind::kEnd, {});
    return std::move(tokens_);
  }

 private:
  char at(size_t position) const { return position < text_.size() ? text_[position] : '\0'; }
  bool starts(size_t position, std::string_view word) const {
    return text_.substr(std::min(position, text_.size()), word.size()) == word;
  }
  size_t skip_space(size_t position) const {
    return position + strip_range(text_.substr(std::min(position, text_.size())), nullptr, true, false).from;
  }

  void advance(size_t position) {
    const auto from = text_.begin() + static_cast<std::ptrdiff_t>(position_);
    const auto to = text_.begin() + static_cast<std::ptrdiff_t>(position);
    line_ += static_cast<size_t>(std::count(from, to, '\n'));
    position_ = position;
  }
  void emit(TokenKind kind, std::string text) { tokens_.push_back({kind, std::move(text), line_}); }
  [[noreturn]] void fail_here(std::string message) const { throw TemplateFailure{std::move(message), line_}; }

  size_t find_tag() const {
    for (size_t i = position_; i + 1 < text_.size(); ++i) {
      if (text_[i] == '{' && (text_[i + 1] == '{' || text_[i + 1] == '%' || text_[i + 1] == '#')) return i;
    }
    return text_.size();
  }

  // Text before a tag whose begin is followed by `sign`.
  void emit_data(size_t end, char sign, bool strips_line) {
    std::string_view data = text_.substr(position_, end - position_);
    if (sign == '-') {
      data = data.substr(0, strip_range(data, nullptr, false, true).to);
    } else if (sign != '+' && strips_line) {
      const size_t line_break = data.rfind('\n');
      const size_t start = line_break == std::string_view::npos ? 0 : line_break + 1;
      if (start > 0 || line_starting_) {
        const std::string_view rest = data.substr(start);
        if (strip_range(rest, nullptr, true, false).from == rest.size()) data = data.substr(0, start);
      }
    }
    if (!data.empty()) emit(TokenKind::kData, std::string(data));
  }

  void scan_data() {
    const size_t tag = find_tag();
    if (tag == text_.size()) {
      emit_data(tag, '+', false);
      advance(tag);
      return;
    }
    const char kind = text_[tag + 1];
    const char sign = at(tag + 2) == '-' || at(tag + 2) == '+' ? at(tag + 2) : '\0';
    emit_data(tag, sign, kind != '{');
    const size_t body = tag + 2 + (sign != '\0' ? 1 : 0);
    advance(tag);
    line_starting_ = false;
    if (kind == '#') {
      scan_comment(body);
    } else if (kind == '%' && is_word(skip_space(body), "raw") && raw_begin_end(skip_space(body) + 3) != 0) {
      scan_raw(raw_begin_end(skip_space(body) + 3));
    } else {
      emit(kind == '{' ? TokenKind::kVariableBegin : TokenKind::kBlockBegin, {});
      advance(body);
      scan_tag(kind == '{');
    }
  }

  bool is_word(size_t position, std::string_view word) const {
    return starts(position, word) && !is_name_byte(at(position + word.size()));
  }

  // End of `%}` or `-%}` with the white space that it eats, 0 where neither stands. `trims`: also one line break.
  size_t block_end(size_t position, std::string_view close, bool trims) const {
    const std::string minus = format("-", close);
    const std::string plus = format("+", close);
    if (starts(position, minus)) return skip_space(position + minus.size());
    if (starts(position, plus) && trims) return position + plus.size();
    if (!starts(position, close)) return 0;
    const size_t end = position + close.size();
    return trims && at(end) == '\n' ? end + 1 : end;
  }

  size_t raw_begin_end(size_t position) const { return block_end(skip_space(position), "%}", false); }

  void finish_tag(size_t end) {
    advance(end);
    line_starting_ = end > 0 && text_[end - 1] == '\n';
  }

  void scan_comment(size_t body) {
    for (size_t i = body; i < text_.size(); ++i) {
      // "-#}" and "+#}" begin one character earlier than "#}".
      if (text_[i] != '#' && text_[i] != '-' && text_[i] != '+') continue;
      if (const size_t end = block_end(i, "#}", true); end != 0) return finish_tag(end);
    }
    fail_here("Missing end of comment tag");
  }

  void scan_raw(size_t body) {
    advance(body);
    line_starting_ = text_[body - 1] == '\n';
    for (size_t i = body; i < text_.size(); ++i) {
      if (!starts(i, "{%")) continue;
      const char sign = at(i + 2) == '-' || at(i + 2) == '+' ? at(i + 2) : '\0';
      const size_t word = skip_space(i + 2 + (sign != '\0' ? 1 : 0));
      if (!starts(word, "endraw")) continue;
      const size_t end = block_end(skip_space(word + 6), "%}", true);
      if (end == 0) continue;
      emit_data(i, sign, true);
      return finish_tag(end);
    }
    fail_here("Missing end of raw directive");
  }

  void scan_tag(bool is_variable) {
    std::string open;  // brackets not closed yet
    const std::string_view close = is_variable ? "}}" : "%}";
    for (;;) {
      advance(skip_space(position_));
      if (position_ >= text_.size()) fail_here("unexpected end of template");
      if (open.empty()) {
        if (const size_t end = block_end(position_, close, !is_variable); end != 0) {
          emit(is_variable ? TokenKind::kVariableEnd : TokenKind::kBlockEnd, {});
          return finish_tag(end);
        }
      }
      scan_token(open);
    }
  }

  void scan_token(std::string& open) {
    const char c = text_[position_];
    if (is_digit(c)) return scan_number();
    if (is_name_byte(c)) return scan_name();
    if (c == '\'' || c == '"') return scan_string(c);
    for (const std::string_view word : kOperators) {
      if (!starts(position_, word)) continue;
      if (word == "(" || word == "[" || word == "{") {
        open.push_back(word == "(" ? ')' : word == "[" ? ']' : '}');
      } else if (word == ")" || word == "]" || word == "}") {
        if (open.empty()) fail_here(format("unexpected '", word, "'"));
        if (open.back() != word[0]) fail_here(format("unexpected '", word, "', expected '", open.back(), "'"));
        open.pop_back();
      }
      emit(TokenKind::kOperator, std::string(word));
      return advance(position_ + word.size());
    }
    fail_here(format("unexpected char ", std::string(1, c), " in a tag"));
  }

  void scan_name() {
    size_t end = position_;
    while (end < text_.size() && is_name_byte(text_[end])) ++end;
    emit(TokenKind::kName, std::string(text_.substr(position_, end - position_)));
    advance(end);
  }

  void scan_string(char quote) {
    size_t end = position_ + 1;
    while (end < text_.size() && text_[end] != quote) end += text_[end] == '\\' ? 2 : 1;
    if (end >= text_.size()) fail_here("a string is not closed");
    emit(TokenKind::kString, unescape_literal(text_.substr(position_ + 1, end - position_ - 1), line_));
    advance(end + 1);
  }

  // Digits with single underscores between them.
  size_t digits_end(size_t position, int base) const {
    const auto digit = [&](char c) {
      if (base == 16) return is_digit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
      return c >= '0' && c < '0' + base;
    };
    while (digit(at(position)) ||
           (at(position) == '_' && position > 0 && at(position - 1) != '_' && digit(at(position + 1)))) {
      ++position;
    }
    return position;
  }

  void scan_number() {
    const size_t start = position_;
    const char marker = static_cast<char>(at(start + 1) | 0x20);
    const int base = at(start) != '0' ? 10 : marker == 'x' ? 16 : marker == 'o' ? 8 : marker == 'b' ? 2 : 10;
    size_t end = digits_end(base == 10 ? start : start + 2, base);
    bool is_float = false;
    const bool after_dot = start > 0 && text_[start - 1] == '.';
    if (base == 10 && !after_dot) {
      if (at(end) == '.' && is_digit(at(end + 1))) {
        end = digits_end(end + 1, 10);
        is_float = true;
      }
      if ((at(end) | 0x20) == 'e') {
        const size_t sign = at(end + 1) == '+' || at(end + 1) == '-' ? 1 : 0;
        if (is_digit(at(end + 1 + sign))) {
          end = digits_end(end + 1 + sign, 10);
          is_float = true;
        }
      }
    }
    std::string digits(text_.substr(start, end - start));
    std::erase(digits, '_');
    emit(is_float ? TokenKind::kFloat : TokenKind::kInteger, std::move(digits));
    advance(end);
  }

  std::string source_;
  std::string_view text_;
  size_t position_ = 0;
  size_t line_ = 1;
  bool line_starting_ = true;
  std::vector<Token> tokens_;
};

}  // namespace

std::vector<Token> tokenize_template(std::string_view source) { return Scanner(source).scan(); }

}  // namespace fastserve::jinja
