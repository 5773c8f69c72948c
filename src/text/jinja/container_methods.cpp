// Methods of dict, list, tuple and float that do not change their value.
#include <cmath>

#include "base/format.h"
#include "text/jinja/evaluator.h"
#include "text/jinja/parameters.h"

namespace fastserve::jinja {
namespace {

using Method = Value (*)(const Value& value, Arguments& arguments);

Value dict_items(const Value& value, Arguments& arguments) {
  const Parameters parameters("items", arguments, {});
  std::vector<Value> items;
  for (const auto& [key, entry] : value.entries()) items.push_back(Value::tuple({key, entry}));
  return Value::list(std::move(items));
}

Value dict_keys(const Value& value, Arguments& arguments) {
  const Parameters parameters("keys", arguments, {});
  return Value::list(iterate(value));
}

Value dict_values(const Value& value, Arguments& arguments) {
  const Parameters parameters("values", arguments, {});
  std::vector<Value> values;
  for (const auto& [key, entry] : value.entries()) values.push_back(entry);
  return Value::list(std::move(values));
}

Value dict_get(const Value& value, Arguments& arguments) {
  const Parameters parameters("get", arguments, {"key", "default"});
  if (const Value* found = value.find(parameters.required(0))) return *found;
  return parameters.given(1) ? *parameters.find(1) : Value::none();
}

Value copy(const Value& value, Arguments& arguments) {
  const Parameters parameters("copy", arguments, {});
  return value;
}

Value sequence_index(const Value& value, Arguments& arguments) {
  const Parameters parameters("index", arguments, {"value"});
  const Value& wanted = parameters.required(0);
  for (size_t i = 0; i < value.items().size(); ++i) {
    if (equal(value.items()[i], wanted)) return Value::integer(static_cast<int64_t>(i));
  }
  fail(format(to_repr(wanted).bytes(), " is not in list"));
}

Value sequence_count(const Value& value, Arguments& arguments) {
  const Parameters parameters("count", arguments, {"value"});
  int64_t count = 0;
  for (const Value& item : value.items()) count += equal(item, parameters.required(0)) ? 1 : 0;
  return Value::integer(count);
}

Value is_integer(const Value& value, Arguments& arguments) {
  const Parameters parameters("is_integer", arguments, {});
  return Value::boolean(std::isfinite(value.as_float()) && std::floor(value.as_float()) == value.as_float());
}

Method find(const Value& value, std::string_view name) {
  if (value.is(ValueKind::kDict)) {
    if (name == "items") return dict_items;
    if (name == "keys") return dict_keys;
    if (name == "values") return dict_values;
    if (name == "get") return dict_get;
    if (name == "copy") return copy;
  } else if (value.is_sequence()) {
    if (name == "index") return sequence_index;
    if (name == "count") return sequence_count;
    if (name == "copy" && value.is(ValueKind::kList)) return copy;
  } else if (value.is(ValueKind::kFloat) && name == "is_integer") {
    return is_integer;
  }
  return nullptr;
}

}  // namespace

Value find_container_method(const Value& value, std::string_view name) {
  const Method method = find(value, name);
  if (method == nullptr) return {};
  return make_callable(
      std::string(name),
      [value, method](Evaluator& evaluator, Arguments& arguments) {
        evaluator.charge_value(value);
        return method(value, arguments);
      },
      value.depth() + 1);
}

}  // namespace fastserve::jinja
