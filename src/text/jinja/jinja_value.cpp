// Construction, access, truth, equality and order of values.
#include "text/jinja/jinja_value.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <unordered_map>

#include "base/format.h"
#include "text/jinja/loop_object.h"

namespace fastserve::jinja {
namespace {

constexpr uint32_t kDepthMax = 60;
constexpr uint64_t kWeightMax = 16u << 20;
constexpr size_t kBytesPerWeight = 8;
constexpr size_t kLinearSearchMax = 16;  // dicts with more entries have an index of their text keys

struct TextObject : Object {
  explicit TextObject(TrackedText value) : text(std::move(value)) {}
  TrackedText text;
};
struct SequenceObject : Object {
  std::vector<Value> items;
};
struct DictObject : Object {
  std::vector<Value::Entry> entries;
  std::unordered_map<std::string_view, size_t> index;  // of text keys; the views point into `entries`' texts

  size_t find(const Value& key) const {
    if (key.is(ValueKind::kText)) return find(std::string_view(key.bytes()));
    const auto same = [&](const Value::Entry& entry) { return equal(entry.first, key); };
    return static_cast<size_t>(std::find_if(entries.begin(), entries.end(), same) - entries.begin());
  }
  size_t find(std::string_view key) const {
    if (!index.empty()) {
      const auto found = index.find(key);
      return found != index.end() ? found->second : entries.size();
    }
    const auto same = [&](const Value::Entry& entry) {
      return entry.first.is(ValueKind::kText) && entry.first.bytes() == key;
    };
    return static_cast<size_t>(std::find_if(entries.begin(), entries.end(), same) - entries.begin());
  }
  void add(Value::Entry entry) {
    entries.push_back(std::move(entry));
    if (entries.size() <= kLinearSearchMax) return;
    for (size_t i = index.empty() ? 0 : entries.size() - 1; i < entries.size(); ++i) {
      if (entries[i].first.is(ValueKind::kText)) index.emplace(entries[i].first.bytes(), i);
    }
  }
};
struct UndefinedObject : Object {
  std::string message;
};

// Depth and weight of a container under construction.
struct Extent {
  uint32_t depth = 0;
  uint64_t weight = 1;
  void add(const Value& value) {
    depth = std::max(depth, value.depth());
    weight += value.weight();
  }
};

// An int and a float compare by value without losing bits of the int.
int compare_numbers(const Value& a, const Value& b) {
  if (a.is_integral() && b.is_integral()) return a.as_int() < b.as_int() ? -1 : a.as_int() > b.as_int();
  const long double x = a.is_integral() ? static_cast<long double>(a.as_int()) : static_cast<long double>(a.as_float());
  const long double y = b.is_integral() ? static_cast<long double>(b.as_int()) : static_cast<long double>(b.as_float());
  return x < y ? -1 : x > y;
}

bool is_nan(const Value& value) { return value.is(ValueKind::kFloat) && std::isnan(value.as_float()); }

bool equal_dicts(const Value& a, const Value& b) {
  if (a.entries().size() != b.entries().size()) return false;
  return std::all_of(a.entries().begin(), a.entries().end(), [&](const Value::Entry& entry) {
    const Value* other = b.find(entry.first);
    return other != nullptr && equal(entry.second, *other);
  });
}

}  // namespace

void fail(std::string message) { throw TemplateFailure{std::move(message)}; }

Value Value::boolean(bool value) {
  Value result(ValueKind::kBool);
  result.bool_ = value;
  return result;
}

Value Value::integer(int64_t value) {
  Value result(ValueKind::kInt);
  result.int_ = value;
  return result;
}

Value Value::floating(double value) {
  Value result(ValueKind::kFloat);
  result.float_ = value;
  return result;
}

Value Value::text(TrackedText text) {
  Value result(ValueKind::kText);
  result.set_extent(0, 1 + text.size_bytes() / kBytesPerWeight);
  result.object_ = std::make_shared<TextObject>(std::move(text));
  return result;
}

Value Value::sequence(ValueKind kind, std::vector<Value> items) {
  Value result(kind);
  Extent extent;
  for (const Value& item : items) extent.add(item);
  result.set_extent(extent.depth + 1, extent.weight);
  auto object = std::make_shared<SequenceObject>();
  object->items = std::move(items);
  result.object_ = std::move(object);
  return result;
}

Value Value::dict(std::vector<Entry> entries) {
  Value result(ValueKind::kDict);
  auto object = std::make_shared<DictObject>();
  Extent extent;
  for (Entry& entry : entries) {
    if (entry.first.is(ValueKind::kList) || entry.first.is(ValueKind::kDict)) {
      fail(format("unhashable type: '", entry.first.type_name(), "'"));
    }
    extent.add(entry.first);
    extent.add(entry.second);
    const size_t position = object->find(entry.first);
    if (position < object->entries.size()) {
      object->entries[position].second = std::move(entry.second);
    } else {
      object->add(std::move(entry));
    }
  }
  result.set_extent(extent.depth + 1, extent.weight);
  result.object_ = std::move(object);
  return result;
}

Value Value::undefined(std::string message) {
  Value result;
  auto object = std::make_shared<UndefinedObject>();
  object->message = std::move(message);
  result.object_ = std::move(object);
  return result;
}

Value Value::of(ValueKind kind, std::shared_ptr<const Object> object) {
  Value result(kind);
  result.object_ = std::move(object);
  return result;
}

void Value::set_extent(uint32_t depth, uint64_t weight) {
  if (depth > kDepthMax) fail(format("values are nested more than ", kDepthMax, " deep"));
  if (weight > kWeightMax) fail("a value is too large");
  depth_ = depth;
  weight_ = static_cast<uint32_t>(weight);
}

const TrackedText& Value::as_text() const { return static_cast<const TextObject*>(object_.get())->text; }
const std::vector<Value>& Value::items() const { return static_cast<const SequenceObject*>(object_.get())->items; }
const std::vector<Value::Entry>& Value::entries() const {
  return static_cast<const DictObject*>(object_.get())->entries;
}

const Value* Value::find(const Value& key) const {
  const auto& dict = *static_cast<const DictObject*>(object_.get());
  const size_t position = dict.find(key);
  return position < dict.entries.size() ? &dict.entries[position].second : nullptr;
}

const Value* Value::find(std::string_view key) const {
  const auto& dict = *static_cast<const DictObject*>(object_.get());
  const size_t position = dict.find(key);
  return position < dict.entries.size() ? &dict.entries[position].second : nullptr;
}

const std::string& Value::undefined_message() const {
  static const std::string kPlain = "a value is undefined";
  return object_ != nullptr ? static_cast<const UndefinedObject*>(object_.get())->message : kPlain;
}

bool Value::truthy() const {
  switch (kind_) {
    case ValueKind::kUndefined:
    case ValueKind::kNone:
      return false;
    case ValueKind::kBool:
      return bool_;
    case ValueKind::kInt:
      return int_ != 0;
    case ValueKind::kFloat:
      return float_ != 0;
    case ValueKind::kText:
      return !as_text().empty();
    case ValueKind::kList:
    case ValueKind::kTuple:
      return !items().empty();
    case ValueKind::kDict:
      return !entries().empty();
    default:
      return true;
  }
}

std::string_view Value::type_name() const {
  switch (kind_) {
    case ValueKind::kUndefined:
      return "Undefined";
    case ValueKind::kNone:
      return "NoneType";
    case ValueKind::kBool:
      return "bool";
    case ValueKind::kInt:
      return "int";
    case ValueKind::kFloat:
      return "float";
    case ValueKind::kText:
      return "str";
    case ValueKind::kList:
      return "list";
    case ValueKind::kTuple:
      return "tuple";
    case ValueKind::kDict:
      return "dict";
    case ValueKind::kNamespace:
      return "Namespace";
    case ValueKind::kCallable:
      return "function";
    case ValueKind::kLoop:
      return "LoopContext";
  }
  return "object";
}

Value* NamespaceObject::find(std::string_view name) const {
  for (auto& [key, value] : attributes) {
    if (key == name) return &value;
  }
  return nullptr;
}

Value make_callable(std::string name, std::function<Value(Evaluator&, Arguments&)> call, uint32_t depth) {
  auto object = std::make_shared<CallableObject>();
  object->name = std::move(name);
  object->call = std::move(call);
  Value result = Value::of(ValueKind::kCallable, std::move(object));
  result.set_extent(depth, 1);
  return result;
}

bool equal(const Value& a, const Value& b) {
  if (a.is_number() && b.is_number()) return !is_nan(a) && !is_nan(b) && compare_numbers(a, b) == 0;
  if (a.kind() != b.kind()) return false;
  switch (a.kind()) {
    case ValueKind::kUndefined:
    case ValueKind::kNone:
      return true;
    case ValueKind::kText:
      return a.bytes() == b.bytes();
    case ValueKind::kList:
    case ValueKind::kTuple:
      return std::equal(a.items().begin(), a.items().end(), b.items().begin(), b.items().end(), equal);
    case ValueKind::kDict:
      return equal_dicts(a, b);
    default:
      return a.object() == b.object();
  }
}

int compare(const Value& a, const Value& b) {
  if (a.is(ValueKind::kUndefined)) fail(a.undefined_message());
  if (b.is(ValueKind::kUndefined)) fail(b.undefined_message());
  if (a.is_number() && b.is_number()) return is_nan(a) || is_nan(b) ? 1 : compare_numbers(a, b);
  if (a.is(ValueKind::kText) && b.is(ValueKind::kText)) return a.bytes().compare(b.bytes());
  if (a.is_sequence() && a.kind() == b.kind()) {
    const size_t common = std::min(a.items().size(), b.items().size());
    for (size_t i = 0; i < common; ++i) {
      if (!equal(a.items()[i], b.items()[i])) return compare(a.items()[i], b.items()[i]);
    }
    return a.items().size() < b.items().size() ? -1 : a.items().size() > b.items().size();
  }
  fail(format("'<' not supported between instances of '", a.type_name(), "' and '", b.type_name(), "'"));
}

bool contains(const Value& container, const Value& item) {
  switch (container.kind()) {
    case ValueKind::kText:
      if (!item.is(ValueKind::kText)) {
        fail(format("'in <string>' requires string as left operand, not ", item.type_name()));
      }
      return container.bytes().find(item.bytes()) != std::string::npos;
    case ValueKind::kDict:
      return container.find(item) != nullptr;
    default: {
      const std::vector<Value> items = iterate(container);
      return std::any_of(items.begin(), items.end(), [&](const Value& other) { return equal(other, item); });
    }
  }
}

std::vector<Value> iterate(const Value& value) {
  switch (value.kind()) {
    case ValueKind::kUndefined:
      return {};
    case ValueKind::kList:
    case ValueKind::kTuple:
      return value.items();
    case ValueKind::kDict: {
      std::vector<Value> keys;
      for (const Value::Entry& entry : value.entries()) keys.push_back(entry.first);
      return keys;
    }
    case ValueKind::kText: {
      std::vector<Value> characters;
      for (TextReader reader(value.as_text()); !reader.done();) {
        const TextReader::Character c = reader.next();
        characters.push_back(Value::text(std::string_view(value.bytes()).substr(c.start, c.end - c.start), c.trusted));
      }
      return characters;
    }
    default:
      fail(format("'", value.type_name(), "' object is not iterable"));
  }
}

size_t length_of(const Value& value) {
  switch (value.kind()) {
    case ValueKind::kUndefined:
      return 0;
    case ValueKind::kList:
    case ValueKind::kTuple:
      return value.items().size();
    case ValueKind::kDict:
      return value.entries().size();
    case ValueKind::kText:
      return value.as_text().length();
    case ValueKind::kLoop:
      return static_cast<const LoopObject*>(value.object())->items.size();
    default:
      fail(format("object of type '", value.type_name(), "' has no len()"));
  }
}

}  // namespace fastserve::jinja
