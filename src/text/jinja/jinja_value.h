// Values of the template language, as Python has them: none, bool, int, float, str, list, tuple, dict, and the few
// kinds that only templates make (undefined, namespace, callables, loop). All but namespaces are immutable.
#pragma once
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "text/jinja/tracked_text.h"

namespace fastserve::jinja {

enum class ValueKind : uint8_t {
  kUndefined,
  kNone,
  kBool,
  kInt,
  kFloat,
  kText,
  kList,
  kTuple,
  kDict,
  kNamespace,
  kCallable,
  kLoop,
};

// What went wrong in a template, with its line; never leaves the engine (create and render turn it into a Status).
struct TemplateFailure {
  std::string message;
  size_t line = 0;
};
[[noreturn]] void fail(std::string message);

struct Object {
  virtual ~Object() = default;
};
class Evaluator;
class Value;

// Arguments of a call, taken in order of the parameters' names.
struct Arguments {
  std::vector<Value> positional;
  std::vector<std::pair<std::string, Value>> named;
};

class Value {
 public:
  Value() = default;
  static Value none() { return Value(ValueKind::kNone); }
  static Value boolean(bool value);
  static Value integer(int64_t value);
  static Value floating(double value);
  static Value text(TrackedText text);
  static Value text(std::string_view bytes, bool trusted) { return text(TrackedText(bytes, trusted)); }
  static Value list(std::vector<Value> items) { return sequence(ValueKind::kList, std::move(items)); }
  static Value tuple(std::vector<Value> items) { return sequence(ValueKind::kTuple, std::move(items)); }
  static Value sequence(ValueKind kind, std::vector<Value> items);
  using Entry = std::pair<Value, Value>;
  // Later entries replace earlier ones of an equal key, in the earlier one's place.
  static Value dict(std::vector<Entry> entries);
  // `message` is what any use but printing, testing and iterating fails with.
  static Value undefined(std::string message);
  static Value of(ValueKind kind, std::shared_ptr<const Object> object);

  ValueKind kind() const { return kind_; }
  bool is(ValueKind kind) const { return kind_ == kind; }
  bool is_number() const { return kind_ == ValueKind::kInt || kind_ == ValueKind::kFloat || kind_ == ValueKind::kBool; }
  bool is_integral() const { return kind_ == ValueKind::kInt || kind_ == ValueKind::kBool; }
  bool is_sequence() const { return kind_ == ValueKind::kList || kind_ == ValueKind::kTuple; }

  int64_t as_int() const { return kind_ == ValueKind::kBool ? (bool_ ? 1 : 0) : int_; }  // of an integral value
  double as_float() const { return kind_ == ValueKind::kFloat ? float_ : static_cast<double>(as_int()); }
  bool as_bool() const { return bool_; }
  const TrackedText& as_text() const;
  const std::string& bytes() const { return as_text().bytes(); }
  const std::vector<Value>& items() const;        // of a list or tuple
  const std::vector<Entry>& entries() const;      // of a dict
  const Value* find(const Value& key) const;      // in a dict; null where absent
  const Value* find(std::string_view key) const;  // the same for a text key
  const std::string& undefined_message() const;
  const Object* object() const { return object_.get(); }
  const std::shared_ptr<const Object>& shared_object() const { return object_; }
  // Nesting of containers: 0 for scalars. Bounded, so that no recursion over a value is deep.
  uint32_t depth() const { return depth_; }
  // Size of the tree below, shared parts counted each time: what a walk over it costs. 1 for scalars.
  uint32_t weight() const { return weight_; }
  void set_extent(uint32_t depth, uint64_t weight);

  bool truthy() const;
  // Python's type name: "str", "dict", "NoneType" ...
  std::string_view type_name() const;

 private:
  explicit Value(ValueKind kind) : kind_(kind) {}

  ValueKind kind_ = ValueKind::kUndefined;
  uint32_t depth_ = 0;
  uint32_t weight_ = 1;
  union {
    bool bool_;
    int64_t int_ = 0;
    double float_;
  };
  std::shared_ptr<const Object> object_;
};

struct NamespaceObject : Object {
  // Mutable: the one thing that a template can change.
  mutable std::vector<std::pair<std::string, Value>> attributes;
  Value* find(std::string_view name) const;
};

// A function that templates can call: a global, a method bound to its value, a macro.
struct CallableObject : Object {
  std::string name;
  std::function<Value(Evaluator&, Arguments&)> call;
};
Value make_callable(std::string name, std::function<Value(Evaluator&, Arguments&)> call, uint32_t depth = 0);

// Python's == and ordering. `compare` is < 0, 0, > 0; fails with a TypeError's message where Python has no order.
bool equal(const Value& a, const Value& b);
int compare(const Value& a, const Value& b);
// Whether `item in container`.
bool contains(const Value& container, const Value& item);

// str(value), repr(value) as Python writes them; scalars are trusted text, what containers add is not.
TrackedText to_text(const Value& value);
TrackedText to_repr(const Value& value);
std::string float_to_text(double value);
// A value's items as iteration gives them: elements, keys, characters; fails where Python cannot iterate.
std::vector<Value> iterate(const Value& value);
size_t length_of(const Value& value);

}  // namespace fastserve::jinja
