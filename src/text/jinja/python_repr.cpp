// str() and repr() as Python writes them.
#include <charconv>
#include <cmath>

#include "base/format.h"
#include "text/jinja/jinja_value.h"
#include "text/unicode.h"

namespace fastserve::jinja {
namespace {

bool is_printable(uint32_t c) {
  if (c >= 0x110000) return false;
  if (c < 0x7F) return c >= 0x20;
  using unicode::Category;
  switch (unicode::category(c)) {
    case Category::kCn:
    case Category::kCc:
    case Category::kCf:
    case Category::kCs:
    case Category::kCo:
    case Category::kZl:
    case Category::kZp:
    case Category::kZs:
      return false;
    default:
      return true;
  }
}

void append_hex(std::string& out, uint32_t value, int digits) {
  for (int shift = (digits - 1) * 4; shift >= 0; shift -= 4) out.push_back("0123456789abcdef"[(value >> shift) & 15]);
}

std::string escape_character(uint32_t c, char quote) {
  std::string out;
  if (c == static_cast<uint32_t>(quote) || c == '\\') {
    out = {'\\', static_cast<char>(c)};
  } else if (c == '\n') {
    out = "\\n";
  } else if (c == '\r') {
    out = "\\r";
  } else if (c == '\t') {
    out = "\\t";
  } else if (c >= 0x110000) {
    out = "\\x";
    append_hex(out, c - 0x110000, 2);
  } else {
    out = c < 0x100 ? "\\x" : c < 0x10000 ? "\\u" : "\\U";
    append_hex(out, c, c < 0x100 ? 2 : c < 0x10000 ? 4 : 8);
  }
  return out;
}

TrackedText quote_text(const TrackedText& text) {
  const std::string& bytes = text.bytes();
  const bool has_single = bytes.find('\'') != std::string::npos;
  const char quote = has_single && bytes.find('"') == std::string::npos ? '"' : '\'';
  TrackedText out(std::string_view(&quote, 1), false);
  for (TextReader reader(text); !reader.done();) {
    const TextReader::Character c = reader.next();
    const bool plain =
        c.code_point != static_cast<uint32_t>(quote) && c.code_point != '\\' && is_printable(c.code_point);
    if (plain) {
      out.append(std::string_view(bytes).substr(c.start, c.end - c.start), c.trusted);
    } else {
      out.append(escape_character(c.code_point, quote), c.trusted);
    }
  }
  out.append(std::string_view(&quote, 1), false);
  return out;
}

TrackedText scalar_text(const Value& value) {
  switch (value.kind()) {
    case ValueKind::kNone:
      return {"None", true};
    case ValueKind::kBool:
      return {value.as_bool() ? "True" : "False", true};
    case ValueKind::kInt:
      return {format(value.as_int()), true};
    case ValueKind::kFloat:
      return {float_to_text(value.as_float()), true};
    case ValueKind::kUndefined:
      return {};
    default:
      return {format("<", value.type_name(), ">"), false};
  }
}

TrackedText sequence_text(const Value& value) {
  const bool is_list = value.is(ValueKind::kList);
  TrackedText out(is_list ? "[" : "(", false);
  for (size_t i = 0; i < value.items().size(); ++i) {
    if (i > 0) out.append(", ", false);
    out.append(to_repr(value.items()[i]));
  }
  out.append(is_list ? "]" : value.items().size() == 1 ? ",)" : ")", false);
  return out;
}

TrackedText dict_text(const Value& value) {
  TrackedText out("{", false);
  bool first = true;
  for (const auto& [key, entry] : value.entries()) {
    if (!first) out.append(", ", false);
    first = false;
    out.append(to_repr(key));
    out.append(": ", false);
    out.append(to_repr(entry));
  }
  out.append("}", false);
  return out;
}

// Inside a container a number's digits are not the template's words.
TrackedText untrusted(const TrackedText& text) { return {text.bytes(), false}; }

}  // namespace

std::string float_to_text(double value) {
  if (std::isnan(value)) return "nan";
  if (std::isinf(value)) return value < 0 ? "-inf" : "inf";
  char digits[64];
  const auto end = std::to_chars(digits, digits + sizeof(digits), value, std::chars_format::scientific);
  std::string text(digits, end.ptr);
  const size_t e = text.find('e');
  int exponent = 0;
  const char* exponent_text = text.data() + e + 1;
  std::from_chars(*exponent_text == '+' ? exponent_text + 1 : exponent_text, text.data() + text.size(), exponent);
  if (exponent < -4 || exponent >= 16) return text;  // both write at least two digits of exponent
  const auto fixed = std::to_chars(digits, digits + sizeof(digits), value, std::chars_format::fixed);
  text.assign(digits, fixed.ptr);
  if (text.find('.') == std::string::npos) text += ".0";
  return text;
}

TrackedText to_text(const Value& value) {
  switch (value.kind()) {
    case ValueKind::kText:
      return value.as_text();
    case ValueKind::kList:
    case ValueKind::kTuple:
      return sequence_text(value);
    case ValueKind::kDict:
      return dict_text(value);
    default:
      return scalar_text(value);
  }
}

TrackedText to_repr(const Value& value) {
  switch (value.kind()) {
    case ValueKind::kText:
      return quote_text(value.as_text());
    case ValueKind::kUndefined:
      return {"Undefined", false};
    case ValueKind::kList:
    case ValueKind::kTuple:
      return sequence_text(value);
    case ValueKind::kDict:
      return dict_text(value);
    default:
      return untrusted(scalar_text(value));
  }
}

}  // namespace fastserve::jinja
