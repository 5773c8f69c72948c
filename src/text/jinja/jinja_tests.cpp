// Tests: what follows `is`.
#include <array>

#include "base/format.h"
#include "text/jinja/case_mapping.h"
#include "text/jinja/filter_table.h"

namespace fastserve::jinja {
namespace {

const Value& operand(std::string_view name, Arguments& arguments) {
  if (arguments.positional.size() != 1 || !arguments.named.empty())
    fail(format("test '", name, "' takes one argument"));
  return arguments.positional[0];
}

template <bool (*Check)(const Value&)>
bool simple(Evaluator&, const Value& input, Arguments& arguments) {
  if (!arguments.positional.empty() || !arguments.named.empty()) fail("this test takes no arguments");
  return Check(input);
}

int64_t whole_number(const Value& value) {
  if (value.is(ValueKind::kUndefined)) fail(value.undefined_message());
  if (!value.is_integral()) fail(format("a whole number is needed, not '", value.type_name(), "'"));
  return value.as_int();
}

bool is_defined(const Value& v) { return !v.is(ValueKind::kUndefined); }
bool is_undefined(const Value& v) { return v.is(ValueKind::kUndefined); }
bool is_none(const Value& v) { return v.is(ValueKind::kNone); }
bool is_boolean(const Value& v) { return v.is(ValueKind::kBool); }
bool is_true(const Value& v) { return v.is(ValueKind::kBool) && v.as_bool(); }
bool is_false(const Value& v) { return v.is(ValueKind::kBool) && !v.as_bool(); }
bool is_integer(const Value& v) { return v.is(ValueKind::kInt); }
bool is_float(const Value& v) { return v.is(ValueKind::kFloat); }
bool is_number(const Value& v) { return v.is_number(); }
bool is_string(const Value& v) { return v.is(ValueKind::kText); }
bool is_mapping(const Value& v) { return v.is(ValueKind::kDict); }
bool is_callable(const Value& v) { return v.is(ValueKind::kCallable) || is_undefined(v); }
bool is_sequence(const Value& v) {
  return v.is_sequence() || v.is(ValueKind::kText) || v.is(ValueKind::kDict) || v.is(ValueKind::kUndefined);
}
bool is_iterable(const Value& v) { return is_sequence(v) || v.is(ValueKind::kLoop); }
bool is_lower_case(const Value& v) { return has_class(to_text(v), TextClass::kLower); }
bool is_upper_case(const Value& v) { return has_class(to_text(v), TextClass::kUpper); }
bool is_odd(const Value& v) { return (whole_number(v) & 1) != 0; }
bool is_even(const Value& v) { return (whole_number(v) & 1) == 0; }
bool is_escaped(const Value&) { return false; }

bool test_divisible(Evaluator&, const Value& input, Arguments& arguments) {
  const int64_t divisor = whole_number(operand("divisibleby", arguments));
  if (divisor == 0) fail("division by zero");
  return divisor == -1 || whole_number(input) % divisor == 0;
}

bool test_same_as(Evaluator&, const Value& input, Arguments& arguments) {
  const Value& other = operand("sameas", arguments);
  if (input.kind() != other.kind()) return false;
  switch (input.kind()) {
    case ValueKind::kNone:
      return true;
    case ValueKind::kBool:
    case ValueKind::kInt:
    case ValueKind::kText:
      return equal(input, other);
    default:
      return input.object() != nullptr && input.object() == other.object();
  }
}

bool test_in(Evaluator& evaluator, const Value& input, Arguments& arguments) {
  evaluator.charge_value(operand("in", arguments));
  return contains(operand("in", arguments), input);
}
bool test_equal(Evaluator& evaluator, const Value& input, Arguments& arguments) {
  evaluator.charge_value(input);
  return equal(input, operand("equalto", arguments));
}
bool test_not_equal(Evaluator& evaluator, const Value& input, Arguments& arguments) {
  return !test_equal(evaluator, input, arguments);
}
bool test_less(Evaluator&, const Value& input, Arguments& arguments) {
  return compare(input, operand("lessthan", arguments)) < 0;
}
bool test_less_equal(Evaluator&, const Value& input, Arguments& arguments) {
  return compare(input, operand("le", arguments)) <= 0;
}
bool test_greater(Evaluator&, const Value& input, Arguments& arguments) {
  return compare(input, operand("greaterthan", arguments)) > 0;
}
bool test_greater_equal(Evaluator&, const Value& input, Arguments& arguments) {
  return compare(input, operand("ge", arguments)) >= 0;
}

struct TestEntry {
  std::string_view name;
  Test test;
};
constexpr auto kTests = std::to_array<TestEntry>({
    {"defined", simple<is_defined>},
    {"undefined", simple<is_undefined>},
    {"none", simple<is_none>},
    {"boolean", simple<is_boolean>},
    {"true", simple<is_true>},
    {"false", simple<is_false>},
    {"integer", simple<is_integer>},
    {"float", simple<is_float>},
    {"number", simple<is_number>},
    {"string", simple<is_string>},
    {"mapping", simple<is_mapping>},
    {"sequence", simple<is_sequence>},
    {"iterable", simple<is_iterable>},
    {"callable", simple<is_callable>},
    {"lower", simple<is_lower_case>},
    {"upper", simple<is_upper_case>},
    {"odd", simple<is_odd>},
    {"even", simple<is_even>},
    {"escaped", simple<is_escaped>},
    {"divisibleby", test_divisible},
    {"sameas", test_same_as},
    {"in", test_in},
    {"==", test_equal},
    {"eq", test_equal},
    {"equalto", test_equal},
    {"!=", test_not_equal},
    {"ne", test_not_equal},
    {"<", test_less},
    {"lt", test_less},
    {"lessthan", test_less},
    {"<=", test_less_equal},
    {"le", test_less_equal},
    {">", test_greater},
    {"gt", test_greater},
    {"greaterthan", test_greater},
    {">=", test_greater_equal},
    {"ge", test_greater_equal},
});

}  // namespace

Test find_test(std::string_view name) {
  for (const TestEntry& entry : kTests) {
    if (entry.name == name) return entry.test;
  }
  return nullptr;
}

}  // namespace fastserve::jinja
