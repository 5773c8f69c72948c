// text.format(...): fields by number or name, attributes and items of them, conversions and format specs.
#include <cmath>

#include "base/format.h"
#include "text/jinja/evaluator.h"
#include "text/jinja/format_spec.h"
#include "text/jinja/string_literal.h"

namespace fastserve::jinja {
namespace {

bool is_align(char c) { return c == '<' || c == '>' || c == '^' || c == '='; }

int64_t read_number(std::string_view text, size_t& position) {
  int64_t number = -1;
  while (position < text.size() && text[position] >= '0' && text[position] <= '9') {
    number = std::max<int64_t>(number, 0) * 10 + (text[position++] - '0');
    if (number > kFormatWidthMax) fail("a format width is too large");
  }
  return number;
}

FormatSpec parse_spec(std::string_view text) {
  FormatSpec spec;
  size_t position = 0;
  uint32_t code_point = 0;
  const size_t first = text.empty() ? 0 : decode_character(text, 0, code_point);
  if (first != 0 && first < text.size() && is_align(text[first])) {
    spec.fill = std::string(text.substr(0, first));
    spec.align = text[first];
    position = first + 1;
  } else if (!text.empty() && is_align(text[0])) {
    spec.align = text[0];
    position = 1;
  }
  const auto at = [&] { return position < text.size() ? text[position] : '\0'; };
  if (at() == '+' || at() == '-' || at() == ' ') spec.sign = text[position++];
  if (at() == '#') {
    spec.alternate = true;
    ++position;
  }
  if (at() == '0') {
    if (spec.align == '\0') {
      spec.align = '=';
      spec.fill = std::string(1, '0');
    }
    ++position;
  }
  spec.width = std::max<int64_t>(0, read_number(text, position));
  if (at() == ',') {
    spec.thousands = true;
    ++position;
  }
  if (at() == '.') {
    ++position;
    spec.precision = read_number(text, position);
    if (spec.precision < 0) fail("Format specifier missing precision");
  }
  if (position < text.size()) spec.type = text[position++];
  if (position != text.size()) fail("Invalid format specifier");
  return spec;
}

TrackedText format_number(const Value& value, FormatSpec spec) {
  const bool as_float =
      value.is(ValueKind::kFloat) || std::string_view("eEfFgG%").find(spec.type) != std::string_view::npos;
  if (as_float && spec.type != '\0') {
    if (std::string_view("eEfFgG%").find(spec.type) == std::string_view::npos) {
      fail(format("Unknown format code '", spec.type, "' for object of type 'float'"));
    }
    const double number = value.as_float();
    return align_text({sign_text(std::signbit(number), spec.sign), true}, {float_digits(std::fabs(number), spec), true},
                      spec, '>');
  }
  if (as_float) {
    const double number = value.as_float();
    std::string digits = float_to_text(std::fabs(number));
    if (spec.precision >= 0) {
      spec.type = 'g';
      digits = float_digits(std::fabs(number), spec);
    }
    return align_text({sign_text(std::signbit(number), spec.sign), true}, {digits, true}, spec, '>');
  }
  if (spec.type != '\0' && std::string_view("dxXobn").find(spec.type) == std::string_view::npos) {
    fail(format("Unknown format code '", spec.type, "' for object of type 'int'"));
  }
  if (spec.precision >= 0) fail("Precision not allowed in integer format specifier");
  const int64_t number = value.as_int();
  const uint64_t magnitude = number < 0 ? uint64_t{0} - static_cast<uint64_t>(number) : static_cast<uint64_t>(number);
  std::string prefix = sign_text(number < 0, spec.sign);
  if (spec.alternate && spec.type != '\0' && spec.type != 'd') prefix.append("0").push_back(spec.type);
  return align_text({prefix, true}, {integer_digits(magnitude, spec), true}, spec, '>');
}

TrackedText format_value(const Value& value, std::string_view spec_text) {
  if (spec_text.empty()) return to_text(value);
  FormatSpec spec = parse_spec(spec_text);
  const bool plain_bool = value.is(ValueKind::kBool) && spec.type == '\0';
  if (value.is_number() && !plain_bool) return format_number(value, spec);
  if (!value.is(ValueKind::kText) && !plain_bool) {
    fail(format("unsupported format string passed to ", value.type_name(), ".__format__"));
  }
  if (spec.type != '\0' && spec.type != 's') {
    fail(format("Unknown format code '", spec.type, "' for object of type 'str'"));
  }
  if (spec.align == '=') {
    if (spec.fill != "0") fail("'=' alignment not allowed in string format specifier");
    spec.align = '<';
  }
  TrackedText text = to_text(value);
  if (spec.precision >= 0) text = text.range(0, text.offset_of(static_cast<size_t>(spec.precision)));
  return align_text({}, text, spec, plain_bool ? '>' : '<');
}

class BraceFormatter {
 public:
  BraceFormatter(Evaluator& evaluator, const Arguments& arguments) : evaluator_(evaluator), arguments_(arguments) {}

  TrackedText format_text(const TrackedText& text, int depth) {
    const std::string& bytes = text.bytes();
    TrackedText out;
    for (size_t i = 0; i < bytes.size();) {
      const size_t brace = std::min(bytes.find_first_of("{}", i), bytes.size());
      out.append_range(text, i, brace);
      if (brace == bytes.size()) break;
      if (brace + 1 < bytes.size() && bytes[brace + 1] == bytes[brace]) {
        out.append_range(text, brace, brace + 1);
        i = brace + 2;
        continue;
      }
      if (bytes[brace] == '}') fail("Single '}' encountered in format string");
      const size_t end = find_close(bytes, brace + 1);
      const TrackedText piece = format_field(text.range(brace + 1, end), depth);
      evaluator_.charge_text(piece.size_bytes());
      out.append(piece);
      i = end + 1;
    }
    return out;
  }

 private:
  static size_t find_close(const std::string& bytes, size_t position) {
    int open = 1;
    for (; position < bytes.size(); ++position) {
      if (bytes[position] == '{') ++open;
      if (bytes[position] == '}' && --open == 0) return position;
    }
    fail("expected '}' before end of string");
  }

  TrackedText format_field(const TrackedText& field, int depth) {
    const std::string& bytes = field.bytes();
    const size_t name_end = std::min(bytes.find_first_of("!:"), bytes.size());
    const Value value = resolve(std::string_view(bytes).substr(0, name_end));
    evaluator_.charge_value(value);
    size_t spec_start = name_end;
    char conversion = '\0';
    if (name_end < bytes.size() && bytes[name_end] == '!') {
      if (name_end + 1 >= bytes.size()) fail("end of string while looking for conversion specifier");
      conversion = bytes[name_end + 1];
      spec_start = name_end + 2;
      if (spec_start < bytes.size() && bytes[spec_start] != ':') fail("expected ':' after conversion specifier");
    }
    TrackedText spec;
    if (spec_start < bytes.size()) {
      if (depth >= 2) fail("Max string recursion exceeded");
      spec = format_text(field.range(spec_start + 1, bytes.size()), depth + 1);
    }
    if (conversion == '\0') return format_value(value, spec.bytes());
    if (conversion != 's' && conversion != 'r') fail(format("Unknown conversion specifier '", conversion, "'"));
    return format_value(Value::text(conversion == 's' ? to_text(value) : to_repr(value)), spec.bytes());
  }

  Value resolve(std::string_view name) {
    const size_t first_end = std::min(name.find_first_of(".["), name.size());
    Value value = find_argument(name.substr(0, first_end));
    for (size_t i = first_end; i < name.size();) {
      if (name[i] == '.') {
        const size_t end = std::min(name.find_first_of(".[", i + 1), name.size());
        value = evaluator_.attribute(value, name.substr(i + 1, end - i - 1));
        i = end;
      } else if (name[i] == '[') {
        const size_t end = name.find(']', i);
        if (end == std::string_view::npos) fail("Missing ']' in format string");
        const std::string_view key = name.substr(i + 1, end - i - 1);
        const auto index = parse_int(key, 10);
        value = evaluator_.item(value, index.has_value() ? Value::integer(*index) : Value::text(key, true));
        i = end + 1;
      } else {
        fail("Only '.' or '[' may follow ']' in format field specifier");
      }
    }
    return value;
  }

  Value find_argument(std::string_view name) {
    const auto number = name.empty() ? std::nullopt : parse_int(name, 10);
    if (name.empty() || number.has_value()) {
      const int64_t index = name.empty() ? next_++ : *number;
      if (index < 0 || index >= static_cast<int64_t>(arguments_.positional.size())) {
        fail(format("Replacement index ", index, " out of range for positional args tuple"));
      }
      return arguments_.positional[static_cast<size_t>(index)];
    }
    for (const auto& [key, value] : arguments_.named) {
      if (key == name) return value;
    }
    fail(format("'", name, "'"));
  }

  Evaluator& evaluator_;
  const Arguments& arguments_;
  int64_t next_ = 0;
};

}  // namespace

TrackedText format_braces(Evaluator& evaluator, const TrackedText& text, const Arguments& arguments) {
  return BraceFormatter(evaluator, arguments).format_text(text, 1);
}

}  // namespace fastserve::jinja
