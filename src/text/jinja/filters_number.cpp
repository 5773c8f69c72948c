// Filters that make or change numbers.
#include <array>
#include <charconv>
#include <cmath>

#include "base/format.h"
#include "text/jinja/filter_table.h"
#include "text/jinja/string_literal.h"

namespace fastserve::jinja {
namespace {

Value filter_abs(Evaluator&, const Value& input, Arguments& arguments) {
  const Parameters parameters("abs", arguments, {});
  if (input.is(ValueKind::kFloat)) return Value::floating(std::fabs(input.as_float()));
  if (input.is(ValueKind::kUndefined)) fail(input.undefined_message());
  if (!input.is_integral()) fail(format("bad operand type for abs(): '", input.type_name(), "'"));
  return input.as_int() < 0 ? negate(input) : Value::integer(input.as_int());
}

std::optional<int64_t> truncate_float(double value) {
  if (!(std::fabs(value) < 9.2e18)) return std::nullopt;
  return static_cast<int64_t>(value);
}

Value filter_int(Evaluator&, const Value& input, Arguments& arguments) {
  const Parameters parameters("int", arguments, {"default", "base"});
  if (input.is(ValueKind::kUndefined)) fail(input.undefined_message());
  std::optional<int64_t> result;
  if (input.is_integral()) {
    result = input.as_int();
  } else if (input.is(ValueKind::kFloat)) {
    result = truncate_float(input.as_float());
  } else if (input.is(ValueKind::kText)) {
    const int64_t base = parameters.integer(1, 10);
    if (base != 0 && (base < 2 || base > 36)) fail("int() base must be >= 2 and <= 36, or 0");
    result = parse_int(input.bytes(), static_cast<int>(base));
    if (!result.has_value()) {
      const auto number = parse_float(input.bytes());
      if (number.has_value()) result = truncate_float(*number);
    }
  }
  if (result.has_value()) return Value::integer(*result);
  return parameters.given(0) ? *parameters.find(0) : Value::integer(0);
}

Value filter_float(Evaluator&, const Value& input, Arguments& arguments) {
  const Parameters parameters("float", arguments, {"default"});
  if (input.is(ValueKind::kUndefined)) fail(input.undefined_message());
  if (input.is_number()) return Value::floating(input.as_float());
  if (input.is(ValueKind::kText)) {
    const auto number = parse_float(input.bytes());
    if (number.has_value()) return Value::floating(*number);
  }
  return parameters.given(0) ? *parameters.find(0) : Value::floating(0);
}

// round(value, digits): exact decimal rounding, half to even on the exact value.
double round_decimal(double value, int64_t digits) {
  if (!std::isfinite(value) || digits > 300) return value;
  if (digits < 0) {
    const double scale = std::pow(10.0, static_cast<double>(-std::max<int64_t>(digits, -400)));
    return std::isinf(scale) ? std::copysign(0.0, value) : std::nearbyint(value / scale) * scale;
  }
  char text[720];
  const auto end = std::to_chars(text, text + sizeof(text), value, std::chars_format::fixed, static_cast<int>(digits));
  double rounded = value;
  std::from_chars(text, end.ptr, rounded);
  return rounded;
}

Value filter_round(Evaluator&, const Value& input, Arguments& arguments) {
  const Parameters parameters("round", arguments, {"precision", "method"});
  if (input.is(ValueKind::kUndefined)) fail(input.undefined_message());
  if (!input.is_number()) fail(format("type ", input.type_name(), " doesn't define __round__ method"));
  const int64_t precision = parameters.integer(0, 0);
  const std::string_view method =
      parameters.given(1) ? std::string_view(parameters.required_text(1).bytes()) : "common";
  if (method == "common") {
    if (input.is_integral() && precision >= 0) return Value::integer(input.as_int());
    const double rounded = round_decimal(input.as_float(), precision);
    return input.is_integral() ? Value::integer(static_cast<int64_t>(rounded)) : Value::floating(rounded);
  }
  if (method != "ceil" && method != "floor") fail("method must be common, ceil or floor");
  if (precision < -300 || precision > 300) fail("round: the precision is out of range");
  const double scale = std::pow(10.0, static_cast<double>(precision));
  const double scaled = input.as_float() * scale;
  if (!std::isfinite(scaled)) fail("cannot convert float infinity to integer");
  return Value::floating((method == "ceil" ? std::ceil(scaled) : std::floor(scaled)) / scale);
}

Value filter_sum(Evaluator& evaluator, const Value& input, Arguments& arguments) {
  const Parameters parameters("sum", arguments, {"attribute", "start"});
  Value total = parameters.given(1) ? *parameters.find(1) : Value::integer(0);
  for (Value& item : iterate(input)) {
    if (parameters.given(0) && !parameters.find(0)->is(ValueKind::kNone)) {
      item = evaluator.item(item, *parameters.find(0));
    }
    total = apply_binary(evaluator, "+", total, item);
  }
  return total;
}

constexpr auto kFilters = std::to_array<FilterEntry>({
    {"abs", filter_abs},
    {"int", filter_int},
    {"float", filter_float},
    {"round", filter_round},
    {"sum", filter_sum},
});

}  // namespace

std::span<const FilterEntry> number_filters() { return kFilters; }

}  // namespace fastserve::jinja
