// Arithmetic with Python's types and results; whole numbers that leave 64 bits are an error, not a big integer.
#include <cmath>
#include <limits>

#include "base/format.h"
#include "text/jinja/evaluator.h"

namespace fastserve::jinja {
namespace {

[[noreturn]] void fail_types(std::string_view name, const Value& left, const Value& right) {
  if (left.is(ValueKind::kUndefined)) fail(left.undefined_message());
  if (right.is(ValueKind::kUndefined)) fail(right.undefined_message());
  if (name == "+" && left.is(ValueKind::kText)) {
    fail(format("can only concatenate str (not \"", right.type_name(), "\") to str"));
  }
  fail(format("unsupported operand type(s) for ", name, ": '", left.type_name(), "' and '", right.type_name(), "'"));
}

[[noreturn]] void fail_overflow() { fail("a whole number does not fit in 64 bits"); }

Value add_integers(int64_t a, int64_t b) {
  int64_t sum = 0;
  if (__builtin_add_overflow(a, b, &sum)) fail_overflow();
  return Value::integer(sum);
}

Value subtract_integers(int64_t a, int64_t b) {
  int64_t difference = 0;
  if (__builtin_sub_overflow(a, b, &difference)) fail_overflow();
  return Value::integer(difference);
}

int64_t multiply_integers(int64_t a, int64_t b) {
  int64_t product = 0;
  if (__builtin_mul_overflow(a, b, &product)) fail_overflow();
  return product;
}

// Towards minus infinity; the remainder has the divisor's sign.
Value divide_integers(std::string_view name, int64_t a, int64_t b) {
  if (b == 0) fail("division by zero");
  if (a == std::numeric_limits<int64_t>::min() && b == -1) {
    if (name == "%") return Value::integer(0);
    fail_overflow();
  }
  int64_t quotient = a / b;
  int64_t remainder = a % b;
  if (remainder != 0 && (remainder < 0) != (b < 0)) {
    quotient -= 1;
    remainder += b;
  }
  return Value::integer(name == "//" ? quotient : remainder);
}

Value divide_floats(std::string_view name, double a, double b) {
  if (b == 0) fail("float division by zero");
  double remainder = std::fmod(a, b);
  double quotient = (a - remainder) / b;
  if (remainder != 0) {
    if ((remainder < 0) != (b < 0)) {
      remainder += b;
      quotient -= 1;
    }
  } else {
    remainder = std::copysign(0.0, b);
  }
  if (name == "%") return Value::floating(remainder);
  if (quotient == 0) return Value::floating(std::copysign(0.0, a / b));
  const double floored = std::floor(quotient);
  return Value::floating(quotient - floored > 0.5 ? floored + 1 : floored);
}

Value power(const Value& left, const Value& right) {
  if (left.is_integral() && right.is_integral() && right.as_int() >= 0) {
    int64_t result = 1;
    int64_t base = left.as_int();
    for (int64_t exponent = right.as_int(); exponent > 0; exponent >>= 1) {
      if ((exponent & 1) != 0) result = multiply_integers(result, base);
      if (exponent > 1) base = multiply_integers(base, base);
    }
    return Value::integer(result);
  }
  const double a = left.as_float();
  const double b = right.as_float();
  if (a == 0 && b < 0) fail("0.0 cannot be raised to a negative power");
  if (a < 0 && b != std::floor(b)) fail("a negative number to a fractional power is complex");
  const double result = std::pow(a, b);
  if (std::isinf(result) && !std::isinf(a) && !std::isinf(b)) fail("(34, 'Numerical result out of range')");
  return Value::floating(result);
}

Value apply_numbers(std::string_view name, const Value& left, const Value& right) {
  const bool integral = left.is_integral() && right.is_integral();
  if (name == "**") return power(left, right);
  if (name == "/") {
    if (right.as_float() == 0) fail(integral ? "division by zero" : "float division by zero");
    return Value::floating(left.as_float() / right.as_float());
  }
  if (integral) {
    const int64_t a = left.as_int();
    const int64_t b = right.as_int();
    if (name == "+") return add_integers(a, b);
    if (name == "-") return subtract_integers(a, b);
    if (name == "*") return Value::integer(multiply_integers(a, b));
    return divide_integers(name, a, b);
  }
  const double a = left.as_float();
  const double b = right.as_float();
  if (name == "+") return Value::floating(a + b);
  if (name == "-") return Value::floating(a - b);
  if (name == "*") return Value::floating(a * b);
  return divide_floats(name, a, b);
}

Value repeat(Evaluator& evaluator, const Value& value, int64_t times) {
  const uint64_t count = times > 0 ? static_cast<uint64_t>(times) : 0;
  constexpr uint64_t kItemsMax = 10'000'000;
  if (value.is(ValueKind::kText)) {
    const uint64_t size = value.bytes().size();
    if (size != 0 && count > kItemsMax * 10 / size) fail("a repeated text is too long");
    evaluator.charge_text(size * count);
    TrackedText text;
    for (uint64_t i = 0; size != 0 && i < count; ++i) text.append(value.as_text());
    return Value::text(std::move(text));
  }
  const uint64_t size = value.items().size();
  if (size != 0 && count > kItemsMax / size) fail("a repeated list is too long");
  evaluator.charge_steps(size * count);
  std::vector<Value> items;
  for (uint64_t i = 0; size != 0 && i < count; ++i)
    items.insert(items.end(), value.items().begin(), value.items().end());
  return Value::sequence(value.kind(), std::move(items));
}

Value concatenate(Evaluator& evaluator, const Value& left, const Value& right) {
  if (left.is(ValueKind::kText)) {
    evaluator.charge_text(left.bytes().size() + right.bytes().size());
    TrackedText text = left.as_text();
    text.append(right.as_text());
    return Value::text(std::move(text));
  }
  evaluator.charge_steps(left.items().size() + right.items().size());
  std::vector<Value> items = left.items();
  items.insert(items.end(), right.items().begin(), right.items().end());
  return Value::sequence(left.kind(), std::move(items));
}

// Index of a slice's bound, clamped as Python does for a step of that sign.
int64_t clamp_bound(const Value* bound, int64_t otherwise, int64_t length, bool backward) {
  if (bound == nullptr || bound->is(ValueKind::kNone)) return otherwise;
  if (!bound->is_integral()) fail("slice indices must be integers or None or have an __index__ method");
  int64_t index = bound->as_int();
  if (index < 0) index = index < -length ? -1 : index + length;
  if (backward) return std::min(std::max<int64_t>(index, -1), length - 1);
  return std::min(std::max<int64_t>(index, 0), length);
}

std::vector<size_t> slice_indices(const Value* start, const Value* stop, const Value* step, size_t size) {
  const auto length = static_cast<int64_t>(size);
  int64_t stride = 1;
  if (step != nullptr && !step->is(ValueKind::kNone)) {
    if (!step->is_integral()) fail("slice indices must be integers or None or have an __index__ method");
    stride = step->as_int();
    if (stride == 0) fail("slice step cannot be zero");
  }
  const bool backward = stride < 0;
  const int64_t first = clamp_bound(start, backward ? length - 1 : 0, length, backward);
  const int64_t last = clamp_bound(stop, backward ? -1 : length, length, backward);
  std::vector<size_t> indices;
  for (int64_t i = first; backward ? i > last : i < last;) {
    indices.push_back(static_cast<size_t>(i));
    if (__builtin_add_overflow(i, stride, &i)) break;
  }
  return indices;
}

}  // namespace

Value apply_binary(Evaluator& evaluator, std::string_view name, const Value& left, const Value& right) {
  if (left.is_number() && right.is_number()) return apply_numbers(name, left, right);
  const bool same_kind = left.kind() == right.kind();
  if (name == "+" && same_kind && (left.is(ValueKind::kText) || left.is_sequence())) {
    return concatenate(evaluator, left, right);
  }
  if (name == "%" && left.is(ValueKind::kText)) return Value::text(format_percent(evaluator, left.as_text(), right));
  if (name == "*") {
    if ((left.is(ValueKind::kText) || left.is_sequence()) && right.is_integral()) {
      return repeat(evaluator, left, right.as_int());
    }
    if ((right.is(ValueKind::kText) || right.is_sequence()) && left.is_integral()) {
      return repeat(evaluator, right, left.as_int());
    }
  }
  fail_types(name, left, right);
}

Value negate(const Value& value) {
  if (value.is(ValueKind::kUndefined)) fail(value.undefined_message());
  if (value.is(ValueKind::kFloat)) return Value::floating(-value.as_float());
  if (value.is_integral()) return subtract_integers(0, value.as_int());
  fail(format("bad operand type for unary -: '", value.type_name(), "'"));
}

Value slice_value(Evaluator& evaluator, const Value& value, const Value* start, const Value* stop, const Value* step) {
  if (value.is(ValueKind::kUndefined)) fail(value.undefined_message());
  if (!value.is(ValueKind::kText) && !value.is_sequence()) {
    fail(format("'", value.type_name(), "' object is not subscriptable"));
  }
  evaluator.charge_value(value);
  if (value.is_sequence()) {
    std::vector<Value> items;
    for (const size_t index : slice_indices(start, stop, step, value.items().size())) {
      items.push_back(value.items()[index]);
    }
    return Value::sequence(value.kind(), std::move(items));
  }
  const TrackedText& text = value.as_text();
  evaluator.charge_text(text.size_bytes());
  std::vector<std::pair<size_t, size_t>> characters;
  for (TextReader reader(text); !reader.done();) {
    const TextReader::Character c = reader.next();
    characters.emplace_back(c.start, c.end);
  }
  TrackedText result;
  for (const size_t index : slice_indices(start, stop, step, characters.size())) {
    result.append_range(text, characters[index].first, characters[index].second);
  }
  return Value::text(std::move(result));
}

}  // namespace fastserve::jinja
