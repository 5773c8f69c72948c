// Statements: output, branches, loops, assignments, macros; scopes and the account of what a template uses.
#include <algorithm>
#include <utility>

#include "base/format.h"
#include "text/jinja/depth_guard.h"
#include "text/jinja/evaluator.h"

namespace fastserve::jinja {
namespace {

constexpr uint64_t kKeptCost = 50;  // steps for what is kept until the end: closures, namespaces

}  // namespace

Value* Scope::find(std::string_view name) {
  for (auto& [key, value] : variables) {
    if (key == name) return &value;
  }
  return nullptr;
}

void Scope::set(std::string_view name, Value value) {
  if (Value* existing = find(name)) {
    *existing = std::move(value);
  } else {
    variables.emplace_back(name, std::move(value));
  }
}

Evaluator::Evaluator(std::vector<std::pair<std::string_view, Value>> globals, int64_t now_seconds,
                     EvaluationLimits limits)
    : limits_(limits), now_seconds_(now_seconds), scope_(std::make_shared<Scope>()) {
  scope_->variables = std::move(globals);
  push_scope();
}

Evaluator::~Evaluator() {
  // All are still held here while each lets go of what it holds: nothing is destroyed from within another.
  for (const auto& scope : captured_scopes_) scope->variables.clear();
  for (const auto& object : namespaces_) object->attributes.clear();
}

TrackedText Evaluator::run(const Body& body) {
  TrackedText text;
  output_ = &text;
  try {
    execute(body);
  } catch (TemplateFailure& failure) {
    if (failure.line == 0) failure.line = line_;
    throw;
  }
  return text;
}

void Evaluator::charge_steps(uint64_t count) {
  steps_ += count;
  if (steps_ > limits_.steps) fail("the template runs too long");
}

void Evaluator::charge_text(uint64_t size_bytes) {
  text_bytes_ += size_bytes;
  if (text_bytes_ > limits_.text_bytes) fail("the template makes too much text");
  charge_steps(1 + size_bytes / 512);
}

void Evaluator::push_scope() {
  auto scope = std::make_shared<Scope>();
  scope->parent = scope_;
  scope_ = std::move(scope);
}

Evaluator::Flow Evaluator::execute(const Body& body) {
  for (const auto& statement : body) {
    charge_steps(1);
    line_ = statement->line;
    const Flow flow = execute_one(*statement);
    if (flow != Flow::kNext) return flow;
  }
  return Flow::kNext;
}

Evaluator::Flow Evaluator::execute_one(const Statement& statement) {
  const DepthGuard guard(*this);
  switch (statement.kind) {
    case StatementKind::kText:
      write(statement.value);
      break;
    case StatementKind::kOutput:
      write(evaluate(*statement.expression));
      break;
    case StatementKind::kIf:
      return execute_if(statement);
    case StatementKind::kFor:
      return execute_for(statement);
    case StatementKind::kSet:
      assign(*statement.target, evaluate(*statement.expression));
      break;
    case StatementKind::kSetBlock: {
      Value text = Value::text(capture(statement.bodies[0]));
      if (statement.filter != nullptr) text = evaluate_filter(*statement.filter, &text);
      assign(*statement.target, std::move(text));
      break;
    }
    case StatementKind::kMacro:
      scope_->set(statement.name, make_macro(statement));
      break;
    case StatementKind::kCallBlock:
      execute_call_block(statement);
      break;
    case StatementKind::kFilterBlock: {
      const Value text = Value::text(capture(statement.bodies[0]));
      write(evaluate_filter(*statement.filter, &text));
      break;
    }
    case StatementKind::kWith:
      execute_with(statement);
      break;
    case StatementKind::kGeneration:
      write(Value::text(capture(statement.bodies[0])));
      break;
    case StatementKind::kBreak:
      return Flow::kBreak;
    case StatementKind::kContinue:
      return Flow::kContinue;
  }
  return Flow::kNext;
}

void Evaluator::write(const Value& value) {
  charge_value(value);
  const TrackedText text = to_text(value);
  charge_text(text.size_bytes());
  output_->append(text);
}

TrackedText Evaluator::capture(const Body& body) {
  TrackedText text;
  TrackedText* outer = output_;
  output_ = &text;
  push_scope();
  execute(body);
  pop_scope();
  output_ = outer;
  return text;
}

Evaluator::Flow Evaluator::execute_if(const Statement& statement) {
  for (const Branch& branch : statement.branches) {
    if (branch.condition == nullptr || evaluate(*branch.condition).truthy()) return execute(branch.body);
  }
  return Flow::kNext;
}

Evaluator::Flow Evaluator::execute_for(const Statement& statement) {
  run_loop(statement, evaluate(*statement.expression), 0);
  return Flow::kNext;
}

std::vector<Value> Evaluator::select_items(const Statement& statement, const Value& iterable) {
  charge_steps(1 + length_of(iterable) / 8);
  std::vector<Value> items = iterate(iterable);
  if (statement.filter == nullptr) return items;
  std::vector<Value> selected;
  for (Value& candidate : items) {
    push_scope();
    assign(*statement.target, candidate);
    if (evaluate(*statement.filter).truthy()) selected.push_back(std::move(candidate));
    pop_scope();
  }
  return selected;
}

void Evaluator::run_loop(const Statement& statement, const Value& iterable, size_t depth0) {
  if (!iterable.is_sequence() && !iterable.is(ValueKind::kDict) && !iterable.is(ValueKind::kText) &&
      !iterable.is(ValueKind::kUndefined)) {
    fail(format("'", iterable.type_name(), "' object is not iterable"));
  }
  auto loop = std::make_shared<LoopObject>();
  struct Finish {
    LoopObject& loop;
    ~Finish() {
      loop.finished = true;
      loop.last_changed = {};
    }
  } finish{*loop};
  loop->items = select_items(statement, iterable);
  loop->depth0 = depth0;
  if (statement.recursive) {
    loop->recurse =
        make_callable("loop", [this, &statement, closure = scope_, depth0](Evaluator&, Arguments& arguments) {
          if (arguments.positional.size() != 1 || !arguments.named.empty()) fail("loop() takes exactly one argument");
          std::shared_ptr<Scope> outer_scope = std::exchange(scope_, closure);
          TrackedText text;
          TrackedText* outer = std::exchange(output_, &text);
          run_loop(statement, arguments.positional[0], depth0 + 1);
          output_ = outer;
          scope_ = std::move(outer_scope);
          return Value::text(std::move(text));
        });
    captured_scopes_.push_back(scope_);
  }
  if (loop->items.empty()) {
    if (statement.bodies[1].empty()) return;
    push_scope();
    execute(statement.bodies[1]);
    pop_scope();
    return;
  }
  Value variable = Value::of(ValueKind::kLoop, loop);
  variable.set_extent(iterable.depth() + 1, iterable.weight());
  for (size_t i = 0; i < loop->items.size(); ++i) {
    charge_steps(1);
    loop->index0 = i;
    push_scope();
    scope_->set("loop", variable);
    assign(*statement.target, loop->items[i]);
    const Flow flow = execute(statement.bodies[0]);
    pop_scope();
    if (flow == Flow::kBreak) break;
  }
}

void Evaluator::execute_with(const Statement& statement) {
  // Values see the outer scope, not one another.
  std::vector<Value> values = evaluate_all(statement.values);
  push_scope();
  for (size_t i = 0; i < values.size(); ++i) assign(*statement.targets[i], std::move(values[i]));
  execute(statement.bodies[0]);
  pop_scope();
}

void Evaluator::execute_call_block(const Statement& statement) {
  const Value caller = make_macro(statement);
  write(evaluate_call(*statement.expression, &caller));
}

Value Evaluator::make_macro(const Statement& statement) {
  charge_steps(kKeptCost);
  captured_scopes_.push_back(scope_);
  const bool is_caller = statement.kind == StatementKind::kCallBlock;
  return make_callable(is_caller ? "caller" : statement.name,
                       [this, &statement, closure = scope_](Evaluator&, Arguments& arguments) {
                         return call_macro(statement, closure, arguments);
                       });
}

Value Evaluator::call_macro(const Statement& statement, const std::shared_ptr<Scope>& closure, Arguments& arguments) {
  std::shared_ptr<Scope> outer_scope = std::exchange(scope_, closure);
  TrackedText text;
  TrackedText* outer = std::exchange(output_, &text);
  push_scope();
  bind_parameters(statement, arguments);
  execute(statement.bodies[0]);
  output_ = outer;
  scope_ = std::move(outer_scope);
  return Value::text(std::move(text));
}

void Evaluator::bind_parameters(const Statement& statement, Arguments& arguments) {
  const std::vector<std::string>& names = statement.parameters;
  const size_t required = names.size() - statement.defaults.size();
  std::vector<Value> rest;
  std::vector<Value::Entry> rest_named;
  for (size_t i = names.size(); i < arguments.positional.size(); ++i) rest.push_back(arguments.positional[i]);
  if (!rest.empty() && !statement.reads.varargs) {
    fail(format("macro '", statement.name, "' takes not more than ", names.size(), " argument(s)"));
  }
  std::vector<const Value*> given(names.size());
  for (size_t i = 0; i < std::min(names.size(), arguments.positional.size()); ++i) given[i] = &arguments.positional[i];
  for (const auto& [name, value] : arguments.named) {
    const auto found = std::find(names.begin(), names.end(), name);
    if (found != names.end()) {
      const Value*& slot = given[static_cast<size_t>(found - names.begin())];
      if (slot != nullptr) fail(format("macro '", statement.name, "' got multiple values for argument '", name, "'"));
      slot = &value;
    } else if (name == "caller" && statement.reads.caller) {
      scope_->set("caller", value);
    } else if (statement.reads.kwargs) {
      rest_named.emplace_back(Value::text(name, true), value);
    } else {
      fail(format("macro '", statement.name, "' takes no keyword argument '", name, "'"));
    }
  }
  if (statement.reads.caller && scope_->find("caller") == nullptr) {
    scope_->set("caller", Value::undefined("No caller defined"));
  }
  for (size_t i = 0; i < names.size(); ++i) {
    if (given[i] != nullptr) {
      scope_->set(names[i], *given[i]);
    } else if (i >= required) {
      scope_->set(names[i], evaluate(*statement.defaults[i - required]));
    } else {
      scope_->set(names[i], Value::undefined(format("parameter '", names[i], "' was not provided")));
    }
  }
  if (statement.reads.varargs) scope_->set("varargs", Value::tuple(std::move(rest)));
  if (statement.reads.kwargs) scope_->set("kwargs", Value::dict(std::move(rest_named)));
}

void Evaluator::assign(const Expression& target, Value value) {
  if (target.kind == ExpressionKind::kName) {
    scope_->set(target.name, std::move(value));
    return;
  }
  if (target.kind == ExpressionKind::kAttribute) {
    const Value object = evaluate(*target.children[0]);
    if (!object.is(ValueKind::kNamespace)) fail("cannot assign attribute on non-namespace object");
    if (target.name.starts_with('_')) fail(format("a namespace cannot hold '", target.name, "'"));
    const auto* space = static_cast<const NamespaceObject*>(object.object());
    if (Value* existing = space->find(target.name)) {
      *existing = std::move(value);
    } else {
      space->attributes.emplace_back(target.name, std::move(value));
    }
    return;
  }
  const std::vector<Value> items = iterate(value);
  if (items.size() < target.children.size()) {
    fail(format("not enough values to unpack (expected ", target.children.size(), ", got ", items.size(), ")"));
  }
  if (items.size() > target.children.size()) {
    fail(format("too many values to unpack (expected ", target.children.size(), ")"));
  }
  for (size_t i = 0; i < items.size(); ++i) assign(*target.children[i], items[i]);
}

Value Evaluator::make_namespace(std::vector<std::pair<std::string, Value>> attributes) {
  charge_steps(kKeptCost);
  auto object = std::make_shared<NamespaceObject>();
  object->attributes = std::move(attributes);
  namespaces_.push_back(object);
  return Value::of(ValueKind::kNamespace, std::move(object));
}

}  // namespace fastserve::jinja
