// Attributes and items, in the order in which Jinja's sandbox tries them.
#include "base/format.h"
#include "text/jinja/evaluator.h"

namespace fastserve::jinja {
namespace {

std::string describe(const Value& value) {
  return value.is(ValueKind::kNone) ? "None" : format("'", value.type_name(), " object'");
}

Value missing_attribute(const Value& value, std::string_view name) {
  return Value::undefined(format(describe(value), " has no attribute '", name, "'"));
}

// Names that would change a value or reach into Python: present but unusable, as in the immutable sandbox.
bool is_unsafe(const Value& value, std::string_view name) {
  if (name.starts_with("__") && name.ends_with("__")) return true;
  const auto is_any = [&](std::initializer_list<std::string_view> names) {
    for (const std::string_view candidate : names) {
      if (candidate == name) return true;
    }
    return false;
  };
  if (value.is(ValueKind::kList)) {
    return is_any({"append", "extend", "insert", "pop", "remove", "reverse", "sort", "clear"});
  }
  return value.is(ValueKind::kDict) && is_any({"clear", "pop", "popitem", "setdefault", "update"});
}

Value loop_attribute(const Value& value, std::string_view name) {
  const auto& loop = *static_cast<const LoopObject*>(value.object());
  const auto count = static_cast<int64_t>(loop.items.size());
  const auto index0 = static_cast<int64_t>(loop.index0);
  if (name == "index") return Value::integer(index0 + 1);
  if (name == "index0") return Value::integer(index0);
  if (name == "revindex") return Value::integer(count - index0);
  if (name == "revindex0") return Value::integer(count - index0 - 1);
  if (name == "first") return Value::boolean(index0 == 0);
  if (name == "last") return Value::boolean(index0 == count - 1);
  if (name == "length") return Value::integer(count);
  if (name == "depth") return Value::integer(static_cast<int64_t>(loop.depth0) + 1);
  if (name == "depth0") return Value::integer(static_cast<int64_t>(loop.depth0));
  if (name == "previtem") {
    return index0 > 0 ? loop.items[loop.index0 - 1] : Value::undefined("there is no previous item");
  }
  if (name == "nextitem") {
    return index0 + 1 < count ? loop.items[loop.index0 + 1] : Value::undefined("there is no next item");
  }
  const auto shared = std::static_pointer_cast<const LoopObject>(value.shared_object());
  if (name == "cycle") {
    return make_callable(
        "cycle",
        [shared](Evaluator&, Arguments& arguments) {
          if (arguments.positional.empty()) fail("no items for cycling given");
          return arguments.positional[shared->index0 % arguments.positional.size()];
        },
        value.depth() + 1);
  }
  if (name == "changed") {
    return make_callable(
        "changed",
        [shared](Evaluator&, Arguments& arguments) {
          Value now = Value::tuple(arguments.positional);
          const bool changed = !shared->changed_called || !equal(now, shared->last_changed);
          if (shared->finished) return Value::boolean(changed);
          shared->changed_called = true;
          shared->last_changed = std::move(now);
          return Value::boolean(changed);
        },
        value.depth() + 1);
  }
  return missing_attribute(value, name);
}

Value find_method(const Value& value, std::string_view name) {
  if (value.is(ValueKind::kText)) return find_text_method(value, name);
  return find_container_method(value, name);
}

Value missing_item(const Value& value, const Value& key) {
  if (key.is(ValueKind::kText)) return missing_attribute(value, key.bytes());
  return Value::undefined(format(describe(value), " has no element ", to_repr(key).bytes()));
}

// An element by position, from the end where negative; null where there is none.
const Value* find_element(const std::vector<Value>& items, int64_t index) {
  const auto count = static_cast<int64_t>(items.size());
  if (index < 0) index += count;
  return index >= 0 && index < count ? &items[static_cast<size_t>(index)] : nullptr;
}

}  // namespace

Value Evaluator::attribute(const Value& value, std::string_view name) {
  if (value.is(ValueKind::kUndefined)) fail(value.undefined_message());
  if (value.is(ValueKind::kLoop)) return loop_attribute(value, name);
  if (value.is(ValueKind::kNamespace)) {
    const Value* found = static_cast<const NamespaceObject*>(value.object())->find(name);
    return found != nullptr ? *found : missing_attribute(value, name);
  }
  if (is_unsafe(value, name)) {
    return Value::undefined(format("access to attribute '", name, "' of '", value.type_name(), "' object is unsafe."));
  }
  Value method = find_method(value, name);
  if (!method.is(ValueKind::kUndefined)) return method;
  if (value.is(ValueKind::kDict)) {
    if (const Value* found = value.find(name)) return *found;
  }
  return missing_attribute(value, name);
}

Value Evaluator::item(const Value& value, const Value& key) {
  if (value.is(ValueKind::kUndefined)) fail(value.undefined_message());
  if (value.is(ValueKind::kDict)) {
    if (const Value* found = value.find(key)) return *found;
  } else if (value.is_sequence() && key.is_integral()) {
    if (const Value* found = find_element(value.items(), key.as_int())) return *found;
  } else if (value.is(ValueKind::kText) && key.is_integral()) {
    charge_value(value);
    const TrackedText& text = value.as_text();
    const auto count = static_cast<int64_t>(text.length());
    const int64_t index = key.as_int() < 0 ? key.as_int() + count : key.as_int();
    if (index >= 0 && index < count) {
      const size_t from = text.offset_of(static_cast<size_t>(index));
      return Value::text(text.range(from, text.offset_of(static_cast<size_t>(index) + 1)));
    }
  }
  if (key.is(ValueKind::kText) && !value.is(ValueKind::kNamespace)) {
    if (value.is(ValueKind::kLoop)) return loop_attribute(value, key.bytes());
    if (is_unsafe(value, key.bytes())) return attribute(value, key.bytes());
    Value method = find_method(value, key.bytes());
    if (!method.is(ValueKind::kUndefined)) return method;
  }
  if (key.is(ValueKind::kUndefined) && value.is(ValueKind::kDict)) return missing_item(value, Value::text("", true));
  return missing_item(value, key);
}

}  // namespace fastserve::jinja
