// Exact digits by std::to_chars: rounded half to even on the exact value, as Python does.
#include "text/jinja/format_spec.h"

#include <algorithm>
#include <charconv>
#include <cmath>

#include "base/format.h"

namespace fastserve::jinja {
namespace {

std::string to_digits(double magnitude, std::chars_format style, int precision) {
  std::string digits(400 + static_cast<size_t>(precision), '\0');
  const auto end = std::to_chars(digits.data(), digits.data() + digits.size(), magnitude, style, precision);
  digits.resize(static_cast<size_t>(end.ptr - digits.data()));
  return digits;
}

void group_thousands(std::string& digits) {
  const size_t end = std::min(digits.find_first_not_of("0123456789"), digits.size());
  for (size_t at = end; at > 3;) {
    at -= 3;
    digits.insert(at, 1, ',');
  }
}

}  // namespace

std::string float_digits(double magnitude, const FormatSpec& spec) {
  const char type = static_cast<char>(spec.type | 0x20);
  std::string digits;
  const int precision = static_cast<int>(spec.precision < 0 ? 6 : std::min<int64_t>(spec.precision, kFormatWidthMax));
  if (std::isinf(magnitude) || std::isnan(magnitude)) {
    digits = std::isnan(magnitude) ? "nan" : "inf";
    return spec.type == '%' ? digits + "%" : digits;
  }
  if (spec.type == '%') {
    digits = to_digits(magnitude * 100, std::chars_format::fixed, precision) + "%";
  } else if (type == 'f') {
    digits = to_digits(magnitude, std::chars_format::fixed, precision);
  } else if (type == 'e') {
    digits = to_digits(magnitude, std::chars_format::scientific, precision);
  } else {
    digits = to_digits(magnitude, std::chars_format::general, std::max(precision, 1));
  }
  if (spec.thousands) group_thousands(digits);
  if (spec.type >= 'A' && spec.type <= 'Z') {
    for (char& c : digits) c = c >= 'a' && c <= 'z' ? static_cast<char>(c - 32) : c;
  }
  return digits;
}

std::string integer_digits(uint64_t magnitude, const FormatSpec& spec) {
  const char type = static_cast<char>(spec.type | 0x20);
  const int base = type == 'x' ? 16 : type == 'o' ? 8 : type == 'b' ? 2 : 10;
  char buffer[72];
  const auto end = std::to_chars(buffer, buffer + sizeof(buffer), magnitude, base);
  std::string digits(buffer, end.ptr);
  if (spec.type == 'X') {
    for (char& c : digits) c = c >= 'a' && c <= 'z' ? static_cast<char>(c - 32) : c;
  }
  if (spec.thousands) group_thousands(digits);
  return digits;
}

std::string sign_text(bool negative, char sign) {
  if (negative) return "-";
  return sign == '+' ? "+" : sign == ' ' ? " " : "";
}

TrackedText align_text(const TrackedText& prefix, const TrackedText& body, const FormatSpec& spec, char default_align) {
  const char align = spec.align != '\0' ? spec.align : default_align;
  const auto length = static_cast<int64_t>(prefix.length() + body.length());
  const int64_t missing = std::max<int64_t>(0, spec.width - length);
  const int64_t left = align == '>' ? missing : align == '^' ? missing / 2 : 0;
  TrackedText out;
  const auto pad = [&](int64_t count) {
    for (int64_t i = 0; i < count; ++i) out.append(spec.fill, true);
  };
  pad(left);
  out.append(prefix);
  if (align == '=') pad(missing);
  out.append(body);
  if (align == '<' || align == '^') pad(missing - left);
  return out;
}

}  // namespace fastserve::jinja
