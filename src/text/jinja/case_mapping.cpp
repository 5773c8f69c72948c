// Simple mappings of one code point to one, and the sharp s, the one common letter whose capital is two.
#include "text/jinja/case_mapping.h"

#include <string>

#include "text/unicode.h"

namespace fastserve::jinja {
namespace {

constexpr uint32_t kSharpS = 0xDF;

void append_upper(std::string& out, uint32_t c, bool title) {
  if (c == kSharpS) {
    out += title ? "Ss" : "SS";
  } else {
    unicode::append_utf8(title ? to_title(c) : to_upper(c), out);
  }
}

bool is_cased(uint32_t c) { return is_upper(c) || is_lower(c) || to_upper(c) != c || to_lower(c) != c; }

bool begins_word_after(uint32_t c) {
  return c == '-' || c == '(' || c == '{' || c == '[' || c == '<' || is_python_space(c);
}

// How one character is written, given the one before (0 at the beginning).
void append_mapped(std::string& out, uint32_t c, uint32_t before, CaseMapping mapping) {
  switch (mapping) {
    case CaseMapping::kUpper:
      append_upper(out, c, false);
      return;
    case CaseMapping::kLower:
      unicode::append_utf8(to_lower(c), out);
      return;
    case CaseMapping::kSwap:
      if (is_upper(c)) {
        unicode::append_utf8(to_lower(c), out);
      } else {
        append_upper(out, c, false);
      }
      return;
    case CaseMapping::kTitle:
      if (before != 0 && is_cased(before)) {
        unicode::append_utf8(to_lower(c), out);
      } else {
        append_upper(out, c, true);
      }
      return;
    case CaseMapping::kCapitalize:
      if (before != 0) {
        unicode::append_utf8(to_lower(c), out);
      } else {
        append_upper(out, c, true);
      }
      return;
    case CaseMapping::kWords:
      if (before != 0 && !begins_word_after(before)) {
        unicode::append_utf8(to_lower(c), out);
      } else {
        append_upper(out, c, false);
      }
      return;
  }
}

bool is_of(uint32_t c, TextClass wanted) {
  if (c >= 0x110000) return false;
  using unicode::Category;
  const Category category = unicode::category(c);
  // Superscripts and circled digits are digits but no decimals.
  const bool digit_like = category == Category::kNo &&
                          ((c >= 0xB2 && c <= 0xB3) || c == 0xB9 || c == 0x2070 || (c >= 0x2074 && c <= 0x2079) ||
                           (c >= 0x2080 && c <= 0x2089) || (c >= 0x2460 && c <= 0x2468));
  switch (wanted) {
    case TextClass::kDecimal:
      return category == Category::kNd;
    case TextClass::kDigit:
      return category == Category::kNd || digit_like;
    case TextClass::kNumeric:
      return unicode::is_number(category);
    case TextClass::kAlpha:
      return unicode::is_letter(category);
    case TextClass::kAlphanumeric:
      return unicode::is_letter(category) || unicode::is_number(category);
    case TextClass::kSpace:
      return is_python_space(c);
    default:
      return false;
  }
}

}  // namespace

TrackedText map_case(const TrackedText& text, CaseMapping mapping) {
  TrackedText out;
  std::string mapped;
  uint32_t before = 0;
  for (TextReader reader(text); !reader.done();) {
    const TextReader::Character c = reader.next();
    mapped.clear();
    if (c.code_point >= 0x110000) {
      mapped = text.bytes().substr(c.start, c.end - c.start);
    } else {
      append_mapped(mapped, c.code_point, before, mapping);
    }
    out.append(mapped, c.trusted);
    before = c.code_point;
  }
  return out;
}

bool has_class(const TrackedText& text, TextClass wanted) {
  const bool by_case = wanted == TextClass::kUpper || wanted == TextClass::kLower;
  bool found = false;
  for (TextReader reader(text); !reader.done();) {
    const uint32_t c = reader.next().code_point;
    if (by_case) {
      // All cased characters of the one case, and at least one.
      if (wanted == TextClass::kUpper ? is_lower(c) : is_upper(c)) return false;
      found |= wanted == TextClass::kUpper ? is_upper(c) : is_lower(c);
    } else {
      if (!is_of(c, wanted)) return false;
      found = true;
    }
  }
  return found;
}

}  // namespace fastserve::jinja
