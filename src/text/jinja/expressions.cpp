// Expressions: values of tree nodes.
#include "base/format.h"
#include "text/jinja/depth_guard.h"
#include "text/jinja/evaluator.h"

namespace fastserve::jinja {
namespace {

bool compare_values(std::string_view name, const Value& left, const Value& right) {
  if (name == "==") return equal(left, right);
  if (name == "!=") return !equal(left, right);
  if (name == "in") return contains(right, left);
  if (name == "not in") return !contains(right, left);
  // NaN compares as "greater" both ways; every order with it is false.
  const auto is_nan = [](const Value& value) {
    return value.is(ValueKind::kFloat) && value.as_float() != value.as_float();
  };
  const int order = compare(left, right);
  if (is_nan(left) || is_nan(right)) return false;
  if (name == "<") return order < 0;
  if (name == "<=") return order <= 0;
  if (name == ">") return order > 0;
  return order >= 0;
}

}  // namespace

Value Evaluator::evaluate(const Expression& node) {
  const DepthGuard guard(*this);
  charge_steps(1);
  line_ = node.line;
  return evaluate_kind(node);
}

Value Evaluator::evaluate_kind(const Expression& node) {
  switch (node.kind) {
    case ExpressionKind::kConstant:
      return node.value;
    case ExpressionKind::kName:
      return evaluate_name(node);
    case ExpressionKind::kList:
      return Value::list(evaluate_all(node.children));
    case ExpressionKind::kTuple:
      return Value::tuple(evaluate_all(node.children));
    case ExpressionKind::kDict:
      return evaluate_dict(node);
    case ExpressionKind::kAttribute:
      return attribute(evaluate(*node.children[0]), node.name);
    case ExpressionKind::kItem: {
      const Value value = evaluate(*node.children[0]);
      return item(value, evaluate(*node.children[1]));
    }
    case ExpressionKind::kSlice:
      return evaluate_slice(node);
    case ExpressionKind::kCall:
      return evaluate_call(node, nullptr);
    case ExpressionKind::kFilter:
      return evaluate_filter(node, nullptr);
    case ExpressionKind::kTest:
      return evaluate_test(node);
    case ExpressionKind::kNot:
      return Value::boolean(!evaluate(*node.children[0]).truthy());
    case ExpressionKind::kNegate:
      return negate(evaluate(*node.children[0]));
    case ExpressionKind::kPlus: {
      const Value value = evaluate(*node.children[0]);
      return value.is(ValueKind::kFloat) ? value : negate(negate(value));
    }
    case ExpressionKind::kBinary: {
      const Value left = evaluate(*node.children[0]);
      const Value right = evaluate(*node.children[1]);
      return apply_binary(*this, node.name, left, right);
    }
    case ExpressionKind::kConcat:
      return evaluate_concat(node);
    case ExpressionKind::kCompare:
      return evaluate_compare(node);
    case ExpressionKind::kAnd: {
      Value left = evaluate(*node.children[0]);
      return left.truthy() ? evaluate(*node.children[1]) : left;
    }
    case ExpressionKind::kOr: {
      Value left = evaluate(*node.children[0]);
      return left.truthy() ? left : evaluate(*node.children[1]);
    }
    case ExpressionKind::kConditional: {
      if (evaluate(*node.children[1]).truthy()) return evaluate(*node.children[0]);
      if (node.children[2] != nullptr) return evaluate(*node.children[2]);
      return Value::undefined("the inline if-expression evaluated to false and no else section was defined.");
    }
  }
  return {};
}

Value Evaluator::evaluate_name(const Expression& node) {
  for (Scope* scope = scope_.get(); scope != nullptr; scope = scope->parent.get()) {
    if (const Value* value = scope->find(node.name)) return *value;
  }
  return Value::undefined(format("'", node.name, "' is undefined"));
}

std::vector<Value> Evaluator::evaluate_all(const std::vector<ExpressionPointer>& nodes) {
  std::vector<Value> values;
  values.reserve(nodes.size());
  for (const ExpressionPointer& node : nodes) values.push_back(evaluate(*node));
  return values;
}

Value Evaluator::evaluate_dict(const Expression& node) {
  std::vector<Value::Entry> entries;
  for (size_t i = 0; i + 1 < node.children.size(); i += 2) {
    Value key = evaluate(*node.children[i]);
    entries.emplace_back(std::move(key), evaluate(*node.children[i + 1]));
  }
  return Value::dict(std::move(entries));
}

Value Evaluator::evaluate_slice(const Expression& node) {
  const Value value = evaluate(*node.children[0]);
  Value bounds[3];
  const Value* given[3] = {};
  for (size_t i = 0; i < 3; ++i) {
    if (node.children[i + 1] == nullptr) continue;
    bounds[i] = evaluate(*node.children[i + 1]);
    given[i] = &bounds[i];
  }
  return slice_value(*this, value, given[0], given[1], given[2]);
}

Arguments Evaluator::evaluate_arguments(const CallArguments& nodes) {
  Arguments arguments;
  arguments.positional = evaluate_all(nodes.positional);
  if (nodes.more_positional != nullptr) {
    for (Value& value : iterate(evaluate(*nodes.more_positional))) arguments.positional.push_back(std::move(value));
  }
  for (const auto& [name, node] : nodes.named) arguments.named.emplace_back(name, evaluate(*node));
  if (nodes.more_named != nullptr) {
    const Value more = evaluate(*nodes.more_named);
    if (!more.is(ValueKind::kDict)) fail(format("argument after ** must be a mapping, not ", more.type_name()));
    for (const auto& [key, value] : more.entries()) {
      if (!key.is(ValueKind::kText)) fail("keywords must be strings");
      arguments.named.emplace_back(key.bytes(), value);
    }
  }
  return arguments;
}

Value Evaluator::evaluate_call(const Expression& node, const Value* caller) {
  const Value callee = evaluate(*node.children[0]);
  Arguments arguments = evaluate_arguments(node.arguments);
  if (caller != nullptr) arguments.named.emplace_back("caller", *caller);
  line_ = node.line;
  return call(callee, arguments);
}

Value Evaluator::call(const Value& callee, Arguments& arguments) {
  if (callee.is(ValueKind::kUndefined)) fail(callee.undefined_message());
  if (callee.is(ValueKind::kLoop)) {
    const Value& recurse = static_cast<const LoopObject*>(callee.object())->recurse;
    if (recurse.is(ValueKind::kUndefined)) fail("The loop must have the 'recursive' marker to be called recursively.");
    return call(recurse, arguments);
  }
  if (!callee.is(ValueKind::kCallable)) fail(format("'", callee.type_name(), "' object is not callable"));
  const DepthGuard guard(*this);
  charge_steps(1);
  const std::shared_ptr<const Object> keep = callee.shared_object();
  return static_cast<const CallableObject*>(keep.get())->call(*this, arguments);
}

Value Evaluator::evaluate_filter(const Expression& node, const Value* input) {
  Value value;
  if (node.children[0] == nullptr) {
    value = *input;
  } else if (input != nullptr) {
    value = evaluate_filter(*node.children[0], input);
  } else {
    value = evaluate(*node.children[0]);
  }
  Arguments arguments = evaluate_arguments(node.arguments);
  line_ = node.line;
  return apply_filter(node.name, value, arguments);
}

Value Evaluator::evaluate_test(const Expression& node) {
  const Value value = evaluate(*node.children[0]);
  Arguments arguments = evaluate_arguments(node.arguments);
  line_ = node.line;
  return Value::boolean(apply_test(node.name, value, arguments));
}

Value Evaluator::evaluate_compare(const Expression& node) {
  Value left = evaluate(*node.children[0]);
  for (size_t i = 0; i < node.names.size(); ++i) {
    Value right = evaluate(*node.children[i + 1]);
    charge_steps(1 + std::min(left.weight(), right.weight()) / 64);
    if (node.names[i].ends_with("in")) charge_value(right);
    if (!compare_values(node.names[i], left, right)) return Value::boolean(false);
    left = std::move(right);
  }
  return Value::boolean(true);
}

Value Evaluator::evaluate_concat(const Expression& node) {
  TrackedText text;
  for (const ExpressionPointer& child : node.children) {
    const TrackedText piece = to_text(evaluate(*child));
    charge_text(text.size_bytes() + piece.size_bytes());
    text.append(piece);
  }
  return Value::text(std::move(text));
}

}  // namespace fastserve::jinja
