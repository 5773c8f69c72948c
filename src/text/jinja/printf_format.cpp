// text % values, as Python does it.
#include <cmath>

#include "base/format.h"
#include "text/jinja/evaluator.h"
#include "text/jinja/format_spec.h"

namespace fastserve::jinja {
namespace {

class PercentFormatter {
 public:
  PercentFormatter(Evaluator& evaluator, const TrackedText& text, const Value& values)
      : evaluator_(evaluator), text_(text), bytes_(text.bytes()), values_(values) {}

  TrackedText run() {
    while (position_ < bytes_.size()) {
      const size_t percent = std::min(bytes_.find('%', position_), bytes_.size());
      out_.append_range(text_, position_, percent);
      position_ = percent;
      if (percent < bytes_.size()) format_one();
    }
    const bool takes_any = values_.is(ValueKind::kDict) || values_.is(ValueKind::kList);
    if (values_.is(ValueKind::kTuple) ? next_ < values_.items().size() : next_ == 0 && !takes_any) {
      fail("not all arguments converted during string formatting");
    }
    return std::move(out_);
  }

 private:
  char peek() const {
    if (position_ >= bytes_.size()) fail("incomplete format");
    return bytes_[position_];
  }

  const Value& take_value() {
    if (!values_.is(ValueKind::kTuple)) {
      if (next_++ > 0) fail("not enough arguments for format string");
      return values_;
    }
    if (next_ >= values_.items().size()) fail("not enough arguments for format string");
    return values_.items()[next_++];
  }

  int64_t take_number() {
    if (peek() == '*') {
      ++position_;
      const Value& value = take_value();
      if (!value.is_integral()) fail("* wants int");
      if (std::abs(value.as_int()) > kFormatWidthMax) fail("a format width is too large");
      return value.as_int();
    }
    int64_t number = 0;
    while (peek() >= '0' && peek() <= '9') {
      number = number * 10 + (bytes_[position_++] - '0');
      if (number > kFormatWidthMax) fail("a format width is too large");
    }
    return number;
  }

  const Value* take_mapping_value() {
    const size_t close = bytes_.find(')', position_);
    if (close == std::string::npos) fail("incomplete format key");
    if (!values_.is(ValueKind::kDict)) fail("format requires a mapping");
    const std::string_view key = std::string_view(bytes_).substr(position_, close - position_);
    const Value* value = values_.find(key);
    if (value == nullptr) fail(format("'", key, "'"));
    position_ = close + 1;
    return value;
  }

  void format_one() {
    const bool trusted = text_.trusted_at(position_);
    ++position_;
    const Value* value = nullptr;
    if (peek() == '(') {
      ++position_;
      value = take_mapping_value();
    }
    FormatSpec spec;
    for (bool flags = true; flags;) {
      switch (peek()) {
        case '-':
          spec.align = '<';
          break;
        case '+':
          spec.sign = '+';
          break;
        case ' ':
          spec.sign = spec.sign == '+' ? '+' : ' ';
          break;
        case '0':
          spec.align = spec.align == '\0' ? '=' : spec.align;
          break;
        case '#':
          spec.alternate = true;
          break;
        default:
          flags = false;
          continue;
      }
      ++position_;
    }
    spec.width = take_number();
    if (spec.width < 0) {
      spec.width = -spec.width;
      spec.align = '<';
    }
    if (peek() == '.') {
      ++position_;
      spec.precision = std::max<int64_t>(0, take_number());
    }
    while (peek() == 'l' || peek() == 'h' || peek() == 'L') ++position_;
    spec.type = peek();
    ++position_;
    if (spec.type == '%') {
      out_.append("%", trusted);
      return;
    }
    write_value(value != nullptr ? *value : take_value(), spec);
  }

  void write_value(const Value& value, FormatSpec spec) {
    evaluator_.charge_value(value);
    evaluator_.charge_text(static_cast<uint64_t>(spec.width + std::max<int64_t>(spec.precision, 0)) + 16);
    switch (spec.type) {
      case 's':
      case 'r':
      case 'a':
        return write_text(spec.type == 's' ? to_text(value) : to_repr(value), spec);
      case 'c':
        return write_character(value, spec);
      case 'd':
      case 'i':
      case 'u':
      case 'x':
      case 'X':
      case 'o':
        return write_integer(value, spec);
      case 'e':
      case 'E':
      case 'f':
      case 'F':
      case 'g':
      case 'G':
        return write_float(value, spec);
      default:
        fail(format("unsupported format character '", spec.type, "'"));
    }
  }

  void write_text(TrackedText text, FormatSpec spec) {
    if (spec.precision >= 0) text = text.range(0, text.offset_of(static_cast<size_t>(spec.precision)));
    if (spec.align == '=') spec.align = '>';
    out_.append(align_text({}, text, spec, '>'));
  }

  void write_character(const Value& value, const FormatSpec& spec) {
    if (!value.is(ValueKind::kText) || value.as_text().length() != 1) fail("%c requires int or char");
    write_text(value.as_text(), spec);
  }

  void write_number(bool negative, std::string digits, FormatSpec spec, std::string_view prefix) {
    if (spec.align == '=') spec.fill = std::string(1, '0');
    out_.append(align_text({sign_text(negative, spec.sign) + std::string(prefix), true}, {digits, true}, spec, '>'));
  }

  void write_integer(const Value& value, const FormatSpec& spec) {
    int64_t number = 0;
    if (value.is_integral()) {
      number = value.as_int();
    } else if (value.is(ValueKind::kFloat) && std::fabs(value.as_float()) < 9e18 && (spec.type | 0x20) != 'x' &&
               spec.type != 'o') {
      number = static_cast<int64_t>(value.as_float());
    } else {
      fail(format("%", spec.type, " format: a real number is required, not ", value.type_name()));
    }
    const uint64_t magnitude = number < 0 ? uint64_t{0} - static_cast<uint64_t>(number) : static_cast<uint64_t>(number);
    std::string digits = integer_digits(magnitude, spec);
    if (spec.precision > static_cast<int64_t>(digits.size())) {
      digits.insert(0, static_cast<size_t>(spec.precision) - digits.size(), '0');
    }
    const std::string_view prefix = !spec.alternate    ? ""
                                    : spec.type == 'x' ? "0x"
                                    : spec.type == 'X' ? "0X"
                                    : spec.type == 'o' ? "0o"
                                                       : "";
    write_number(number < 0, std::move(digits), spec, prefix);
  }

  void write_float(const Value& value, const FormatSpec& spec) {
    if (!value.is_number()) fail(format("must be real number, not ", value.type_name()));
    const double number = value.as_float();
    write_number(std::signbit(number), float_digits(std::fabs(number), spec), spec, "");
  }

  Evaluator& evaluator_;
  const TrackedText& text_;
  const std::string& bytes_;
  const Value& values_;
  size_t position_ = 0;
  size_t next_ = 0;
  TrackedText out_;
};

}  // namespace

TrackedText format_percent(Evaluator& evaluator, const TrackedText& text, const Value& values) {
  return PercentFormatter(evaluator, text, values).run();
}

}  // namespace fastserve::jinja
