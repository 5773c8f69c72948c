// No locale, no strtod: std::from_chars alone.
#include "text/jinja/string_literal.h"

#include <charconv>
#include <limits>

#include "base/format.h"
#include "text/jinja/jinja_value.h"
#include "text/unicode.h"

namespace fastserve::jinja {
namespace {

// Reads `digits` hexadecimal digits, or up to three octal ones (base 8).
uint32_t read_escape(std::string_view text, size_t& position, size_t digits, int base, size_t line) {
  size_t end = position;
  const auto is_digit = [&](char c) {
    if (base == 8) return c >= '0' && c <= '7';
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
  };
  while (end < text.size() && end < position + digits && is_digit(text[end])) ++end;
  if (base == 16 && end != position + digits) throw TemplateFailure{"truncated escape in a string", line};
  uint32_t value = 0;
  std::from_chars(text.data() + position, text.data() + end, value, base);
  position = end;
  return value;
}

char simple_escape(char c) {
  switch (c) {
    case 'n':
      return '\n';
    case 't':
      return '\t';
    case 'r':
      return '\r';
    case 'a':
      return '\a';
    case 'b':
      return '\b';
    case 'f':
      return '\f';
    case 'v':
      return '\v';
    case '\\':
      return '\\';
    case '\'':
      return '\'';
    case '"':
      return '"';
    default:
      return '\0';
  }
}

std::string_view strip(std::string_view text) {
  const ByteRange range = strip_range(text, nullptr, true, true);
  return text.substr(range.from, range.to - range.from);
}

}  // namespace

std::string unescape_literal(std::string_view text, size_t line) {
  std::string out;
  for (size_t i = 0; i < text.size();) {
    if (text[i] != '\\' || i + 1 >= text.size()) {
      out.push_back(text[i++]);
      continue;
    }
    const char c = text[i + 1];
    i += 2;
    if (const char simple = simple_escape(c); simple != '\0') {
      out.push_back(simple);
    } else if (c == '\n') {
      continue;  // a line goes on
    } else if (c == 'x' || c == 'u' || c == 'U') {
      const uint32_t value = read_escape(text, i, c == 'x' ? 2 : c == 'u' ? 4 : 8, 16, line);
      if (value >= 0x110000 || (value >= 0xD800 && value < 0xE000)) {
        throw TemplateFailure{"a string escape names no code point", line};
      }
      unicode::append_utf8(value, out);
    } else if (c >= '0' && c <= '7') {
      --i;
      unicode::append_utf8(read_escape(text, i, 3, 8, line), out);
    } else {
      out.push_back('\\');
      out.push_back(c);
    }
  }
  return out;
}

std::optional<int64_t> parse_int(std::string_view text, int base) {
  text = strip(text);
  bool negative = false;
  if (!text.empty() && (text[0] == '-' || text[0] == '+')) {
    negative = text[0] == '-';
    text.remove_prefix(1);
  }
  const char marker = text.size() > 2 && text[0] == '0' ? static_cast<char>(text[1] | 0x20) : '\0';
  const int marked = marker == 'x' ? 16 : marker == 'o' ? 8 : marker == 'b' ? 2 : 0;
  if (marked != 0 && (base == marked || base == 0)) {
    base = marked;
    text.remove_prefix(2);
  }
  if (base == 0) base = 10;
  std::string digits;
  for (size_t i = 0; i < text.size(); ++i) {
    const bool joins = text[i] == '_' && i > 0 && i + 1 < text.size() && text[i - 1] != '_' && text[i + 1] != '_';
    if (!joins) digits.push_back(text[i]);
  }
  if (negative) digits.insert(digits.begin(), '-');
  int64_t value = 0;
  const auto result = std::from_chars(digits.data(), digits.data() + digits.size(), value, base);
  if (result.ec == std::errc::result_out_of_range) fail("an integer does not fit in 64 bits");
  if (result.ec != std::errc() || result.ptr != digits.data() + digits.size()) return std::nullopt;
  return value;
}

std::optional<double> parse_float(std::string_view text) {
  text = strip(text);
  double sign = 1;
  if (!text.empty() && (text[0] == '-' || text[0] == '+')) {
    sign = text[0] == '-' ? -1 : 1;
    text.remove_prefix(1);
  }
  if (text.empty() || text[0] == '-' || text[0] == '+') return std::nullopt;
  double value = 0;
  const auto result = std::from_chars(text.data(), text.data() + text.size(), value);
  if (result.ec == std::errc::result_out_of_range) {
    // Too large or too small: the exponent's sign says which.
    const size_t e = text.find_first_of("eE");
    const bool tiny = e != std::string_view::npos && e + 1 < text.size() && text[e + 1] == '-';
    return tiny ? sign * 0.0 : sign * std::numeric_limits<double>::infinity();
  }
  if (result.ec != std::errc() || result.ptr != text.data() + text.size()) return std::nullopt;
  return sign * value;
}

}  // namespace fastserve::jinja
