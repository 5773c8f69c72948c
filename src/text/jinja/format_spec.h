// How one value is written under a width, a precision and a type: shared by % and str.format.
#pragma once
#include <cstdint>
#include <string>

#include "text/jinja/jinja_value.h"

namespace fastserve::jinja {

struct FormatSpec {
  std::string fill = " ";
  char align = '\0';  // '<', '>', '^', '='; '\0': by type
  char sign = '-';    // '-', '+', ' '
  bool alternate = false;
  bool thousands = false;
  int64_t width = 0;
  int64_t precision = -1;
  char type = '\0';
};
inline constexpr int64_t kFormatWidthMax = 10'000;

// Digits of a float by type e, f, g or % with its precision, without sign.
std::string float_digits(double magnitude, const FormatSpec& spec);
// Digits of a whole number by type d, x, o, b, without sign.
std::string integer_digits(uint64_t magnitude, const FormatSpec& spec);
std::string sign_text(bool negative, char sign);
// Pads by code points.
TrackedText align_text(const TrackedText& prefix, const TrackedText& body, const FormatSpec& spec, char default_align);

}  // namespace fastserve::jinja
